/**
 * Made-up holders of made-up devices: pods and processes over time, the split of a range, neighbours.
 */
import type { Gpu, GpuMetrics, Holder, TraceGpuLanes } from "@axonize/core/contract/gpu";
import { createRandom } from "./random.ts";

const iso = (ms: number): string => new Date(ms).toISOString();

function holder(over: Partial<Holder> & { from: string }): Holder {
  return {
    kind: "allocation",
    own: true,
    namespace: "",
    pod: "",
    container: "",
    pid: null,
    command: "",
    replica: null,
    to: null,
    stale: false,
    closeReason: "",
    ...over,
  };
}

/** The pod's allocation and its process, open since the morning. */
export function makeHolders(pods: Gpu["pods"], nowMs: number): Holder[] {
  return pods.flatMap((pod, i) => {
    const names = { namespace: pod.namespace, pod: pod.name, container: pod.container };
    return [
      holder({ ...names, from: iso(nowMs - 18_000e3) }),
      holder({
        ...names,
        kind: "usage",
        pid: 48_211 + i * 37,
        command: "vllm-worker",
        from: iso(nowMs - 17_960e3),
      }),
    ];
  });
}

/** Those of now, and one that let go a third into the range. */
export function makeHistory(gpu: Gpu, fromMs: number, toMs: number): Holder[] {
  const cut = fromMs + (toMs - fromMs) * 0.3;
  const [now] = gpu.pods;
  if (!now) return [];
  const before = {
    namespace: now.namespace,
    pod: `${now.name.replace(/\d+$/, "")}old`,
    container: "main",
  };
  return [
    holder({ ...before, from: iso(fromMs - 9e6), to: iso(cut), closeReason: "pod ended" }),
    holder({
      ...before,
      kind: "usage",
      pid: 31_007,
      command: "python3",
      from: iso(fromMs - 8.9e6),
      to: iso(cut - (toMs - fromMs) * 0.02),
      closeReason: "process ended",
    }),
    ...gpu.holders.map((one) => ({ ...one, from: iso(cut + (toMs - fromMs) * 0.04) })),
  ];
}

export function makeSplit(
  gpu: Gpu,
  fromMs: number,
  toMs: number,
): Pick<GpuMetrics, "split" | "unattributed"> {
  const seconds = (toMs - fromMs) / 1000;
  const held = gpu.allocation === "allocated" ? 0.93 : 0;
  const busy = (gpu.reading.smActivityRatio ?? 0) > 0.02 ? 0.8 : 0.1;
  const unknown = gpu.allocation === "unknown" ? 0.97 : 0;
  return {
    split: {
      activeSeconds: seconds * held * busy,
      idleSeconds: seconds * held * (1 - busy),
      freeSeconds: seconds * (0.97 - held - unknown),
      unknownSeconds: seconds * unknown,
      unsampledSeconds: seconds * 0.03,
    },
    unattributed:
      unknown === 0
        ? []
        : [
            {
              reason:
                "nothing tells who holds this device: no agent reports it, and its samples name no pod",
              seconds: seconds * unknown,
            },
          ],
  };
}

/** Other calls on the device meanwhile. */
export function makeNeighbours(
  startMs: number,
  durationMs: number,
): TraceGpuLanes["lanes"][number]["neighbours"] {
  const random = createRandom(4711);
  return Array.from({ length: 31 }, (_, i) => {
    const length = durationMs * random.between(0.1, 0.9);
    const from = startMs - length * 0.5 + random.between(0, 1) * durationMs;
    return {
      traceId: random.hex(32),
      spanId: random.hex(16),
      name: `chat llama-3.1-70b`,
      model: "llama-3.1-70b",
      startTime: iso(from),
      durationNs: length * 1e6,
      queueMs: i % 3 === 0 ? length * 0.3 : length * 0.05,
      prefillMs: length * 0.15,
      decodeMs: length * 0.5,
    };
  }).sort((a, b) => (a.startTime < b.startTime ? -1 : 1));
}
