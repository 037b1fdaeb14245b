/**
 * OTLP metrics into rows: GPU points of one (device, time) become one row of `gpu_samples`, points
 * of `gen_ai.*` become rows of `metrics`; everything else is counted and told to the sender.
 *
 * Metrics come seldom beside spans (hundreds of points a second for a rack of GPUs), so rows are
 * plain objects. All-or-nothing on malformed bytes.
 */
import { hash } from "node:crypto";
import { resourceKeys } from "@axonize/core/contract/attributes";
import { pointsPerRequest } from "../limits.ts";
import { serviceOf } from "../normalize/service.ts";
import type { Encoding } from "../receive/outcome.ts";
import type { BlockSource } from "../write/block.ts";
import { deviceFrom } from "./device-identity.ts";
import { isDeviceMetric, readDevicePoint } from "./device-metrics.ts";
import { walkJson } from "./json.ts";
import type { Attributes, Metric, Point } from "./otlp.ts";
import { walkProtobuf } from "./protobuf.ts";
import { createPointRows, type MetricRow, type SampleRow } from "./rows.ts";
import { MalformedError } from "./wire.ts";

export interface PointsContext {
  encoding: Encoding;
  /** Undefined for the admin key without a tenant: devices only. */
  tenantNum: number | undefined;
  retentionClass: number;
  /** Whether the sender may speak of devices. */
  takesDevices: boolean;
  receivedMs: number;
}

/** Why a point was not kept; `reasons.ts` says it in words. */
export const pointReasons = [
  "device_not_allowed",
  "device_unnamed",
  "metric_not_kept",
  "no_tenant",
  "summary_not_kept",
  "time_out_of_range",
  "too_many_points",
  "unknown_unit",
  "value_out_of_range",
] as const;
export type PointReason = (typeof pointReasons)[number];

export interface PointsDecoded {
  ok: true;
  accepted: number;
  rejected: number;
  reasons: ReadonlyMap<PointReason, number>;
  hoursTouched: ReadonlySet<number>;
}

export interface PointsDecoder extends BlockSource {
  decode(body: Uint8Array, context: PointsContext): PointsDecoded | { ok: false; reason: string };
}

const nsPerMs = 1_000_000n;
const dayMs = 86_400_000;
/** Raw samples live three days; older ones would be dropped at the next merge. */
const oldestSampleMs = 3 * dayMs;
const newestMs = 600_000;

export function createPointsDecoder(): PointsDecoder {
  const rows = createPointRows();
  return {
    openRows: rows.openRows,
    openBytes: rows.openBytes,
    take: rows.take,
    decode: (bytes, context) => {
      const request = createRequest(context);
      const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      try {
        (context.encoding === "json" ? walkJson : walkProtobuf)(body, request.visit);
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error;
        return { ok: false, reason: `The request is not valid OTLP: ${error.message}.` };
      }
      rows.add({ samples: request.samples(), metrics: request.metrics });
      return request.decoded();
    },
  };
}

