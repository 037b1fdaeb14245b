/**
 * Traces as rows. A page's spans are read and put together in `trace-record.ts`; where they are too
 * many for that, the engine aggregates them by the same rules.
 */
import type { Status, TraceRow } from "@axonize/core/contract/trace";
import type * as z from "zod";
import * as limits from "../limits.ts";
import { rfc3339FromNs } from "../time-text.ts";
import { isCallSql } from "./filter.sql.ts";
import { inheritedSql, lineageSql } from "./inherit-model.ts";
import type { Params, Queries, TenantScope } from "./query.ts";
import { marksFrom, phasesFrom, spanRecordSql } from "./span-record.ts";
import { recordFrom, type ServingPod, type TraceRecord, type TraceSpan } from "./trace-record.ts";

/** Spans of these traces: `from` and `params` say which, `matches` is a filter's condition. */
interface TracesRequest {
  from: string;
  params: Params;
  matches: string;
}

export async function readTraceRecords(
  queries: Queries,
  scope: TenantScope,
  request: TracesRequest,
): Promise<TraceRecord[]> {
  const spans = await readTraceSpans(queries, scope, request);
  if (spans !== undefined) return recordsFrom(spans);
  const { rows } = await queries.rows<TraceRecord>(scope, traceRowsSql(request), request.params);
  return rows;
}

/** All of them, in no order; undefined where they are more than `pageSpans`. */
export async function readTraceSpans(
  queries: Queries,
  scope: TenantScope,
  request: TracesRequest,
): Promise<TraceSpan[] | undefined> {
  const { columns } = await queries.columns<Record<string, readonly unknown[]>>(
    scope,
    `SELECT ${spanRecordSql}, lower(hex(trace_id)) AS traceId, environment, session, user,
       toUInt8(${onPage(request)}) AS matches
     FROM ${request.from} LIMIT ${limits.pageSpans + 1}`,
    request.params,
  );
  const names = Object.keys(columns);
  // An answer without rows has no columns either.
  const count = columns["spanId"]?.length ?? 0;
  if (count > limits.pageSpans) return undefined;
  return Array.from({ length: count }, (_, at) => {
    const span: Record<string, unknown> = {};
    for (const name of names) span[name] = columns[name]?.[at];
    // One value of each column that the statement above selects: those of a TraceSpan.
    return span as unknown as TraceSpan;
  });
}

export function recordsFrom(spans: readonly TraceSpan[]): TraceRecord[] {
  return [...Map.groupBy(spans, ({ traceId }) => traceId).values()].flatMap(([one, ...rest]) =>
    one === undefined ? [] : [recordFrom([one, ...rest])],
  );
}

const noParent = "toFixedString('', 8)";
const phases =
  "isNotNull(ttft_ns) + isNotNull(queue_ns) + isNotNull(prefill_ns) + isNotNull(decode_ns)";
const isCall = `toUInt8(${isCallSql})`;

/** Greatest for the principal call; `span_id` makes it total, so that a row never flickers. */
const principalRankSql = `tuple(
  if(engine != '' AND ${isCall}, 1 + ${phases}, 0), ${isCall},
  if(${isCall}, 0, parent_span_id = ${noParent}), -toUnixTimestamp64Nano(start), span_id)`;

/** The same order among model calls alone, cheaper: what a sort of many traces can afford. */
export const callRankSql = `tuple(
  toUInt8(if(engine != '', 1 + ${phases}, 0)), -toUnixTimestamp64Nano(start))`;

const principal = {
  principalSpanId: "lower(hex(span_id))",
  isCall: isCall,
  callKind: "kind",
  callDurationNs: "duration_ns",
  callStatus: "status",
  ttftNs: "ttft_ns",
  ttftBasis: "toInt8(ttft_basis)",
  itlNs: "itl_ns",
  queueNs: "queue_ns",
  prefillNs: "prefill_ns",
  decodeNs: "decode_ns",
  inputTokens: "input_tokens",
  outputTokens: "output_tokens",
  cachedTokens: "cached_tokens",
  reasoningTokens: "reasoning_tokens",
  ownModel: "toString(model)",
  provider: "toString(provider)",
  engine: "toString(engine)",
  operation: "toString(operation)",
  finishReason: "toString(finish_reason)",
  namespace: "toString(namespace)",
  pod: "toString(pod)",
  node: "toString(node)",
  parentId: "parent_span_id",
} as const;

const principalValues = Object.values(principal).join(", ");
const principalNames = Object.keys(principal)
  .map((name, index) => `p.${index + 1} AS ${name}`)
  .join(", ");

