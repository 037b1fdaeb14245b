/**
 * A page of traces by their start, found in time windows from the range's first edge.
 *
 * From the newest, a window's spans are read once: a trace that has a matching span in it but began
 * before it waits until the window with its beginning is read. So a trace is known as soon as its
 * window is, whatever time its match has, and pages are exact. From the oldest, each window looks an
 * hour ahead instead. Candidates come without FINAL: a superset, which stage two checks.
 */
import * as limits from "../limits.ts";
import type { Condition } from "./filter.sql.ts";
import type { Queries, TenantScope } from "./query.ts";
import { onPage } from "./trace-row.sql.ts";
import {
  afterParams,
  afterSql,
  direction,
  foundSql,
  spansOf,
  startedInWindow,
  type Found,
  type Order,
} from "./found.ts";

export interface StartRequest {
  condition: Condition;
  order: Order;
  count: number;
  nowMs: number;
}

interface Window {
  fromMs: number;
  toMs: number;
}

export async function findByStart(
  queries: Queries,
  scope: TenantScope,
  request: StartRequest,
): Promise<Found[]> {
  const found: Found[] = [];
  let waiting: Found[] = [];
  // Where candidates have to be checked, those beyond a page's worth may be needed: then each
  // window is asked for exactly what began in it, which costs more.
  let isExact = !request.order.descending;
  let isFirst = true;
  const pace = { found: 0, wanted: request.count };
  for (const window of windows(scope, request.order, pace)) {
    const rest = { ...request, count: request.count - found.length };
    if (!isExact) {
      const newest = await findNewest(queries, { scope, window, isFirst }, rest, waiting);
      isExact = newest === undefined;
      found.push(...(newest?.begun ?? []));
      waiting = newest?.waiting ?? [];
    }
    if (isExact) found.push(...(await findInWindow(queries, { ...scope, ...window }, rest)));
    isFirst = false;
    pace.found = found.length;
    if (found.length >= request.count) break;
  }
  return found.slice(0, request.count);
}

/**
 * Adjacent half-open windows from the order's first edge. The next one is as wide as the rest of the
 * page should need at the rate so far, and half as much again; at most `listWindowGrowth` times wider.
 */
export function* windows(
  range: Window,
  order: { descending: boolean; after: { key: string } | undefined },
  pace: { readonly found: number; readonly wanted: number },
): Generator<Window> {
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

/**
 * Traces with a match in the window, in two classes: those that began in it, and those that wait.
 * Of each, the newest page's worth is enough, unless checking leaves too few: undefined then.
 */
async function findNewest(
  queries: Queries,
  at: { scope: TenantScope; window: Window; isFirst: boolean },
  request: StartRequest,
  waited: readonly Found[],
): Promise<{ begun: Found[]; waiting: Found[] } | undefined> {
  const { condition, count } = request;
  const rows = await readNewest(queries, at, request);
  const known = new Map([...waited, ...rows].map((row) => [row.traceId, row]));
  const sorted = [...known.values()].sort(newestFirst);
  const fromNs = BigInt(at.window.fromMs) * 1_000_000n;
  const begun = sorted.filter(({ startNs }) => BigInt(startNs) >= fromNs);
  const waiting = sorted.filter(({ startNs }) => BigInt(startNs) < fromNs);
  if (!condition.needsCheck) return { begun, waiting };
  const checked = await checkMatches(queries, at.scope, { condition, found: begun });
  const isCut = begun.length >= count || waiting.length >= count;
  return checked.length < count && isCut ? undefined : { begun: checked, waiting };
}

async function readNewest(
  queries: Queries,
  { scope, window, isFirst }: { scope: TenantScope; window: Window; isFirst: boolean },
  request: StartRequest,
): Promise<Found[]> {
  const { condition, order, count } = request;
  // At the newest edge, a trace that began before it may have its only match after it.
  const looksAhead = isFirst && !condition.isEmpty;
  const ahead =
    looksAhead && window.toMs < request.nowMs
      ? `AND (start < ${edgeSql} OR trace_id IN (
           SELECT trace_id FROM {{traceIndex}} WHERE min_start < ${edgeSql} AND max_start >= ${edgeSql}))`
      : "";
  const { rows } = await queries.rows<Found & { waits: number }>(
    {
      ...scope,
      fromMs: window.fromMs,
      toMs: window.toMs + (looksAhead ? limits.matchWithinMs : 0),
    },
    `SELECT ${foundSql}, startNs AS key, s < fromUnixTimestamp64Milli({windowFromMs:Int64}, 'UTC') AS waits
     FROM (
       SELECT trace_id, min(min_start) AS s, max(max_start) AS m, toUnixTimestamp64Nano(s) AS ns
       FROM {{traceIndex}}
       WHERE trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${condition.candidateSql} ${ahead})
       GROUP BY trace_id
       HAVING s >= fromUnixTimestamp64Milli({rangeFromMs:Int64}, 'UTC') AND s < ${edgeSql}
     )
     WHERE ${afterSql(order, "ns")}
     ORDER BY ns DESC, trace_id DESC
     LIMIT {count:UInt32} BY waits`,
    {
      ...condition.params,
      ...afterParams(order),
      rangeFromMs: scope.fromMs,
      windowFromMs: window.fromMs,
      windowToMs: window.toMs,
      count,
    },
  );
  return rows;
}

const edgeSql = "fromUnixTimestamp64Milli({windowToMs:Int64}, 'UTC')";

function newestFirst(a: Found, b: Found): number {
  const [x, y] = [BigInt(a.startNs), BigInt(b.startNs)];
  if (x !== y) return x < y ? 1 : -1;
  return a.traceId < b.traceId ? 1 : -1;
}

/** Those of which the whole condition holds, what it asks of their other spans included. */
async function checkMatches(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; found: readonly Found[] },
): Promise<Found[]> {
  const { condition, found } = request;
  if (found.length === 0) return [];
  const spans = spansOf(found);
  const { rows } = await queries.rows<{ traceId: string }>(
    { ...scope, fromMs: spans.fromMs, toMs: spans.toMs },
    `SELECT lower(hex(trace_id)) AS traceId FROM ${spans.from}
     AND ${onPage({ from: spans.from, matches: condition.sql })}
     GROUP BY trace_id`,
    { ...condition.params, ...spans.params },
  );
  const matching = new Set(rows.map(({ traceId }) => traceId));
  return found.filter(({ traceId }) => matching.has(traceId));
}

/**
 * A trace that begins in the window has its first span there: in a narrow window those few traces
 * come first and are then matched over the hour. In a wide one the filter leaves fewer.
 */
function candidatesSql(condition: Condition, window: TenantScope): string {
  const inWindow = `SELECT trace_id FROM {{spansRaw}} WHERE start < ${edgeSql}`;
  if (condition.isEmpty) return inWindow;
  const matching = `SELECT trace_id FROM {{spansRaw}} WHERE ${condition.sql}`;
  const isNarrow = window.toMs - window.fromMs < limits.matchWithinMs;
  return isNarrow ? `${matching} AND trace_id IN (${inWindow})` : matching;
}

async function findInWindow(
  queries: Queries,
  window: TenantScope,
  request: StartRequest,
): Promise<Found[]> {
  const { condition, order } = request;
  const answer = await queries.rows<Found>(
    { ...window, toMs: window.toMs + (condition.isEmpty ? 0 : limits.matchWithinMs) },
    `SELECT ${foundSql}, startNs AS key
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
