/**
 * What a tenant's own spans tell of devices: calls per device, the time they ran there, and the calls
 * beside one request.
 */
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import * as limits from "../limits.ts";
import { rfc3339FromNs, toMs } from "../time-text.ts";
import { isCallSql } from "./filter.sql.ts";
import type { DeviceWindow, Queries, TenantScope } from "./query.ts";

/** Model calls per device in the range. */
export async function callsOfDevices(
  queries: Queries,
  scope: TenantScope,
): Promise<Map<string, number>> {
  const { rows } = await queries.rows<{ device: string; calls: number }>(
    scope,
    `SELECT arrayJoin(gpu_devices) AS device, countIf(${isCallSql}) AS calls
     FROM {{spans}} WHERE notEmpty(gpu_devices)
     GROUP BY device ORDER BY device LIMIT ${limits.devices}`,
  );
  return new Map(rows.map(({ device, calls }) => [device, calls]));
}

/** Spans within this of each other are one stretch of time: a replica that is called now and then. */
const joinWithinMs = 60_000;

/** The stretches of time in which the tenant's spans ran on devices, newest first. */
export async function readSpanWindows(
  queries: Queries,
  scope: TenantScope,
): Promise<DeviceWindow[]> {
  const { rows } = await queries.rows<DeviceWindow>(
    scope,
    `SELECT device, min(startMs) AS fromMs, max(endMs) + 1 AS toMs
     FROM (
       SELECT device, startMs, endMs,
         sum(isNew) OVER (PARTITION BY device ORDER BY startMs ROWS UNBOUNDED PRECEDING) AS stretch
       FROM (
         SELECT device, startMs, endMs,
           startMs > max(endMs) OVER (PARTITION BY device ORDER BY startMs
             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) + ${joinWithinMs} AS isNew
         FROM (
           SELECT arrayJoin(gpu_devices) AS device,
             intDiv(toUnixTimestamp64Milli(start), 1000) * 1000 AS second,
             min(toUnixTimestamp64Milli(start)) AS startMs,
             max(toUnixTimestamp64Milli(start) + intDiv(duration_ns, 1000000)) AS endMs
           FROM {{spans}} WHERE notEmpty(gpu_devices) GROUP BY device, second
         )
       )
     )
     GROUP BY device, stretch ORDER BY toMs DESC LIMIT ${limits.deviceWindows}`,
  );
  return rows.map(({ device, fromMs, toMs: end }) => ({
    device,
    fromMs: Math.max(scope.fromMs, fromMs),
    toMs: Math.min(scope.toMs, end),
  }));
}

export interface NeighbourQuery {
  traceId: string;
  startMs: number;
  endMs: number;
  device: string;
  /** Pods that had the device: calls that name no device ran on their pod's. */
  pods: readonly { namespace: string; pod: string }[];
}

type Neighbour = TraceGpuLanes["lanes"][number]["neighbours"][number];

/** The tenant's other calls on the device meanwhile: those that overlap longest, and how many in all. */
export async function readNeighbours(
  queries: Queries,
  scope: TenantScope,
  query: NeighbourQuery,
): Promise<{ neighbours: Neighbour[]; neighbourCount: number }> {
  const { rows } = await queries.rows<{
    traceId: string;
    spanId: string;
    name: string;
    model: string;
    startNs: string;
    durationNs: number;
    queueNs: number | null;
    prefillNs: number | null;
    decodeNs: number | null;
    all: number;
  }>(
    { ...scope, fromMs: query.startMs - limits.neighbourWithinMs, toMs: query.endMs },
    `SELECT lower(hex(trace_id)) AS traceId, lower(hex(span_id)) AS spanId, toString(name) AS name,
       toString(model) AS model, toString(toUnixTimestamp64Nano(start)) AS startNs,
       duration_ns AS durationNs, queue_ns AS queueNs, prefill_ns AS prefillNs,
       decode_ns AS decodeNs, count() OVER () AS all
     FROM {{spans}}
     WHERE trace_id != toFixedString(unhex({traceId:String}), 16) AND ${isCallSql}
       AND toUnixTimestamp64Milli(start) + intDiv(duration_ns, 1000000) >= {startMs:Int64}
       AND (has(gpu_devices, {device:String})
         OR (empty(gpu_devices) AND engine != '' AND (toString(namespace), toString(pod)) IN
           (SELECT arrayJoin(arrayZip({namespaces:Array(String)}, {pods:Array(String)})))))
     ORDER BY least(toUnixTimestamp64Milli(start) + intDiv(duration_ns, 1000000), {endMs:Int64})
       - greatest(toUnixTimestamp64Milli(start), {startMs:Int64}) DESC, span_id
     LIMIT ${limits.laneNeighbours}`,
    {
      traceId: query.traceId,
      device: query.device,
      startMs: Math.floor(query.startMs),
      endMs: Math.ceil(query.endMs),
      namespaces: query.pods.map(({ namespace }) => namespace),
      pods: query.pods.map(({ pod }) => pod),
    },
  );
  const neighbours = rows
    .map((row) => ({
      traceId: row.traceId,
      spanId: row.spanId,
      name: row.name,
      model: row.model,
      startTime: rfc3339FromNs(row.startNs),
      durationNs: row.durationNs,
      queueMs: toMs(row.queueNs),
      prefillMs: toMs(row.prefillNs),
      decodeMs: toMs(row.decodeNs),
    }))
    .sort((a, b) => (a.startTime < b.startTime ? -1 : 1));
  return { neighbours, neighbourCount: rows[0]?.all ?? 0 };
}
