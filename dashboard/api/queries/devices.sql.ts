/**
 * Which devices there are in a time range, what they are, and their newest readings.
 *
 * What a device is comes from `gpu_devices`, which lives as long as the five-minute aggregates; its
 * newest readings from raw samples where they are recent, else from an aggregate. So the list of a
 * range a year back has devices and readings, and the list of now reads a minute, not the range.
 */
import * as limits from "../limits.ts";
import type { DeviceScope, Queries } from "./query.ts";
import { rawMs, tenSecondsMs } from "./gpus.sql.ts";

/** One device in the range, with the pods that its samples named. */
export interface DeviceRecord {
  uuid: string;
  parentUuid: string;
  name: string;
  vendor: string;
  driverVersion: string;
  node: string;
  index: number | null;
  migProfile: string;
  firstMs: number;
  lastMs: number;
  /** `[namespace, pod, container, first ms, last ms]`, oldest first. */
  named: [string, string, string, number, number][];
}

export async function readDeviceRecords(
  queries: Queries,
  scope: DeviceScope,
): Promise<DeviceRecord[]> {
  const newest = (column: string): string => `argMax(${column}, last)`;
  const ms = (column: string): string => `toUnixTimestamp64Milli(${column})`;
  const { rows } = await queries.rows<DeviceRecord>(
    scope,
    `SELECT device AS uuid, ${newest("parent")} AS parentUuid, ${newest("name")} AS name,
       ${newest("vendor")} AS vendor, ${newest("driver_version")} AS driverVersion,
       ${newest("node")} AS node, ${newest("device_index")} AS index,
       ${newest("mig_profile")} AS migProfile,
       min(${ms("first")}) AS firstMs, max(${ms("last")}) AS lastMs,
       arraySlice(arraySort(x -> x.4, groupArrayIf(tuple(toString(namespace), toString(pod),
         toString(container), ${ms("first")}, ${ms("last")}), pod != '')), -64) AS named
     FROM {{gpuDevices}} GROUP BY device ORDER BY node, index, device LIMIT ${limits.devices}`,
  );
  return rows;
}

export interface Reading {
  utilizationRatio: number | null;
  memoryUsedBytes: number | null;
  memoryTotalBytes: number | null;
  powerWatts: number | null;
  powerLimitWatts: number | null;
  temperatureCelsius: number | null;
  smActivityRatio: number | null;
  tensorActivityRatio: number | null;
  dramActivityRatio: number | null;
  smClockMhz: number | null;
  energyMj: number | null;
  /** NVML's bit mask. */
  throttle: number;
}

const readingColumns = {
  utilizationRatio: ["utilization", "avg"],
  memoryUsedBytes: ["memory_used", "max"],
  memoryTotalBytes: ["memory_total", "max"],
  powerWatts: ["power_watts", "avg"],
  powerLimitWatts: ["power_limit_watts", "max"],
  temperatureCelsius: ["temperature_celsius", "max"],
  smActivityRatio: ["sm_activity", "avg"],
  tensorActivityRatio: ["tensor_activity", "avg"],
  dramActivityRatio: ["dram_activity", "avg"],
  smClockMhz: ["sm_clock_mhz", "avg"],
  energyMj: ["energy_mj", "max"],
} as const;

export const emptyReading: Reading = {
  utilizationRatio: null,
  memoryUsedBytes: null,
  memoryTotalBytes: null,
  powerWatts: null,
  powerLimitWatts: null,
  temperatureCelsius: null,
  smActivityRatio: null,
  tensorActivityRatio: null,
  dramActivityRatio: null,
  smClockMhz: null,
  energyMj: null,
  throttle: 0,
};

/** OpenTelemetry exports metrics once a minute by default: a little more than one export. */
const freshMs = 70_000;
/** Where raw samples are gone, the last ten minutes in which a device was heard of. */
const lateMs = 600_000;

/** The newest value of each series of these devices; a device may have none. */
export async function readReadings(
  queries: Queries,
  scope: DeviceScope,
  context: { nowMs: number; devices: readonly DeviceRecord[] },
): Promise<Map<string, Reading>> {
  const { nowMs, devices } = context;
  const endMs = Math.min(scope.toMs, nowMs + freshMs);
  const freshFromMs = Math.max(scope.fromMs, endMs - freshMs);
  const found = new Map<string, Reading>();
  const isFresh = ({ lastMs }: DeviceRecord): boolean =>
    lastMs >= freshFromMs && lastMs > nowMs - rawMs;
  if (devices.some(isFresh)) {
    const raw = await readNewest(queries, { ...scope, fromMs: freshFromMs, toMs: endMs }, "raw");
    for (const [uuid, reading] of raw) found.set(uuid, reading);
  }
  const late = devices.filter(({ uuid }) => !found.has(uuid));
  if (late.length === 0) return found;
  const lastMs = late.map((device) => device.lastMs);
  const range = {
    fromMs: Math.max(scope.fromMs, Math.min(...lastMs) - lateMs),
    toMs: Math.max(...lastMs) + 1,
  };
  const source = nowMs - range.fromMs < tenSecondsMs ? "10s" : "5m";
  const only = late.map(({ uuid }) => uuid).slice(0, limits.deviceWindows);
  const aggregated = await readNewest(queries, { ...scope, ...range, only }, source);
  for (const [uuid, reading] of aggregated) found.set(uuid, reading);
  return found;
}

async function readNewest(
  queries: Queries,
  scope: DeviceScope,
  source: "raw" | "10s" | "5m",
): Promise<Map<string, Reading>> {
  const names = Object.keys(readingColumns) as (keyof typeof readingColumns)[];
  // argMax skips NULL: the newest value that was measured.
  const newest = names.map((name) => `argMax(${name}, time) AS ${name}`).join(", ");
  const columns = names.map((name) => {
    const [column, kind] = readingColumns[name];
    if (source === "raw") return `${column} AS ${name}`;
    return `${kind}${kind === "avg" ? "Merge" : ""}(${column}) AS ${name}`;
  });
  const from =
    source === "raw"
      ? `SELECT device, time, throttle_reasons AS mask, ${columns.join(", ")} FROM {{gpuSamples}}`
      : `SELECT device, time, groupBitOr(throttle_reasons) AS mask, ${columns.join(", ")}
         FROM {{gpuSamples${source}}} GROUP BY device, time`;
  const { rows } = await queries.rows<Reading & { uuid: string }>(
    scope,
    `SELECT device AS uuid, ${newest}, coalesce(argMax(mask, time), 0) AS throttle
     FROM (${from}) GROUP BY device LIMIT ${limits.devices}`,
  );
  return new Map(rows.map(({ uuid, ...reading }) => [uuid, reading]));
}

/** GPUs (not their slices) of the range, and how busy they were on average. */
export async function readFleetUse(
  queries: Queries,
  scope: DeviceScope,
): Promise<{ devices: number; utilizationRatio: number | null } | null> {
  const [known, used] = await Promise.all([
    queries.rows<{ devices: number }>(
      scope,
      "SELECT uniqExact(if(parent = '', device, parent)) AS devices FROM {{gpuDevices}}",
    ),
    queries.rows<{ utilizationRatio: number | null }>(
      scope,
      `SELECT avg(ratio) AS utilizationRatio FROM (
         SELECT coalesce(avgMerge(sm_activity), avgMerge(utilization)) AS ratio
         FROM {{gpuSamples10s}} GROUP BY device)`,
    ),
  ]);
  const devices = known.rows[0]?.devices ?? 0;
  return devices === 0
    ? null
    : { devices, utilizationRatio: used.rows[0]?.utilizationRatio ?? null };
}
