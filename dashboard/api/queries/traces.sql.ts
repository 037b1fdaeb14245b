/**
 * Finds a page of traces: which ones, in which order. Stage one of a list.
 *
 * By start, windows widen from the newest (or oldest) edge; within one, traces with a matching span
 * are candidates, and `trace_index` tells when each began. As windows are disjoint in trace start,
 * pages are exact and new spans move nothing behind the cursor. Candidates come without FINAL: a
 * superset, which stage two checks. Other orders need every trace of the range at once.
 */
import type { TraceListQuery } from "@axonize/core/contract/trace";
import type * as z from "zod";
import * as limits from "../limits.ts";
import { isCallSql, type Condition } from "./filter.sql.ts";
import type { Queries, TenantScope } from "./query.ts";
import { callRankSql } from "./trace-row.sql.ts";

type Sort = z.infer<typeof TraceListQuery>["sort"];

export interface Found {
  traceId: string;
  startNs: string;
  maxStartNs: string;
  /** What the page is ordered by, as decimal text. */
  key: string;
}

export interface Order {
  sort: Sort;
  descending: boolean;
  /** The last row of the page before. */
  after: { key: string; traceId: string } | undefined;
}

export async function findTraces(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; order: Order; count: number },
): Promise<Found[]> {
  const { sort } = request.order;
  if (sort === "duration") return await findByValue(queries, scope, request);
  if (sort !== "startTime") {
    const value = values[sort];
    const top = await findByCandidates(queries, scope, { ...request, value });
    return top ?? (await findByValue(queries, scope, request));
  }
  const found: Found[] = [];
  const pace = { found: 0, wanted: request.count };
  for (const window of windows(scope, request.order, pace)) {
    const rows = await findInWindow(
      queries,
      { ...scope, ...window },
      {
        ...request,
        count: request.count - found.length,
      },
    );
    found.push(...rows);
    pace.found = found.length;
    if (found.length >= request.count) break;
  }
  return found;
}

/**
 * Adjacent half-open windows from the order's first edge. The next one is as wide as the rest of the
 * page should need at the rate so far, and half as much again; at most `listWindowGrowth` times wider.
 */
export function* windows(
  range: { fromMs: number; toMs: number },
  order: { descending: boolean; after: { key: string } | undefined },
  pace: { readonly found: number; readonly wanted: number },
): Generator<{ fromMs: number; toMs: number }> {
  let { fromMs, toMs } = range;
  const afterMs =
    order.after === undefined ? undefined : Number(BigInt(order.after.key) / 1_000_000n);
  if (afterMs !== undefined && order.descending) toMs = Math.min(toMs, afterMs + 1);
  if (afterMs !== undefined && !order.descending) fromMs = Math.max(fromMs, afterMs);
  let sizeMs = limits.listWindowMs;
  let coveredMs = 0;
  while (fromMs < toMs) {
    // A rest smaller than the window is not worth a query of its own.
    const takeMs = toMs - fromMs < 2 * sizeMs ? toMs - fromMs : sizeMs;
    if (order.descending) {
      yield { fromMs: toMs - takeMs, toMs };
      toMs -= takeMs;
    } else {
      yield { fromMs, toMs: fromMs + takeMs };
      fromMs += takeMs;
    }
    coveredMs += takeMs;
    const neededMs = (1.5 * (pace.wanted - pace.found) * coveredMs) / pace.found;
    sizeMs = Math.min(Math.max(neededMs, limits.listWindowMs), sizeMs * limits.listWindowGrowth);
    sizeMs = Math.ceil(sizeMs);
  }
}

const startedInWindow = `
  s >= fromUnixTimestamp64Milli({windowFromMs:Int64}, 'UTC')
  AND s < fromUnixTimestamp64Milli({windowToMs:Int64}, 'UTC')`;

/**
 * A trace that begins in the window has its first span there: in a narrow window those few traces
 * come first and are then matched over the hour. In a wide one the filter leaves fewer.
 */
function candidatesSql(condition: Condition, window: TenantScope): string {
  const inWindow = `SELECT trace_id FROM {{spansRaw}}
    WHERE start < fromUnixTimestamp64Milli({windowToMs:Int64}, 'UTC')`;
  if (condition.isEmpty) return inWindow;
  const matching = `SELECT trace_id FROM {{spansRaw}} WHERE ${condition.sql}`;
  const isNarrow = window.toMs - window.fromMs < limits.matchWithinMs;
  return isNarrow ? `${matching} AND trace_id IN (${inWindow})` : matching;
}

