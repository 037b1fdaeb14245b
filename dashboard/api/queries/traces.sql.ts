/**
 * Finds a page of traces: which ones, in which order. Stage one of a list.
 *
 * By start, in windows (`windows.sql.ts`); new spans move nothing behind the cursor. Other orders
 * need every trace of the range at once, or its calls in the order of their value. Candidates come
 * without FINAL: a superset, which stage two checks.
 */
import * as limits from "../limits.ts";
import { isCallSql, type Condition } from "./filter.sql.ts";
import {
  afterParams,
  afterSql,
  direction,
  foundSql,
  spansOf,
  startedInWindow,
  type Found,
  type Order,
  type Sort,
} from "./found.ts";
import type { Queries, TenantScope } from "./query.ts";
import { callRankSql } from "./trace-row.sql.ts";
import { findByStart } from "./windows.sql.ts";

export async function findTraces(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; order: Order; count: number; nowMs: number },
): Promise<Found[]> {
  const { sort } = request.order;
  if (sort === "startTime") return await findByStart(queries, scope, request);
  if (sort === "duration") return await findByValue(queries, scope, request);
  const top = await findByCandidates(queries, scope, { ...request, value: values[sort] });
  return top ?? (await findByValue(queries, scope, request));
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
    `SELECT ${foundSql} FROM (
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
     FROM ${spans.from} AND ${isCallSql} GROUP BY trace_id`,
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
    `SELECT ${foundSql}, toString(sortKey) AS key
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
