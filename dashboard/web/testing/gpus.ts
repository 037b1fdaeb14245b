/**
 * A made-up fleet: sixteen nodes of eight devices, some sliced, some idle, one throttling.
 */
import type { Gpu, GpuMetrics, TraceGpuLanes } from "@axonize/core/contract/gpu";
import { gpuOf, pods } from "./calls.ts";
import { makeHistory, makeHolders, makeNeighbours, makeSplit } from "./holders.ts";
import { createRandom } from "./random.ts";

const pools = [
  { prefix: "gpu-node", nodes: 8, name: "NVIDIA H100 80GB HBM3", memoryGib: 80, watts: 700 },
  { prefix: "batch", nodes: 5, name: "NVIDIA A100-SXM4-80GB", memoryGib: 80, watts: 400 },
  { prefix: "dev", nodes: 3, name: "NVIDIA L40S", memoryGib: 48, watts: 350 },
] as const;
const gib = 1_073_741_824;

export function makeGpus(nowMs: number): readonly Gpu[] {
  const random = createRandom(77);
  const gpus: Gpu[] = [];
  let podAt = 0;
  for (const pool of pools) {
    for (let n = 1; n <= pool.nodes; n += 1) {
      for (let index = 0; index < 8; index += 1) {
        const node = `${pool.prefix}-${n}`;
        const idle = random.next() < (pool.prefix === "dev" ? 0.45 : 0.1);
        const holder = pool.prefix === "gpu-node" && index < 2 && n >= 3 ? pods[podAt] : undefined;
        if (holder !== undefined) podAt += 1;
        const hot = node === "gpu-node-7" && index === 1;
        const busy = idle
          ? random.between(0, 0.01)
          : random.between(pool.prefix === "dev" ? 0.05 : 0.4, 0.99);
        const uuid = holder === undefined ? gpuOf(`${node}/${index}`) : gpuOf(holder);
        const base = makeGpu({
          uuid,
          node,
          index,
          pool,
          busy,
          hot,
          nowMs,
          holder:
            holder ?? (random.next() < 0.85 ? `${pool.prefix}-job-${random.hex(4)}` : undefined),
        });
        gpus.push(base);
        if (node === "gpu-node-5" && index < 2) gpus.push(...makeSlices(base, random.next()));
      }
    }
  }
  return gpus;
}

interface GpuSpec {
  readonly uuid: string;
  readonly node: string;
  readonly index: number;
  readonly pool: (typeof pools)[number];
  readonly busy: number;
  readonly hot: boolean;
  readonly nowMs: number;
  readonly holder: string | undefined;
}

function makeGpu({ uuid, node, index, pool, busy, hot, nowMs, holder }: GpuSpec): Gpu {
  const pods =
    holder === undefined
      ? []
      : [
          {
            namespace: pool.prefix === "gpu-node" ? "prod" : pool.prefix,
            name: holder,
            container: "main",
          },
        ];
  // One node has no agent: nobody can tell who holds its devices.
  const isTold = node !== "dev-2";
  return {
    uuid,
    parentUuid: "",
    name: pool.name,
    vendor: "NVIDIA",
    driverVersion: "570.124.06",
    node,
    index,
    migProfile: "",
    pods: isTold ? pods : [],
    allocation: isTold ? (pods.length > 0 ? "allocated" : "free") : "unknown",
    allocationReason: isTold
      ? ""
      : "nothing tells who holds this device: no agent reports it, and its samples name no pod",
    holders: isTold ? makeHolders(pods, nowMs) : [],
    throttleReasons: hot ? ["thermal slowdown (hardware)"] : [],
    firstSeen: new Date(nowMs - 6 * 86_400e3).toISOString(),
    lastSeen: new Date(nowMs - (node === "dev-3" && index === 7 ? 900e3 : 1200)).toISOString(),
    stale: node === "dev-3" && index === 7,
    reading: {
      utilizationRatio: busy,
      memoryUsedBytes: (busy < 0.02 ? 0.04 : 0.35 + busy * 0.6) * pool.memoryGib * gib,
      memoryTotalBytes: pool.memoryGib * gib,
      powerWatts: pool.watts * (0.17 + busy * 0.72),
      powerLimitWatts: pool.watts,
      temperatureCelsius: hot ? 91 : 34 + busy * 42,
      smActivityRatio: pool.prefix === "dev" ? null : busy * 0.93,
      tensorActivityRatio: pool.prefix === "dev" ? null : busy * 0.41,
      dramActivityRatio: pool.prefix === "dev" ? null : busy * 0.6,
      smClockMhz: hot ? 1215 : 1980,
      energyJoules: 4.1e9,
    },
    requestCount: pool.prefix === "gpu-node" ? Math.round(busy * 900) : 0,
  };
}