async function findInWindow(
  queries: Queries,
  window: TenantScope,
  request: { condition: Condition; order: Order; count: number },
): Promise<Found[]> {
  const { condition, order } = request;
  const answer = await queries.rows<Found>(
    { ...window, toMs: window.toMs + (condition.isEmpty ? 0 : limits.matchWithinMs) },
    `SELECT lower(hex(trace_id)) AS traceId, toString(ns) AS startNs,
       toString(toUnixTimestamp64Nano(m)) AS maxStartNs, startNs AS key
     FROM (
       SELECT trace_id, min(min_start) AS s, max(max_start) AS m, toUnixTimestamp64Nano(s) AS ns
       FROM {{traceIndex}}
       WHERE trace_id IN (${candidatesSql(condition, window)})
       GROUP BY trace_id
       HAVING ${startedInWindow}
     )
     WHERE ${afterSql(order, "ns")}
     ORDER BY ns ${direction(order)}, trace_id ${direction(order)}
     LIMIT {count:UInt32}`,
    {
      ...condition.params,
      ...afterParams(order),
      windowFromMs: window.fromMs,
      windowToMs: window.toMs,
      count: request.count,
    },
  );
  return answer.rows;
}

const values: Record<Exclude<Sort, "startTime" | "duration">, string> = {
  ttft: "ttft_ns",
  outputTokens: "output_tokens",
  inputTokens: "input_tokens",
};

/**
 * By a call's value: candidates are calls in the order asked for, and a trace counts where its
 * principal call has the candidate's value. Only where too few traces have one does the whole range
 * have to be grouped. Candidates may be stale versions; checking them against FINAL drops those.
 */
async function findByCandidates(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; order: Order; count: number; value: string },
): Promise<Found[] | undefined> {
  const { order } = request;
  const found: Found[] = [];
  let after = order.after;
  for (let count = limits.sortCandidates; count <= limits.sortCandidatesMost; count *= 8) {
    const candidates = await readCandidates(queries, scope, {
      ...request,
      order: { ...order, after },
      count,
    });
    if (candidates.length < count) return undefined;
    // Client and engine often tell the same value: a trace counts once. Ids travel in the query's
    // URL, so a few at a time; mostly the first few are enough.
    const distinct = candidates.filter(
      ({ key, traceId }, at) =>
        key !== candidates[at - 1]?.key || traceId !== candidates[at - 1]?.traceId,
    );
    for (let at = 0; at < distinct.length; at += limits.sortCandidates) {
      const few = distinct.slice(at, at + limits.sortCandidates);
      found.push(...(await checkCandidates(queries, scope, { ...request, candidates: few })));
      if (found.length >= request.count) return found.slice(0, request.count);
    }
    after = candidates.at(-1);
  }
  return undefined;
}

interface Candidate {
  traceId: string;
  key: string;
}

async function readCandidates(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; order: Order; count: number; value: string },
): Promise<Candidate[]> {
  const { condition, order, value } = request;
  const matching = condition.isEmpty
    ? ""
    : `AND trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${condition.sql})`;
  const { rows } = await queries.rows<Candidate>(
    { ...scope, toMs: scope.toMs + limits.matchWithinMs },
    `SELECT lower(hex(trace_id)) AS traceId, toString(sortKey) AS key
     FROM (
       SELECT trace_id, toInt64(assumeNotNull(${value})) AS sortKey FROM {{spansRaw}}
       WHERE ${value} IS NOT NULL AND ${isCallSql} ${matching}
     )
     WHERE ${afterSql(order, "sortKey")}
     ORDER BY sortKey ${direction(order)}, trace_id ${direction(order)}
     LIMIT {count:UInt32}`,
    { ...condition.params, ...afterParams(order), count: request.count },
  );
  return rows;
}

/** Those candidates that are their trace's principal call, in the candidates' order. */
async function checkCandidates(
  queries: Queries,
  scope: TenantScope,
  request: { candidates: readonly Candidate[]; value: string },
): Promise<Found[]> {
  const { candidates, value } = request;
  const located = await queries.rows<Omit<Found, "key">>(
    { ...scope, toMs: scope.toMs + limits.matchWithinMs },
    `SELECT lower(hex(trace_id)) AS traceId, toString(toUnixTimestamp64Nano(s)) AS startNs,
       toString(toUnixTimestamp64Nano(m)) AS maxStartNs
     FROM (
       SELECT trace_id, min(min_start) AS s, max(max_start) AS m FROM {{traceIndex}}
       WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traceIds:Array(String)})), 16))
       GROUP BY trace_id
       HAVING ${startedInWindow}
     )`,
    {
      traceIds: [...new Set(candidates.map(({ traceId }) => traceId))],
      windowFromMs: scope.fromMs,
      windowToMs: scope.toMs,
    },
  );
  if (located.rows.length === 0) return [];
  const spans = spansOf(located.rows);
  const { rows } = await queries.rows<{ traceId: string; key: string | null }>(
    { ...scope, fromMs: spans.fromMs, toMs: spans.toMs },
    `SELECT lower(hex(trace_id)) AS traceId, toString(argMax(tuple(${value}), ${callRankSql}).1) AS key
     FROM {{spansOfTraces}} WHERE ${spans.where} AND ${isCallSql} GROUP BY trace_id`,
    spans.params,
  );
  const keys = new Map(rows.map((row) => [row.traceId, row.key]));
  const traces = new Map(located.rows.map((row) => [row.traceId, row]));
  return candidates.flatMap(({ traceId, key }) => {
    const trace = traces.get(traceId);
    return trace === undefined || keys.get(traceId) !== key ? [] : [{ ...trace, key }];
  });
}

