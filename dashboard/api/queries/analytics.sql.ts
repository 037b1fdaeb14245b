/**
 * Calls per slot of time: counts, tokens and log-scaled histograms, by service, model and engine.
 */
import type { heatmapMetrics } from "@axonize/core/contract/analytics";
import * as limits from "../limits.ts";
import { bucketSql, type Sparse } from "../analytics/histogram.ts";
import { isCallSql, isServedSql, perTokenSql, type Condition } from "./filter.sql.ts";
import type { Queries, TenantScope } from "./query.ts";

export type HeatmapMetric = (typeof heatmapMetrics)[number];
/** Which spans count: model calls, or all where a tenant has no model calls. */
export type Basis = "calls" | "spans";

export interface CallGroup {
  slotMs: number;
  service: string;
  model: string;
  engine: string;
  calls: number;
  spans: number;
  /** Distinct traces within the slot. */
  traces: number;
  errors: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  durations: Sparse;
  ttfts: Sparse;
  perTokens: Sparse;
}

const countsIf = (basis: Basis): string => (basis === "calls" ? isCallSql : "1");

const valueSql: Record<HeatmapMetric, string> = {
  duration: "duration_ns",
  ttft: "ttft_ns",
  perToken: perTokenSql,
  queue: "queue_ns",
  prefill: "prefill_ns",
  decode: "decode_ns",
  outputTokens: "output_tokens",
};

const slotSql = "intDiv(toUnixTimestamp64Milli(start), {stepMs:Int64}) * {stepMs:Int64}";

/** Hashed once per name of a block, not per span: grouping by three names costs twice as much. */
const namesHashSql = "cityHash64(service) + 3 * cityHash64(model) + 7 * cityHash64(engine)";

/**
 * groupArray and run lengths: five times faster than sumMap over the same values. `counted` is a
 * column or condition that is asked once per value.
 */
const collect = (metric: HeatmapMetric, counted: string, name: string): string =>
  `arraySort(groupArrayIf(if(${counted}, assumeNotNull(${bucketSql(valueSql[metric])}), 0), ${counted} AND (${valueSql[metric]}) IS NOT NULL)) AS ${name}`;
const buckets = (name: string): string => `arrayCompact(${name}) AS ${name}Buckets`;
const counts = (name: string): string =>
  `arrayPopFront(arrayDifference(arrayPushFront(arrayFilter((i, x, next) -> x != next, arrayEnumerate(${name}), ${name}, arrayShiftLeft(${name}, 1, toUInt16(65535))), toUInt32(0)))) AS ${name}Counts`;
const sparse = (name: string): string => `${buckets(name)}, ${counts(name)}`;

type GroupRecord = Omit<CallGroup, "durations" | "ttfts" | "perTokens"> &
  Record<"dBuckets" | "dCounts" | "tBuckets" | "tCounts" | "pBuckets" | "pCounts", number[]>;

export async function readCallGroups(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; stepMs: number; basis: Basis },
): Promise<{ groups: CallGroup[]; rowsRead: number; durationMs: number }> {
  const { condition, basis } = request;
  // A trace's client and engine spans may lie in different slots: who is served is looked for wider.
  const around = {
    ...scope,
    fromMs: scope.fromMs - limits.matchWithinMs,
    toMs: scope.toMs + limits.matchWithinMs,
  };
  const sums = (["input", "output", "cached", "reasoning"] as const)
    .map((kind) => `sumIf(ifNull(${kind}_tokens, 0), tells) AS ${kind}Tokens`)
    .join(", ");
  const answer = await queries.rows<GroupRecord>(
    around,
    `SELECT slotMs, aService AS service, aModel AS model, anEngine AS engine, calls, spans, traces, errors, inputTokens,
       outputTokens, cachedTokens, reasoningTokens, ${sparse("d")}, ${sparse("t")}, ${sparse("p")}
     FROM (
       SELECT ${slotSql} AS slotMs, any(service) AS aService, any(model) AS aModel,
         any(engine) AS anEngine, countIf(counts) AS calls, count() AS spans, uniqCombined64(14)(trace_id) AS traces,
         countIf(status = 2 AND counts) AS errors, ${sums},
         ${collect("duration", "counts", "d")}, ${collect("ttft", "counts", "t")},
         ${collect("perToken", "counts", "p")}
       FROM (
         SELECT *, ${countsIf(basis)} AS counts, counts AND (engine != '' OR cityHash64(trace_id) NOT IN (
           SELECT cityHash64(trace_id) FROM {{spansRaw}} WHERE ${isServedSql})) AS tells
         FROM {{spans}}
         WHERE start >= fromUnixTimestamp64Milli({runFromMs:Int64}, 'UTC')
           AND start < fromUnixTimestamp64Milli({runToMs:Int64}, 'UTC') AND ${condition.sql}
       )
       GROUP BY slotMs, ${namesHashSql}
     )`,
    {
      ...condition.params,
      stepMs: request.stepMs,
      runFromMs: scope.fromMs,
      runToMs: scope.toMs,
    },
  );
  const groups = answer.rows.map(
    ({ dBuckets, dCounts, tBuckets, tCounts, pBuckets, pCounts, ...group }) => ({
      ...group,
      durations: { buckets: dBuckets, counts: dCounts },
      ttfts: { buckets: tBuckets, counts: tCounts },
      perTokens: { buckets: pBuckets, counts: pCounts },
    }),
  );
  return { groups, rowsRead: answer.rowsRead, durationMs: answer.durationMs };
}