function makeSlices(gpu: Gpu, seed: number): readonly Gpu[] {
  const shares = [
    ["3g.40gb", 0.5, 0.97],
    ["2g.20gb", 0.25, 0.64],
    ["1g.10gb", 0.125, 0],
    ["1g.10gb", 0.125, 0.31],
  ] as const;
  const podsOf = (i: number): Gpu["pods"] =>
    i === 3 ? [] : [{ namespace: "vision", name: `slice-holder-${i}`, container: "main" }];
  return shares.map(([profile, share, busy], i) => ({
    ...gpu,
    allocation: i === 3 ? ("free" as const) : ("allocated" as const),
    holders: makeHolders(podsOf(i), Date.parse(gpu.lastSeen)),
    uuid: gpu.uuid.replace("GPU-", "MIG-").replace(/..$/, `0${i}`),
    parentUuid: gpu.uuid,
    index: i,
    migProfile: profile,
    pods: podsOf(i),
    reading: {
      ...gpu.reading,
      utilizationRatio: null,
      smActivityRatio: Math.min(1, busy * (0.8 + seed * 0.2)),
      memoryUsedBytes: busy * share * 80 * gib,
      memoryTotalBytes: share * 80 * gib,
      powerWatts: null,
      temperatureCelsius: null,
    },
    requestCount: Math.round(busy * 200),
  }));
}

export function makeGpuMetrics(
  gpu: Gpu,
  fromMs: number,
  toMs: number,
  buckets: number,
): GpuMetrics {
  const random = createRandom(Number.parseInt(gpu.uuid.slice(4, 11), 16));
  const stepMs = Math.max(100, (toMs - fromMs) / buckets);
  const startMs = Array.from({ length: buckets }, (_, i) => fromMs + i * stepMs);
  const base = gpu.reading.smActivityRatio ?? gpu.reading.utilizationRatio ?? 0.5;
  let level = base;
  const busy = startMs.map((_, i) => {
    level += (base - level) * 0.1 + random.between(-0.09, 0.09);
    level = Math.max(0, Math.min(1, level));
    return i > buckets * 0.44 && i < buckets * 0.47 ? null : level;
  });
  const map = (f: (b: number, i: number) => number) =>
    busy.map((b, i) => (b === null ? null : f(b, i)));
  const watts = gpu.reading.powerLimitWatts ?? 400;
  const hot = (gpu.reading.temperatureCelsius ?? 0) > 85;
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    series: {
      uuid: gpu.uuid,
      stepMs,
      startMs,
      utilizationRatio: map((b) => Math.min(1, b * 1.05)),
      memoryUsedBytes: map(
        (b, i) => (gpu.reading.memoryUsedBytes ?? 0) * (0.9 + b * 0.1 + i / buckets / 40),
      ),
      powerWatts: map(
        (b, i) =>
          watts * (0.17 + b * 0.72) * (hot && i > buckets * 0.6 && i < buckets * 0.75 ? 0.6 : 1),
      ),
      temperatureCelsius: map((b, i) => 36 + b * 42 + (hot ? (i / buckets) * 14 : 0)),
      smActivityRatio: gpu.reading.smActivityRatio === null ? busy.map(() => null) : busy,
      tensorActivityRatio:
        gpu.reading.smActivityRatio === null ? busy.map(() => null) : map((b) => b * 0.43),
      dramActivityRatio:
        gpu.reading.smActivityRatio === null ? busy.map(() => null) : map((b) => b * 0.61),
      smClockMhz: map((_, i) => (hot && i > buckets * 0.6 && i < buckets * 0.75 ? 1215 : 1980)),
    },
    memoryTotalBytes: gpu.reading.memoryTotalBytes,
    powerLimitWatts: watts,
    events: hot
      ? [
          {
            time: new Date(fromMs + (toMs - fromMs) * 0.6).toISOString(),
            kind: "throttle",
            code: null,
            message: "HW thermal slowdown, 1,980 to 1,215 MHz",
          },
          {
            time: new Date(fromMs + (toMs - fromMs) * 0.83).toISOString(),
            kind: "xid",
            code: 94,
            message: "XID 94: contained ECC error",
          },
        ]
      : [],
    throttles: hot
      ? [
          {
            from: new Date(fromMs + (toMs - fromMs) * 0.6).toISOString(),
            to: new Date(fromMs + (toMs - fromMs) * 0.75).toISOString(),
            reasons: ["thermal slowdown (hardware)"],
          },
        ]
      : [],
    holders: makeHistory(gpu, fromMs, toMs),
    ...makeSplit(gpu, fromMs, toMs),
  };
}

export function makeLanes(
  traceId: string,
  gpu: Gpu | undefined,
  startMs: number,
  durationMs: number,
): TraceGpuLanes {
  const fromMs = startMs - durationMs * 0.1;
  const toMs = startMs + durationMs * 1.1;
  if (!gpu) {
    return {
      traceId,
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
      lanes: [],
      level: "unattributed",
      candidates: [],
      evidence: [],
      reason:
        "No span of this request names a device, a pod or a node, so no GPU can be joined to it. Set k8s.pod.uid (the OpenTelemetry Operator does) or axonize.gpu.uuids.",
    };
  }
  const metrics = makeGpuMetrics(gpu, fromMs, toMs, 120);
  return {
    traceId,
    from: metrics.from,
    to: metrics.to,
    lanes: [
      {
        gpu,
        level: "exact.single",
        evidence: [
          "the kubelet allocated one device to the container",
          "NVML lists its process on it",
        ],
        series: metrics.series,
        events: metrics.events,
        throttles: metrics.throttles,
        holders: gpu.holders,
        neighbours: makeNeighbours(startMs, durationMs),
        neighbourCount: 31,
      },
    ],
    level: "exact.single",
    candidates: [],
    evidence: [],
    reason: "",
  };
}
