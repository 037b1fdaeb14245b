/**
 * Samples and events of devices over time, and whom samples name. Which devices a caller may see, and
 * when, is decided before (`gpus/sight.ts`) and held by the scope.
 */
import type { GpuMetrics } from "@axonize/core/contract/gpu";
import { hold } from "../gpus/hold.ts";
import { throttleStretches } from "../gpus/throttle.ts";
import * as limits from "../limits.ts";
import { rfc3339FromMs } from "../time-text.ts";
import type { DeviceScope, Queries } from "./query.ts";

export interface NamedHolder {
  device: string;
  name: string;
  node: string;
  namespace: string;
  pod: string;
}

/** A device that said nothing for this long is no longer known to belong to its pod. */
const heldMs = 60_000;

/**
 * The devices that these pods held while a trace ran: named by samples of that time or, where none
 * falls into it, by the last one before. Samples name the pods, so they, not spans, are believed.
 * Where raw samples are gone, by the hour's first and last sample that named each pod; a device of
 * which two pods are told for that time is nobody's then, for it may have changed hands.
 */
export async function readNamedHolders(
  queries: Queries,
  signal: AbortSignal,
  trace: {
    startMs: number;
    endMs: number;
    nowMs: number;
    pods: readonly { namespace: string; pod: string }[];
  },
): Promise<NamedHolder[]> {
  const isRaw = trace.nowMs - trace.startMs < rawMs;
  const { rows } = await queries.rows<NamedHolder>(
    { devices: "all", signal, fromMs: trace.startMs - heldMs, toMs: trace.endMs },
    `SELECT device, name, node, holder.1 AS namespace, holder.2 AS pod
     FROM (${isRaw ? holdersOfSamples : holdersOfHours})
     WHERE holder IN (SELECT arrayJoin(arrayZip({namespaces:Array(String)}, {pods:Array(String)})))
     ORDER BY node, place, device LIMIT ${limits.devices}`,
    {
      startMs: Math.floor(trace.startMs),
      namespaces: trace.pods.map((pod) => pod.namespace),
      pods: trace.pods.map((pod) => pod.pod),
    },
  );
  return rows;
}

const holdersOfSamples = `
  SELECT device, argMax(name, time) AS name, argMax(node, time) AS node,
    min(device_index) AS place,
    groupUniqArrayIf(64)(tuple(toString(namespace), toString(pod)), isIn) AS during,
    argMaxIf(tuple(toString(namespace), toString(pod)), time, NOT isIn) AS before,
    arrayJoin(if(empty(during), [before], during)) AS holder
  FROM (
    SELECT *, time >= fromUnixTimestamp64Milli({startMs:Int64}, 'UTC') AS isIn FROM {{gpuSamples}}
  )
  GROUP BY device`;
const holdersOfHours = `
  SELECT device, max(name) AS name, max(node) AS node, min(device_index) AS place,
    any(tuple(toString(namespace), toString(pod))) AS holder
  FROM {{gpuDevices}} GROUP BY device HAVING uniqExact(namespace, pod) = 1`;

/** Milliseconds between samples of these devices, on average; 0 when there are too few to tell. */
export async function readSampleInterval(queries: Queries, scope: DeviceScope): Promise<number> {
  const { rows } = await queries.rows<{ intervalMs: number | null }>(
    scope,
    `SELECT max(ms) AS intervalMs FROM (
       SELECT (max(toUnixTimestamp64Milli(time)) - min(toUnixTimestamp64Milli(time)))
         / (uniqExact(time) - 1) AS ms
       FROM {{gpuSamples}} GROUP BY device HAVING uniqExact(time) > 1
     )`,
  );
  return Math.ceil(rows[0]?.intervalMs ?? 0);
}

/** Raw samples are kept 3 days, 10 s aggregates 30 days (migrations). */
export const rawMs = 3 * 86_400_000;
export const tenSecondsMs = 30 * 86_400_000;

/** The finest table that still has the range and is no finer than needed. */
export function sampleSource(scope: { fromMs: number }, stepMs: number, nowMs: number) {
  const ageMs = nowMs - scope.fromMs;
  if (stepMs < 10_000 && ageMs < rawMs) return "gpuSamples" as const;
  if (stepMs < 300_000 && ageMs < tenSecondsMs) return "gpuSamples10s" as const;
  return "gpuSamples5m" as const;
}

type Series = GpuMetrics["series"];
const seriesColumns = {
  utilizationRatio: ["utilization", "avg"],
  memoryUsedBytes: ["memory_used", "max"],
  powerWatts: ["power_watts", "avg"],
  temperatureCelsius: ["temperature_celsius", "max"],
  smActivityRatio: ["sm_activity", "avg"],
  tensorActivityRatio: ["tensor_activity", "avg"],
  dramActivityRatio: ["dram_activity", "avg"],
  smClockMhz: ["sm_clock_mhz", "avg"],
} as const;
const seriesNames = Object.keys(seriesColumns) as (keyof typeof seriesColumns)[];

