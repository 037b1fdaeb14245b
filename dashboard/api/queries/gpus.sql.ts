/**
 * Devices and their samples. Devices have no tenant; which ones a caller may see is decided by the
 * tenant's own spans (`devicesOfTenant`) before any of these queries names a device.
 */
import type { Gpu, GpuMetrics } from "@axonize/core/contract/gpu";
import * as limits from "../limits.ts";
import { rfc3339FromMs } from "../time-text.ts";
import { isCallSql } from "./filter.sql.ts";
import type { DeviceScope, Queries, TenantScope } from "./query.ts";

export interface DeviceUse {
  device: string;
  firstMs: number;
  lastMs: number;
  calls: number;
  /** `namespace\u0000pod\u0000container` of the tenant's spans on it. */
  pods: string[];
}

/** Devices that the tenant's spans name in the range, and for which time. */
export async function devicesOfTenant(
  queries: Queries,
  scope: TenantScope,
): Promise<Map<string, DeviceUse>> {
  const { rows } = await queries.rows<DeviceUse>(
    scope,
    `SELECT arrayJoin(gpu_devices) AS device,
       min(toUnixTimestamp64Milli(start)) AS firstMs,
       max(toUnixTimestamp64Milli(start) + intDiv(duration_ns, 1000000)) AS lastMs,
       countIf(${isCallSql}) AS calls,
       groupUniqArray(64)(concat(namespace, '\\0', pod, '\\0', container)) AS pods
     FROM {{spans}} WHERE notEmpty(gpu_devices)
     GROUP BY device ORDER BY device LIMIT ${limits.devices}`,
  );
  return new Map(rows.map((row) => [row.device, row]));
}