/** Traces by the slot of their start: those with a matching span. */
export async function readTraceCounts(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; stepMs: number; fromMs: number; toMs: number },
): Promise<{ counts: Map<number, number>; rowsRead: number; durationMs: number }> {
  const { condition } = request;
  // In a narrow range, those few traces that may begin in it are grouped, not every trace of the day.
  const beginning =
    request.toMs - request.fromMs < limits.matchWithinMs
      ? `trace_id IN (SELECT trace_id FROM {{traceIndex}}
           WHERE min_start >= fromUnixTimestamp64Milli({countFromMs:Int64}, 'UTC')
             AND min_start < fromUnixTimestamp64Milli({countToMs:Int64}, 'UTC'))`
      : "1";
  const matching = condition.isEmpty
    ? "1"
    : `trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${condition.sql})`;
  const answer = await queries.rows<{ slotMs: number; traces: number }>(
    scope,
    `SELECT intDiv(startMs, {stepMs:Int64}) * {stepMs:Int64} AS slotMs, count() AS traces
     FROM (
       SELECT toUnixTimestamp64Milli(min(min_start)) AS startMs
       FROM {{traceIndex}} WHERE ${beginning} AND ${matching} GROUP BY trace_id
     )
     WHERE startMs >= {countFromMs:Int64} AND startMs < {countToMs:Int64}
     GROUP BY slotMs`,
    {
      ...condition.params,
      stepMs: request.stepMs,
      countFromMs: request.fromMs,
      countToMs: request.toMs,
    },
  );
  return {
    counts: new Map(answer.rows.map((row) => [row.slotMs, row.traces])),
    rowsRead: answer.rowsRead,
    durationMs: answer.durationMs,
  };
}

/**
 * Slots whose figures may have changed since a time: those that a trace touches of which a span was
 * received. A late span changes its own slot, and where its trace begins, whether it matches and who
 * is served in it; all of that lies between the trace's first start and its last.
 */
export async function readDirtySlots(
  queries: Queries,
  scope: TenantScope,
  request: { sinceMs: number; stepMs: number },
): Promise<number[]> {
  const { rows } = await queries.rows<{ slotMs: number }>(
    scope,
    `SELECT DISTINCT arrayJoin(range(
       intDiv(greatest(firstMs, {fromMs:Int64}), {stepMs:Int64}),
       intDiv(least(lastMs, {toMs:Int64}), {stepMs:Int64}) + 1)) * {stepMs:Int64} AS slotMs
     FROM (
       SELECT toUnixTimestamp64Milli(min(min_start)) AS firstMs,
         toUnixTimestamp64Milli(max(max_start)) AS lastMs
       FROM {{traceIndex}}
       WHERE trace_id IN (
         SELECT trace_id FROM {{spansRaw}}
         WHERE received >= fromUnixTimestamp64Milli({sinceMs:Int64}, 'UTC'))
       GROUP BY trace_id
     )`,
    request,
  );
  return rows.map((row) => row.slotMs);
}

export interface HeatColumn {
  slotMs: number;
  values: Sparse;
  errors: number;
}

export async function readHeatColumns(
  queries: Queries,
  scope: TenantScope,
  request: { condition: Condition; stepMs: number; basis: Basis; metric: HeatmapMetric },
): Promise<{ columns: HeatColumn[]; rowsRead: number; durationMs: number }> {
  const { condition, basis, metric } = request;
  const answer = await queries.rows<{
    slotMs: number;
    errors: number;
    vBuckets: number[];
    vCounts: number[];
  }>(
    scope,
    `SELECT slotMs, errors, ${sparse("v")} FROM (
       SELECT ${slotSql} AS slotMs, countIf(status = 2) AS errors, ${collect(metric, `(${countsIf(basis)})`, "v")}
       FROM {{spans}} WHERE (${countsIf(basis)}) AND ${condition.sql} GROUP BY slotMs
     )`,
    { ...condition.params, stepMs: request.stepMs },
  );
  return {
    columns: answer.rows.map(({ slotMs, errors, vBuckets, vCounts }) => ({
      slotMs,
      errors,
      values: { buckets: vBuckets, counts: vCounts },
    })),
    rowsRead: answer.rowsRead,
    durationMs: answer.durationMs,
  };
}