export interface DeviceSeries {
  series: Series;
  memoryTotalBytes: number | null;
  powerLimitWatts: number | null;
  throttles: GpuMetrics["throttles"];
}

/**
 * One value per step of the range; a step without samples is null. `centred`: steps lie around the
 * whole multiples, where samples fall that are as far apart as the step.
 */
export async function readSeries(
  queries: Queries,
  scope: DeviceScope,
  options: { stepMs: number; nowMs: number; centred?: boolean },
): Promise<Map<string, DeviceSeries>> {
  const source = sampleSource(scope, options.stepMs, options.nowMs);
  const stepMs = Math.max(options.stepMs, finestMs[source]);
  const shiftMs = options.centred === true ? Math.floor(stepMs / 2) : 0;
  const firstMs = Math.floor((scope.fromMs + shiftMs) / stepMs) * stepMs - shiftMs;
  const isRaw = source === "gpuSamples";
  const timeMs = isRaw ? "toUnixTimestamp64Milli(time)" : "toUnixTimestamp(time) * 1000";
  const columns = seriesNames.map((name) => {
    const [column, kind] = seriesColumns[name];
    const merge = isRaw || kind === "max" ? kind : `${kind}Merge`;
    return `${merge}(${column}) AS ${name}`;
  });
  const { rows } = await queries.rows<
    {
      device: string;
      step: number;
      memoryTotal: number | null;
      powerLimit: number | null;
      throttle: number | null;
    } & Record<keyof typeof seriesColumns, number | null>
  >(
    scope,
    `SELECT device, intDiv(${timeMs} - {firstMs:Int64}, {stepMs:Int64}) AS step,
       max(memory_total) AS memoryTotal, max(power_limit_watts) AS powerLimit, ${columns.join(", ")},
       groupBitOr(throttle_reasons) AS throttle
     FROM {{${source}}} GROUP BY device, step ORDER BY device, step`,
    { firstMs, stepMs },
  );
  const steps = Math.ceil((scope.toMs - firstMs) / stepMs);
  const devices = new Map<string, DeviceSeries>();
  const masks = new Map<string, (number | null)[]>();
  for (const row of rows) {
    let device = devices.get(row.device);
    if (device === undefined) {
      device = emptySeries(row.device, { firstMs, stepMs, steps });
      devices.set(row.device, device);
      masks.set(
        row.device,
        Array.from({ length: steps }, () => null),
      );
    }
    if (row.step < 0 || row.step >= steps) continue;
    for (const name of seriesNames) device.series[name][row.step] = row[name];
    (masks.get(row.device) ?? [])[row.step] = row.throttle;
    device.memoryTotalBytes = row.memoryTotal ?? device.memoryTotalBytes;
    device.powerLimitWatts = row.powerLimit ?? device.powerLimitWatts;
  }
  for (const [uuid, device] of devices) {
    const { series } = device;
    for (const name of seriesNames) if (isRaw) hold(series[name], stepMs);
    const mask = masks.get(uuid) ?? [];
    device.throttles = throttleStretches(series.startMs, stepMs, isRaw ? hold(mask, stepMs) : mask);
  }
  return devices;
}

const finestMs = { gpuSamples: 1, gpuSamples10s: 10_000, gpuSamples5m: 300_000 };

export function emptySeries(
  uuid: string,
  axis: { firstMs: number; stepMs: number; steps: number },
): DeviceSeries {
  const empty = (): (number | null)[] => Array.from({ length: axis.steps }, () => null);
  return {
    series: {
      uuid,
      stepMs: axis.stepMs,
      startMs: Array.from({ length: axis.steps }, (_, at) => axis.firstMs + at * axis.stepMs),
      utilizationRatio: empty(),
      memoryUsedBytes: empty(),
      powerWatts: empty(),
      temperatureCelsius: empty(),
      smActivityRatio: empty(),
      tensorActivityRatio: empty(),
      dramActivityRatio: empty(),
      smClockMhz: empty(),
    },
    memoryTotalBytes: null,
    powerLimitWatts: null,
    throttles: [],
  };
}

export async function readDeviceEvents(
  queries: Queries,
  scope: DeviceScope,
): Promise<Map<string, GpuMetrics["events"]>> {
  const { rows } = await queries.rows<{
    device: string;
    timeMs: number;
    kind: GpuMetrics["events"][number]["kind"];
    code: number | null;
    message: string;
  }>(
    scope,
    `SELECT device, toUnixTimestamp64Milli(time) AS timeMs, toString(kind) AS kind, code, message
     FROM {{gpuEvents}} ORDER BY device, timeMs LIMIT ${limits.deviceEvents} BY device`,
  );
  const events = new Map<string, GpuMetrics["events"]>();
  for (const { device, timeMs, ...event } of rows) {
    const own = events.get(device) ?? [];
    own.push({ ...event, time: rfc3339FromMs(timeMs) });
    events.set(device, own);
  }
  return events;
}
