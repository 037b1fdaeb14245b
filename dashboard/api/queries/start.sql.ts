/**
 * What arrived first, and what arrives now.
 */
import * as limits from "../limits.ts";
import type { Queries, TenantScope } from "./query.ts";
import { readTraceRecords, traceRowFrom } from "./trace-row.sql.ts";
import type { TraceRow } from "@axonize/core/contract/trace";

/** The earliest minute's spans come first in the key, so this reads one granule. */
export async function readFirstSpan(
  queries: Queries,
  scope: TenantScope,
): Promise<{ startNs: string; traceId: string } | undefined> {
  const { rows } = await queries.rows<{ startNs: string; traceId: string }>(
    scope,
    `SELECT toString(toUnixTimestamp64Nano(start)) AS startNs, lower(hex(trace_id)) AS traceId
     FROM {{spansRaw}} ORDER BY tenant_id, toStartOfMinute(start) LIMIT 1`,
  );
  return rows[0];
}

export async function readNewestSpanMs(
  queries: Queries,
  scope: TenantScope,
): Promise<number | undefined> {
  const { rows } = await queries.rows<{ newestMs: number; n: number }>(
    scope,
    `SELECT max(toUnixTimestamp64Milli(received)) AS newestMs, count() AS n FROM {{spansRaw}}`,
  );
  const [row] = rows;
  return row === undefined || row.n === 0 ? undefined : row.newestMs;
}

/** Traces with spans received since, newest last. `scope` bounds their start. */
export async function readNewTraces(
  queries: Queries,
  scope: TenantScope,
  sinceMs: number,
): Promise<{ row: TraceRow; receivedMs: number }[]> {
  const { rows } = await queries.rows<{ traceId: string; receivedMs: number }>(
    scope,
    `SELECT lower(hex(trace_id)) AS traceId, max(toUnixTimestamp64Milli(received)) AS receivedMs
     FROM {{spansRaw}}
     WHERE received >= fromUnixTimestamp64Milli({sinceMs:Int64}, 'UTC')
     GROUP BY trace_id ORDER BY receivedMs DESC, traceId LIMIT ${limits.eventsPerPoll}`,
    { sinceMs },
  );
  if (rows.length === 0) return [];
  const receivedMs = new Map(rows.map((row) => [row.traceId, row.receivedMs]));
  const traces = await readTraceRecords(queries, scope, {
    from: "{{spansOfTraces}} WHERE 1",
    params: { traceIds: [...receivedMs.keys()] },
    matches: "1",
  });
  return traces
    .map((record) => ({
      row: traceRowFrom(record),
      receivedMs: receivedMs.get(record.traceId) ?? 0,
    }))
    .sort((a, b) => a.receivedMs - b.receivedMs);
}