function createRequest(context: PointsContext) {
  const samples = new Map<string, SampleRow>();
  const metrics: MetricRow[] = [];
  const reasons = new Map<PointReason, number>();
  let accepted = 0;
  let rejected = 0;

  const take = (resource: Attributes, metric: Metric, point: Point): PointReason | undefined => {
    if (accepted >= pointsPerRequest) return "too_many_points";
    if (!isDeviceMetric(metric.name)) {
      const outcome = metricRow(context, { resource, metric, point });
      if (typeof outcome === "string") return outcome;
      metrics.push(outcome);
      return undefined;
    }
    const reading = readDevicePoint(metric, point);
    if (typeof reading === "object" && "reason" in reading) return reading.reason;
    if (!context.takesDevices) return "device_not_allowed";
    const device = deviceFrom(metric.name, point.attributes, resource);
    if (device === undefined) return "device_unnamed";
    const timeMs = Number(point.timeNs / nsPerMs);
    if (!isWithin(timeMs, context, oldestSampleMs)) return "time_out_of_range";
    if (reading === "absent") return undefined; // nothing measured: the column stays NULL
    const key = `${device.cluster}\0${device.device}\0${timeMs}`;
    const row = samples.get(key);
    if (row === undefined)
      samples.set(key, { ...device, timeMs, values: new Map([[reading.column, reading.value]]) });
    else mergeReading(row, device, reading);
    return undefined;
  };
  return {
    metrics,
    samples: () => samples.values(),
    visit: (resource: Attributes, metric: Metric, point: Point): void => {
      const reason = take(resource, metric, point);
      if (reason === undefined) accepted += 1;
      else {
        rejected += 1;
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    },
    decoded: (): PointsDecoded => ({
      ok: true,
      accepted,
      rejected,
      reasons,
      hoursTouched: new Set(),
    }),
  };
}

/** Points of one device and time describe it together: what one leaves out another may name. */
function mergeReading(
  row: SampleRow,
  device: Omit<SampleRow, "timeMs" | "values">,
  reading: { column: string; value: number },
): void {
  row.values.set(reading.column, reading.value);
  row.name ||= device.name;
  row.vendor ||= device.vendor;
  row.driver_version ||= device.driver_version;
  row.parent ||= device.parent;
  row.mig_profile ||= device.mig_profile;
  row.device_index ??= device.device_index;
}

function metricRow(
  context: PointsContext,
  given: { resource: Attributes; metric: Metric; point: Point },
): MetricRow | PointReason {
  const { resource, metric, point } = given;
  if (!metric.name.startsWith("gen_ai.")) return "metric_not_kept";
  if (metric.kind === "summary") return "summary_not_kept";
  if (context.tenantNum === undefined) return "no_tenant";
  const timeMs = Number(point.timeNs / nsPerMs);
  if (!isWithin(timeMs, context, context.retentionClass * dayMs)) return "time_out_of_range";
  const isHistogram = metric.kind === "histogram";
  if (!isHistogram && !Number.isFinite(point.value ?? 0)) return "value_out_of_range";
  const finite = (value: number | undefined): number | undefined =>
    value !== undefined && Number.isFinite(value) ? value : undefined;
  // Buckets that do not fit their bounds say nothing; count and sum still do.
  const hasBuckets =
    point.bucketCounts.length === point.bounds.length + 1 && point.bounds.every(Number.isFinite);
  const resourceFp = fingerprint(resource);
  return {
    tenantNum: context.tenantNum,
    retention: context.retentionClass,
    name: metric.name,
    unit: metric.unit,
    kind: isHistogram ? "histogram" : metric.kind === "sum" ? "sum" : "gauge",
    temporality: metric.temporality,
    monotonic: metric.monotonic,
    seriesFp: hash64(`${metric.name}\0${resourceFp}\0${serialize(point.attributes)}`),
    timeNs: point.timeNs,
    // A point without a start begins where it ends.
    startNs: point.startNs === 0n ? point.timeNs : point.startNs,
    service: serviceOf(resource.get(resourceKeys.service) ?? "", (key) => resource.get(key)),
    resourceFp,
    attributes: point.attributes,
    value: point.absent ? undefined : finite(point.value),
    count: point.count,
    sum: finite(point.sum),
    min: finite(point.min),
    max: finite(point.max),
    bounds: hasBuckets ? point.bounds : [],
    bucketCounts: hasBuckets ? point.bucketCounts : [],
    receivedMs: context.receivedMs,
  };
}

const isWithin = (timeMs: number, context: PointsContext, oldestMs: number): boolean =>
  timeMs >= context.receivedMs - oldestMs && timeMs <= context.receivedMs + newestMs;

const serialize = (attributes: Attributes): string =>
  JSON.stringify([...attributes].sort(([a], [b]) => (a < b ? -1 : 1)));

/** Tells series apart; the attributes of a metric's resource are not stored beyond `service`. */
const fingerprint = (attributes: Attributes): bigint => hash64(serialize(attributes));

const hash64 = (text: string): bigint => BigInt(`0x${hash("sha1", text).slice(0, 16)}`);
