/**
 * GPUs and MIG slices as the API answers them.
 *
 * A value that the device cannot tell, or that nobody measured, is null, never 0.
 */
import * as z from "zod";
import { TimeRangeQuery, Timestamp, TraceId, page } from "./common.ts";

const nullableNumber = z.number().nullable();

export const GpuReading = z.object({
  utilizationRatio: nullableNumber.describe("0–1."),
  memoryUsedBytes: nullableNumber,
  memoryTotalBytes: nullableNumber,
  powerWatts: nullableNumber,
  powerLimitWatts: nullableNumber,
  temperatureCelsius: nullableNumber,
  smActivityRatio: nullableNumber,
  tensorActivityRatio: nullableNumber,
  dramActivityRatio: nullableNumber,
  smClockMhz: nullableNumber,
  energyJoules: nullableNumber.describe("Counter since driver load."),
});

/**
 * Who had a device for how long. Allocation (the kubelet's word) and usage (the driver's) are apart,
 * because they disagree in life. Another tenant's are nameless.
 */
export const Holder = z
  .object({
    kind: z
      .enum(["allocation", "usage", "sample"])
      .describe("The kubelet gave it; a process computes on it; the device's sender named a pod."),
    own: z.boolean().describe("False: another tenant's, told without names."),
    namespace: z.string(),
    pod: z.string(),
    container: z.string(),
    pid: z.number().int().nullable().describe("As the host sees it."),
    command: z.string().describe("The process's own name for itself, at most 15 bytes."),
    replica: z.number().int().nullable().describe("Slot of a shared device."),
    from: Timestamp,
    to: Timestamp.nullable().describe("Null while it goes on."),
    stale: z.boolean().describe("Held on without the kubelet's word."),
    closeReason: z.string(),
  })
  .meta({ id: "GpuHolder" });
export type Holder = z.infer<typeof Holder>;

export const Gpu = z
  .object({
    uuid: z
      .string()
      .describe("`GPU-…` or `MIG-…` exactly as NVML tells it, else the sender's hw.id."),
    parentUuid: z.string().describe("The GPU of a MIG slice; empty for a GPU."),
    name: z.string(),
    vendor: z.string(),
    driverVersion: z.string(),
    node: z.string(),
    index: z.number().int().nullable(),
    migProfile: z.string(),
    pods: z.array(z.object({ namespace: z.string(), name: z.string(), container: z.string() })),
    allocation: z
      .enum(["allocated", "free", "unknown"])
      .describe("At the range's end. `unknown` where nothing tells who holds it."),
    allocationReason: z.string().describe("Why it is unknown; empty otherwise."),
    holders: z.array(Holder).describe("At the range's end."),
    throttleReasons: z.array(z.string()).describe("Why it is slowed now; empty when it is not."),
    firstSeen: Timestamp,
    lastSeen: Timestamp,
    stale: z
      .boolean()
      .describe("No sample for more than 60 s, in a range that ends now; a past range is not."),
    reading: GpuReading.describe("The newest value of each series within the range."),
    requestCount: z.number().int().describe("Model calls attributed to it in the range."),
  })
  .meta({ id: "Gpu" });
export type Gpu = z.infer<typeof Gpu>;

export const GpuList = page(Gpu).meta({ id: "GpuList" });
export const GpuParams = z.object({ uuid: z.string().min(1).max(128) });
export const GpuQuery = z.object({ ...TimeRangeQuery.shape });
export const GpuMetricsQuery = z.object({
  ...TimeRangeQuery.shape,
  buckets: z.coerce.number().int().min(10).max(1500).default(600),
});

export const gpuEventKinds = ["xid", "ecc", "throttle", "mig", "lost", "recovered"] as const;
const GpuEvent = z.object({
  time: Timestamp,
  kind: z.enum(gpuEventKinds),
  code: z.number().int().nullable(),
  message: z.string(),
});

const series = z.array(nullableNumber);
export const GpuSeries = z.object({
  uuid: z.string(),
  stepMs: z.number(),
  startMs: z.array(z.number()),
  utilizationRatio: series,
  memoryUsedBytes: series,
  powerWatts: series,
  temperatureCelsius: series,
  smActivityRatio: series,
  tensorActivityRatio: series,
  dramActivityRatio: series,
  smClockMhz: series,
});

/** A time in which the device slowed itself, with NVML's reasons in words. */
const Throttle = z.object({ from: Timestamp, to: Timestamp, reasons: z.array(z.string()) });

/** The range by what the device did and who had it, in seconds; the parts sum to the range. */
export const DeviceSplit = z.object({
  activeSeconds: z.number().describe("Held, and more than 2 % busy."),
  idleSeconds: z.number().describe("Held, and not busy."),
  freeSeconds: z.number().describe("Held by nobody."),
  unknownSeconds: z.number().describe("Sampled, and nothing tells who held it."),
  unsampledSeconds: z.number().describe("Nothing was measured."),
});
export type DeviceSplit = z.infer<typeof DeviceSplit>;

export const GpuMetrics = z
  .object({
    from: Timestamp,
    to: Timestamp,
    series: GpuSeries,
    memoryTotalBytes: nullableNumber,
    powerLimitWatts: nullableNumber,
    events: z.array(GpuEvent),
    throttles: z.array(Throttle),
    holders: z.array(Holder).describe("All that overlap the range, oldest first."),
    split: DeviceSplit,
    unattributed: z
      .array(z.object({ reason: z.string(), seconds: z.number() }))
      .describe("Why `unknownSeconds` are."),
  })
  .meta({ id: "GpuMetrics" });
export type GpuMetrics = z.infer<typeof GpuMetrics>;

/** Another call on the same device at the same time; only the caller's own tenant's. */
const Neighbour = z.object({
  traceId: z.string(),
  spanId: z.string(),
  name: z.string(),
  model: z.string(),
  startTime: Timestamp,
  durationNs: z.number(),
  queueMs: nullableNumber,
  prefillMs: nullableNumber,
  decodeMs: nullableNumber,
});

/** The GPU band of a request: the devices its spans ran on, on the trace's own time axis. */
export const TraceGpuLanes = z
  .object({
    traceId: z.string(),
    from: Timestamp,
    to: Timestamp,
    lanes: z.array(
      z.object({
        gpu: Gpu,
        level: z.string().describe("How surely this request ran here, `exact.sdk` to `likely.…`."),
        evidence: z.array(z.string()),
        series: GpuSeries,
        events: z.array(GpuEvent),
        throttles: z.array(Throttle),
        holders: z.array(Holder).describe("Who had the device meanwhile, the request included."),
        neighbours: z.array(Neighbour),
        neighbourCount: z.number().int().describe("All of them; `neighbours` may be fewer."),
      }),
    ),
    level: z.string(),
    candidates: z
      .array(z.object({ uuid: z.string(), name: z.string(), node: z.string() }))
      .describe("For an ambiguous join: what it may have been. Never shown as what it was."),
    evidence: z.array(z.string()).describe("What was looked at where no device is certain."),
    reason: z.string().describe("Why there are no lanes; empty when there are."),
  })
  .meta({ id: "TraceGpuLanes" });
export type TraceGpuLanes = z.infer<typeof TraceGpuLanes>;
export const TraceGpuParams = z.object({ traceId: TraceId });
