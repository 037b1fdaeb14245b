/**
 * A trace as one row: aggregated from its spans, with the values of its principal call.
 *
 * The principal call is the engine's call with the most known phases, else the first model call,
 * else the root. Name, service and status are the root's (else the earliest span's); a model that
 * the principal does not name is inherited as `inherit-model.ts` says.
 */
import {
  TtftBasis,
  markNames,
  type Mark,
  type Status,
  type TraceRow,
} from "@axonize/core/contract/trace";
import type * as z from "zod";
import * as limits from "../limits.ts";
import { rfc3339FromNs, toMs } from "../time-text.ts";
import { isCallSql } from "./filter.sql.ts";
import { inheritedSql, lineageSql } from "./inherit-model.ts";
import type { Params, Queries, TenantScope } from "./query.ts";

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

export interface TraceRecord {
  traceId: string;
  startNs: string;
  endNs: string;
  spanCount: number;
  errorCount: number;
  matches: number;
  isRootKnown: number;
  isParentMissing: number;
  name: string;
  service: string;
  environment: string;
  rootStatus: number;
  inheritedModel: string;
  inheritedProvider: string;
  anySession: string;
  anyUser: string;
  gpus: string[];
  gpuLevel: string;
  marks: number;
  principalSpanId: string;
  isCall: number;
  callDurationNs: number;
  callStatus: number;
  ttftNs: number | null;
  ttftBasis: number;
  itlNs: number | null;
  queueNs: number | null;
  prefillNs: number | null;
  decodeNs: number | null;
  inputTokens: number | null;
  outputTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  ownModel: string;
  provider: string;
  engine: string;
  operation: string;
  finishReason: string;
  namespace: string;
  pod: string;
  node: string;
}

/** Of the traces in parameter `traceIds`: `where` bounds their spans, `matches` counts those that satisfy a filter. */
export const traceRowsSql = (options: { where: string; matches: string }): string => `
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
    FROM {{spansOfTraces}}
    WHERE ${options.where}
    GROUP BY trace_id
  )`;

/** What the condition asks of a span's trace is asked of the page's traces, not of all in its time. */
const onPage = (options: { where: string; matches: string }): string =>
  options.matches.replaceAll(
    "FROM {{spansRaw}} WHERE",
    `FROM {{spansOfTraces}} WHERE ${options.where} AND`,
  );

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
  trace: { where: string; params: Params },
  spanId: string,
): Promise<string> {
  const { rows } = await queries.rows<{ inheritedModel: string }>(
    scope,
    `SELECT ${inheritedSql("parentId")} FROM (
       SELECT ${lineageSql},
         anyIf(parent_span_id, span_id = toFixedString(unhex({spanId:String}), 8)) AS parentId
       FROM {{spansOfTraces}} WHERE ${trace.where}
     )`,
    { ...trace.params, spanId },
  );
  return rows[0]?.inheritedModel ?? "";
}

/** The pods of a trace's engines, as its spans tell them. */
export async function readServingPods(
  queries: Queries,
  scope: TenantScope,
  trace: { where: string; params: Params },
): Promise<{ namespace: string; pod: string }[]> {
  const { rows } = await queries.rows<{ namespace: string; pod: string }>(
    scope,
    `SELECT DISTINCT toString(namespace) AS namespace, toString(pod) AS pod
     FROM {{spansOfTraces}} WHERE engine != '' AND pod != '' AND ${trace.where}
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

export interface PhaseRecord {
  ttftNs: number | null;
  ttftBasis: number;
  itlNs: number | null;
  queueNs: number | null;
  prefillNs: number | null;
  decodeNs: number | null;
  outputTokens: number | null;
}

/** A call's phases in milliseconds; what follows from others is computed, what is unknown is null. */
export function phasesFrom(record: PhaseRecord, durationNs: number) {
  const afterFirstNs =
    record.decodeNs ?? (record.ttftNs === null ? null : Math.max(0, durationNs - record.ttftNs));
  const laterTokens = (record.outputTokens ?? 0) - 1;
  const perTokenNs =
    record.itlNs ?? (afterFirstNs !== null && laterTokens > 0 ? afterFirstNs / laterTokens : null);
  const generatingNs = record.decodeNs ?? durationNs;
  return {
    ttftMs: toMs(record.ttftNs),
    ttftBasis: TtftBasis.options[record.ttftBasis] ?? "none",
    perTokenMs: toMs(perTokenNs),
    queueMs: toMs(record.queueNs),
    prefillMs: toMs(record.prefillNs),
    decodeMs: toMs(record.decodeNs),
    tokensPerSecond:
      record.outputTokens === null || record.outputTokens === 0 || generatingNs <= 0
        ? null
        : record.outputTokens / (generatingNs / 1e9),
  };
}

export function marksFrom(bits: number): z.infer<typeof Mark>[] {
  return markNames.filter((_, index) => (bits & (1 << index)) !== 0);
}