export interface Holder {
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
 */
export async function readHolders(
  queries: Queries,
  signal: AbortSignal,
  trace: { startMs: number; endMs: number; pods: readonly { namespace: string; pod: string }[] },
): Promise<Holder[]> {
  const { rows } = await queries.rows<Holder>(
    { devices: "all", signal, fromMs: trace.startMs - heldMs, toMs: trace.endMs },
    `SELECT device, name, node, holder.1 AS namespace, holder.2 AS pod
     FROM (
       SELECT device, argMax(name, time) AS name, argMax(node, time) AS node,
         min(device_index) AS place,
         groupUniqArrayIf(64)(tuple(toString(namespace), toString(pod)), isIn) AS during,
         argMaxIf(tuple(toString(namespace), toString(pod)), time, NOT isIn) AS before,
         arrayJoin(if(empty(during), [before], during)) AS holder
       FROM (
         SELECT *, time >= fromUnixTimestamp64Milli({startMs:Int64}, 'UTC') AS isIn FROM {{gpuSamples}}
       )
       GROUP BY device
     )
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

interface DeviceRecord {
  uuid: string;
  parentUuid: string;
  name: string;
  vendor: string;
  driverVersion: string;
  node: string;
  index: number | null;
  migProfile: string;
  pods: string[];
  firstMs: number;
  lastMs: number;
  utilization: number | null;
  memoryUsed: number | null;
  memoryTotal: number | null;
  powerWatts: number | null;
  powerLimitWatts: number | null;
  temperatureCelsius: number | null;
  smActivity: number | null;
  tensorActivity: number | null;
  dramActivity: number | null;
  smClockMhz: number | null;
  energyMj: number | null;
}

/** A device is stale when it said nothing for this long before the range's end. */
const staleMs = 60_000;

export async function readDevices(
  queries: Queries,
  scope: DeviceScope,
  context: { nowMs: number; uses: ReadonlyMap<string, DeviceUse>; areOwnPodsOnly: boolean },
): Promise<Gpu[]> {
  // argMax skips NULL: the newest value that was measured.
  const newest = (column: string, name: string): string => `argMax(${column}, time) AS ${name}`;
  const { rows } = await queries.rows<DeviceRecord>(
    scope,
    `SELECT device AS uuid, argMax(parent, time) AS parentUuid, argMax(name, time) AS name,
       argMax(vendor, time) AS vendor, argMax(driver_version, time) AS driverVersion,
       argMax(node, time) AS node, argMax(mig_profile, time) AS migProfile,
       ${newest("device_index", "index")},
       groupUniqArrayIf(64)(concat(namespace, '\\0', pod, '\\0', container), pod != '') AS pods,
       min(toUnixTimestamp64Milli(time)) AS firstMs, max(toUnixTimestamp64Milli(time)) AS lastMs,
       ${newest("utilization", "utilization")}, ${newest("memory_used", "memoryUsed")},
       ${newest("memory_total", "memoryTotal")}, ${newest("power_watts", "powerWatts")},
       ${newest("power_limit_watts", "powerLimitWatts")},
       ${newest("temperature_celsius", "temperatureCelsius")},
       ${newest("sm_activity", "smActivity")}, ${newest("tensor_activity", "tensorActivity")},
       ${newest("dram_activity", "dramActivity")}, ${newest("sm_clock_mhz", "smClockMhz")},
       ${newest("energy_mj", "energyMj")}
     FROM {{gpuSamples}} GROUP BY device ORDER BY node, index, device LIMIT ${limits.devices}`,
  );
  return rows.map((row) => gpuFrom(row, scope, context));
}

function gpuFrom(
  row: DeviceRecord,
  scope: DeviceScope,
  context: { nowMs: number; uses: ReadonlyMap<string, DeviceUse>; areOwnPodsOnly: boolean },
): Gpu {
  const use = context.uses.get(row.uuid);
  return {
    uuid: row.uuid,
    parentUuid: row.parentUuid,
    name: row.name,
    vendor: row.vendor,
    driverVersion: row.driverVersion,
    node: row.node,
    index: row.index,
    migProfile: row.migProfile,
    pods: podsFrom(context.areOwnPodsOnly ? (use?.pods ?? []) : row.pods),
    firstSeen: rfc3339FromMs(row.firstMs),
    lastSeen: rfc3339FromMs(row.lastMs),
    stale: Math.min(scope.toMs, context.nowMs) - row.lastMs > staleMs,
    reading: {
      utilizationRatio: row.utilization,
      memoryUsedBytes: row.memoryUsed,
      memoryTotalBytes: row.memoryTotal,
      powerWatts: row.powerWatts,
      powerLimitWatts: row.powerLimitWatts,
      temperatureCelsius: row.temperatureCelsius,
      smActivityRatio: row.smActivity,
      tensorActivityRatio: row.tensorActivity,
      dramActivityRatio: row.dramActivity,
      smClockMhz: row.smClockMhz,
      energyJoules: row.energyMj === null ? null : row.energyMj / 1000,
    },
    requestCount: use?.calls ?? 0,
  };
}

function podsFrom(pods: readonly string[]): Gpu["pods"] {
  return pods
    .map((text) => {
      const [namespace = "", name = "", container = ""] = text.split("\u0000");
      return { namespace, name, container };
    })
    .filter((pod) => pod.name !== "")
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Raw samples are kept 3 days, 10 s aggregates 30 days (migrations). */
const rawMs = 3 * 86_400_000;
const tenSecondsMs = 30 * 86_400_000;

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
    } & Record<keyof typeof seriesColumns, number | null>
  >(
    scope,
    `SELECT device, intDiv(${timeMs} - {firstMs:Int64}, {stepMs:Int64}) AS step,
       max(memory_total) AS memoryTotal, max(power_limit_watts) AS powerLimit, ${columns.join(", ")}
     FROM {{${source}}} GROUP BY device, step ORDER BY device, step`,
    { firstMs, stepMs },
  );
  const steps = Math.ceil((scope.toMs - firstMs) / stepMs);
  const devices = new Map<string, DeviceSeries>();
  for (const row of rows) {
    let device = devices.get(row.device);
    if (device === undefined) {
      device = emptySeries(row.device, { firstMs, stepMs, steps });
      devices.set(row.device, device);
    }
    if (row.step < 0 || row.step >= steps) continue;
    for (const name of seriesNames) device.series[name][row.step] = row[name];
    device.memoryTotalBytes = row.memoryTotal ?? device.memoryTotalBytes;
    device.powerLimitWatts = row.powerLimit ?? device.powerLimitWatts;
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

export async function readFleetUse(
  queries: Queries,
  scope: DeviceScope,
): Promise<{ devices: number; utilizationRatio: number | null } | null> {
  const { rows } = await queries.rows<{ devices: number; utilizationRatio: number | null }>(
    scope,
    `SELECT uniqExact(device) AS devices, avgMerge(utilization) AS utilizationRatio
     FROM {{gpuSamples10s}}`,
  );
  const [row] = rows;
  return row === undefined || row.devices === 0 ? null : row;
}