/** Traces without the value come last in either order. */
async function findByValue(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; order: Order; count: number },
): Promise<Found[]> {
  const { order, condition } = request;
  const last = order.descending ? "-1" : "9000000000000000000";
  // tuple(): argMax skips NULLs, and the principal call's NULL must not be another call's value.
  const [key, join] =
    order.sort === "duration" || order.sort === "startTime"
      ? ["toUnixTimestamp64Nano(e) - toUnixTimestamp64Nano(s)", ""]
      : [
          `ifNull(toInt64(v), ${last})`,
          `LEFT JOIN (
             SELECT trace_id, argMax(tuple(${values[order.sort]}), ${callRankSql}).1 AS v
             FROM {{spansRaw}} WHERE ${isCallSql} GROUP BY trace_id
           ) AS calls USING (trace_id)`,
        ];
  const matching = condition.isEmpty
    ? ""
    : `WHERE trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${condition.sql})`;
  const answer = await queries.rows<Found>(
    { ...scope, toMs: scope.toMs + limits.matchWithinMs },
    `SELECT lower(hex(trace_id)) AS traceId, toString(toUnixTimestamp64Nano(s)) AS startNs,
       toString(toUnixTimestamp64Nano(m)) AS maxStartNs, toString(sortKey) AS key
     FROM (
       SELECT trace_id, s, m, ${key} AS sortKey
       FROM (
         SELECT trace_id, min(min_start) AS s, max(max_start) AS m, max(max_end) AS e
         FROM {{traceIndex}} ${matching}
         GROUP BY trace_id
         HAVING ${startedInWindow}
       ) AS traces ${join}
     )
     WHERE ${afterSql(order, "sortKey")}
     ORDER BY sortKey ${direction(order)}, trace_id ${direction(order)}
     LIMIT {count:UInt32}`,
    {
      ...condition.params,
      ...afterParams(order),
      windowFromMs: scope.fromMs,
      windowToMs: scope.toMs,
      count: request.count,
    },
  );
  return answer.rows;
}

const direction = (order: Order): string => (order.descending ? "DESC" : "ASC");

function afterSql(order: Order, key: string): string {
  if (order.after === undefined) return "1";
  return `(${key}, trace_id) ${order.descending ? "<" : ">"} ({afterKey:Int64}, toFixedString(unhex({afterId:String}), 16))`;
}

const afterParams = (order: Order): Record<string, string> =>
  order.after === undefined ? {} : { afterKey: order.after.key, afterId: order.after.traceId };

/** The conditions and scope that read just these traces' spans. */
export function spansOf(found: readonly Omit<Found, "key">[]): {
  where: string;
  params: Record<string, readonly (string | number)[]>;
  fromMs: number;
  toMs: number;
} {
  const minutes = new Set<number>();
  let [fromMs, toMs] = [Number.POSITIVE_INFINITY, 0];
  for (const trace of found) {
    const first = Number(BigInt(trace.startNs) / 1_000_000n);
    const last = Number(BigInt(trace.maxStartNs) / 1_000_000n) + 1;
    fromMs = Math.min(fromMs, first);
    toMs = Math.max(toMs, last);
    for (let at = Math.floor(first / 60_000); at * 60_000 < last; at += 1) {
      if (minutes.size > limits.pageMinutes) break;
      minutes.add(at * 60);
    }
  }
  const parts = ["1"];
  // The primary key holds minutes and hashes: naming them reads the page's granules and no others.
  // Minutes are whole numbers of our own; as a parameter, so many would not fit the query's URL.
  if (minutes.size <= limits.pageMinutes) {
    parts.push(
      `toStartOfMinute(start) IN (SELECT toDateTime(arrayJoin([${[...minutes].join(",")}]), 'UTC'))`,
    );
  }
  parts.push(
    "cityHash64(trace_id) IN (SELECT cityHash64(toFixedString(unhex(arrayJoin({traceIds:Array(String)})), 16)))",
  );
  return {
    where: parts.join(" AND "),
    params: { traceIds: found.map((trace) => trace.traceId) },
    fromMs,
    toMs,
  };
}
