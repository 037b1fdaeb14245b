/**
 * The devices as OpenTelemetry's `hw.*` metrics (semantic conventions 1.44), for people with a stack of
 * their own: OTLP/HTTP in JSON to one endpoint, every ten seconds. What cannot be sent is dropped: the
 * next one has newer values.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { every } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { DeviceView, ShownDevice } from "./device-view.ts";
import { otlpPeriodMs, otlpTimeoutMs } from "./limits.ts";

export interface OtlpDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly view: () => DeviceView;
  readonly sent: (outcome: "sent" | "failed") => void;
}

export function createOtlpExport(
  deps: OtlpDeps,
  options: { readonly endpoint: string; readonly periodMs?: number },
): AsyncDisposable {
  const { clock, log } = deps;
  const closing = new AbortController();
  const url = new URL(options.endpoint);
  if (url.pathname === "/") url.pathname = "/v1/metrics";
  const startNs = nanoseconds(clock.now());
  let wasDown = false;
  const send = async (): Promise<void> => {
    const view = deps.view();
    if (view.devices.length === 0) return;
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(metricsRequest(view, startNs, nanoseconds(clock.now()))),
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(otlpTimeoutMs)]),
    });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`the endpoint answered ${response.status}`);
    deps.sent("sent");
    wasDown = false;
  };
  const running = every(
    {
      clock,
      ms: options.periodMs ?? otlpPeriodMs,
      signal: closing.signal,
      onError(error) {
        if (closing.signal.aborted) return;
        deps.sent("failed");
        if (!wasDown) log.warn({ event: "otlp.failed", url: url.href, error: errorMessage(error) });
        wasDown = true;
      },
    },
    send,
  );
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
    },
  };
}

type Attributes = Readonly<Record<string, string>>;
interface Point {
  readonly value: number | undefined;
  readonly attributes: Attributes;
}
interface Instrument {
  readonly name: string;
  readonly unit: string;
  readonly kind: "gauge" | "counter" | "updown";
  readonly points: (device: ShownDevice) => readonly Point[];
}

const one = (value: number | undefined, attributes: Attributes = {}): Point[] => [
  { value, attributes },
];
const gpuType = { "hw.type": "gpu" };

const instruments: readonly Instrument[] = [
  {
    name: "hw.gpu.utilization",
    unit: "1",
    kind: "gauge",
    // A slice has no utilisation of NVML's; the share of time its engine was busy is the same question.
    points: ({ latest, slice }) =>
      one(latest.value(slice ? "graphicsActivityRatio" : "utilizationRatio"), {
        "hw.gpu.task": "general",
      }),
  },
  {
    name: "hw.gpu.memory.usage",
    unit: "By",
    kind: "updown",
    points: ({ latest }) => one(latest.value("memoryUsedBytes")),
  },
  {
    name: "hw.gpu.memory.limit",
    unit: "By",
    kind: "updown",
    points: ({ latest }) => one(latest.value("memoryTotalBytes")),
  },
  {
    name: "hw.gpu.io",
    unit: "By",
    kind: "counter",
    points: ({ latest }) => [
      {
        value: latest.value("pcieTxBytes"),
        attributes: { "network.io.direction": "transmit" },
      },
      { value: latest.value("pcieRxBytes"), attributes: { "network.io.direction": "receive" } },
    ],
  },
  {
    name: "hw.power",
    unit: "W",
    kind: "gauge",
    points: ({ latest }) => one(latest.value("powerWatts"), gpuType),
  },
  {
    name: "hw.energy",
    unit: "J",
    kind: "counter",
    points({ latest }) {
      const millijoules = latest.value("energyMillijoules");
      return one(millijoules === undefined ? undefined : millijoules / 1000, gpuType);
    },
  },
  {
    name: "hw.temperature",
    unit: "Cel",
    kind: "gauge",
    points: ({ latest, details }) => [
      {
        value: latest.value("temperatureCelsius"),
        attributes: { "hw.sensor_location": "gpu" },
      },
      {
        value: details?.memoryTemperatureCelsius,
        attributes: { "hw.sensor_location": "memory" },
      },
    ],
  },
  {
    name: "hw.errors",
    unit: "{error}",
    kind: "counter",
    points: ({ latest }) => [
      {
        value: latest.value("eccCorrected"),
        attributes: { ...gpuType, "error.type": "corrected" },
      },
      {
        value: latest.value("eccUncorrected"),
        attributes: { ...gpuType, "error.type": "uncorrected" },
      },
    ],
  },
  {
    name: "hw.status",
    unit: "1",
    kind: "updown",
    points: ({ gpu, slice }) =>
      slice
        ? []
        : (["ok", "failed"] as const).map((state) => ({
            value: Number((state === "failed") === gpu.lost),
            attributes: { ...gpuType, "hw.state": state },
          })),
  },
];

/** ExportMetricsServiceRequest in OTLP's JSON form. */
export function metricsRequest(view: DeviceView, startNs: string, nowNs: string): unknown {
  const metrics = instruments.flatMap(({ name, unit, kind, points }) => {
    const dataPoints = view.devices.flatMap((device) =>
      points(device)
        .filter(({ value }) => value !== undefined)
        .map(({ value, attributes }) => ({
          attributes: keyValues({ ...identityOf(view, device), ...attributes }),
          ...(kind === "gauge" ? {} : { startTimeUnixNano: startNs }),
          timeUnixNano: nowNs,
          asDouble: value,
        })),
    );
    if (dataPoints.length === 0) return [];
    const sum = { dataPoints, aggregationTemporality: 2, isMonotonic: kind === "counter" };
    return [{ name, unit, ...(kind === "gauge" ? { gauge: { dataPoints } } : { sum }) }];
  });
  return {
    resourceMetrics: [
      {
        resource: {
          attributes: keyValues({ "service.name": "axonize-agent", "k8s.node.name": view.node }),
        },
        scopeMetrics: [{ scope: { name: "axonize-agent" }, metrics }],
      },
    ],
  };
}

function identityOf(view: DeviceView, { gpu, slice, holders }: ShownDevice): Attributes {
  const [holder] = holders.length === 1 ? holders : [];
  return {
    "hw.id": slice?.uuid ?? gpu.uuid,
    "hw.name": slice ? `${gpu.name} MIG ${slice.profile}` : gpu.name,
    "hw.model": gpu.name,
    "hw.vendor": "NVIDIA",
    ...(gpu.serial === undefined ? {} : { "hw.serial_number": gpu.serial }),
    "hw.driver_version": view.driverVersion,
    ...(slice ? { "hw.parent": gpu.uuid } : {}),
    ...(holder
      ? {
          "k8s.namespace.name": holder.namespace,
          "k8s.pod.name": holder.pod,
          "k8s.container.name": holder.container,
        }
      : {}),
  };
}

function keyValues(attributes: Attributes): unknown[] {
  return Object.entries(attributes).map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

function nanoseconds(ms: number): string {
  return `${BigInt(Math.round(ms)) * 1_000_000n}`;
}
