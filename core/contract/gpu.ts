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
    firstSeen: Timestamp,
    lastSeen: Timestamp,
    stale: z.boolean().describe("No sample for more than 60 s."),
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

export const gpuEventKinds = ["xid", "ecc", "throttle", "mig", "lost"] as const;
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
export const GpuMetrics = z
  .object({
    from: Timestamp,
    to: Timestamp,
    series: GpuSeries,
    memoryTotalBytes: nullableNumber,
    powerLimitWatts: nullableNumber,
    events: z.array(GpuEvent),
  })
  .meta({ id: "GpuMetrics" });
export type GpuMetrics = z.infer<typeof GpuMetrics>;

/** The GPU band of a request: the devices its spans ran on, on the trace's own time axis. */
export const TraceGpuLanes = z
  .object({
    traceId: z.string(),
    from: Timestamp,
    to: Timestamp,
    lanes: z.array(z.object({ gpu: Gpu, series: GpuSeries, events: z.array(GpuEvent) })),
    reason: z.string().describe("Why there are no lanes; empty when there are."),
  })
  .meta({ id: "TraceGpuLanes" });
export type TraceGpuLanes = z.infer<typeof TraceGpuLanes>;
export const TraceGpuParams = z.object({ traceId: TraceId });