/** The rules of `trace-record.ts` in SQL. */
export const traceRowsSql = (options: { from: string; matches: string }): string => `
  SELECT
    lower(hex(trace_id)) AS traceId, toString(startNsRaw) AS startNs, toString(endNsRaw) AS endNs,
    spanCount, errorCount, matches, isRootKnown,
    length(parents) > length(arrayIntersect(parents, lineage.1)) AS isParentMissing,
    root.1 AS name, root.2 AS service, root.3 AS environment, root.4 AS rootStatus,
    anySession, anyUser, gpus, gpuLevel, markBits AS marks, ${principalNames},
    ${inheritedSql("parentId")}
  FROM (
    SELECT
      trace_id,
      min(toUnixTimestamp64Nano(start)) AS startNsRaw,
      max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)) AS endNsRaw,
      count() AS spanCount,
      countIf(status = 2) AS errorCount,
      countIf(${onPage(options)}) AS matches,
      max(parent_span_id = ${noParent}) AS isRootKnown,
      ${lineageSql},
      groupUniqArrayIf(parent_span_id, parent_span_id != ${noParent}) AS parents,
      argMin(tuple(toString(name), toString(service), toString(environment), status),
        tuple(parent_span_id != ${noParent}, start, span_id)) AS root,
      argMinIf(session, tuple(start, span_id), session != '') AS anySession,
      argMinIf(user, tuple(start, span_id), user != '') AS anyUser,
      arraySort(groupUniqArrayArray(gpu_devices)) AS gpus,
      argMinIf(toString(gpu_level), tuple(start, span_id), gpu_level != '') AS gpuLevel,
      groupBitOr(marks) AS markBits,
      argMax(tuple(${principalValues}), ${principalRankSql}) AS p
    FROM ${options.from}
    GROUP BY trace_id
  )`;

/** What the condition asks of a span's trace is asked of the page's traces, not of all in its time. */
export const onPage = (options: { from: string; matches: string }): string =>
  options.matches.replaceAll("FROM {{spansRaw}} WHERE", `FROM ${options.from} AND`);

export function traceRowFrom(record: TraceRecord): TraceRow {
  return {
    traceId: record.traceId,
    name: record.name,
    startTime: rfc3339FromNs(record.startNs),
    durationNs: Number(BigInt(record.endNs) - BigInt(record.startNs)),
    status: traceStatus(record),
    spanCount: record.spanCount,
    errorCount: record.errorCount,
    service: record.service,
    environment: record.environment,
    model: record.ownModel || record.inheritedModel,
    provider: record.provider || record.inheritedProvider,
    engine: record.engine,
    operation: record.operation,
    ...phasesFrom(record, record.callDurationNs),
    inputTokens: record.inputTokens,
    outputTokens: record.outputTokens,
    cachedTokens: record.cachedTokens,
    reasoningTokens: record.reasoningTokens,
    finishReason: record.finishReason,
    session: record.anySession,
    user: record.anyUser,
    namespace: record.namespace,
    pod: record.pod,
    node: record.node,
    gpus: record.gpus,
    gpuLevel: record.gpuLevel || "unattributed",
    marks: [
      ...marksFrom(record.marks),
      ...(record.isRootKnown ? [] : ["missingRoot" as const]),
      ...(record.isParentMissing ? ["missingParent" as const] : []),
    ],
  };
}

/** The model that one span of a trace inherits; empty when none. */
export async function readInheritedModel(
  queries: Queries,
  scope: TenantScope,
  trace: { from: string; params: Params },
  spanId: string,
): Promise<string> {
  const { rows } = await queries.rows<{ inheritedModel: string }>(
    scope,
    `SELECT ${inheritedSql("parentId")} FROM (
       SELECT ${lineageSql},
         anyIf(parent_span_id, span_id = toFixedString(unhex({spanId:String}), 8)) AS parentId
       FROM ${trace.from}
     )`,
    { ...trace.params, spanId },
  );
  return rows[0]?.inheritedModel ?? "";
}

/** The pods of a trace's engines, as its spans tell them. */
export async function readServingPods(
  queries: Queries,
  scope: TenantScope,
  trace: { from: string; params: Params },
): Promise<ServingPod[]> {
  const { rows } = await queries.rows<ServingPod>(
    scope,
    `SELECT DISTINCT toString(namespace) AS namespace, toString(pod) AS pod
     FROM ${trace.from} AND engine != '' AND pod != ''
     ORDER BY namespace, pod LIMIT ${limits.tracePods}`,
    trace.params,
  );
  return rows;
}

/** Failed when its root or its principal call failed; errors of lesser spans are in `errorCount`. */
function traceStatus(record: TraceRecord): z.infer<typeof Status> {
  if (record.rootStatus === 2 || record.callStatus === 2) return "error";
  return record.rootStatus === 1 || record.callStatus === 1 ? "ok" : "unset";
}
