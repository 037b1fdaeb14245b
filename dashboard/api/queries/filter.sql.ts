/**
 * A TraceFilter as conditions on columns of `spans`. Values travel as server-side parameters.
 *
 * An exclusion (`!value`) means "has one, and another": `model=!llama` finds spans of other models,
 * not every span without a model. `model` also finds the calls of engines that name none, where
 * another span of the trace names it; which of several models such a call inherits is not looked at.
 */
import { Status } from "@axonize/core/contract/trace";
import type { facetKeys, TraceFilter } from "@axonize/core/contract/trace";
import type { Params } from "./query.ts";

export type FacetKey = (typeof facetKeys)[number];
export type SpanFilter = Omit<TraceFilter, "from" | "to">;

export interface Condition {
  /** Conditions joined by AND; `1` when there is none. */
  sql: string;
  /** The same without what is asked of a span's trace: at least one span of each match satisfies it. */
  candidateSql: string;
  /** Traces with a candidate have to be checked against `sql`. */
  needsCheck: boolean;
  params: Params;
  isEmpty: boolean;
}

const columns = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "pod",
  "namespace",
  "node",
  "session",
  "user",
] as const;

/** `without`: the facet whose own filter is left out, for its counts. */
export function filterCondition(filter: SpanFilter, without?: FacetKey): Condition {
  const parts: string[] = [];
  const params: Params = {};
  let modelIn: string | undefined;
  for (const column of columns) {
    const values = filter[column];
    if (values === undefined || column === without) continue;
    const { include, exclude } = split(values);
    if (include.length > 0) {
      const isIn = `${column} IN {${column}In:Array(String)}`;
      if (column === "model") modelIn = isIn;
      else parts.push(isIn);
      params[`${column}In`] = include;
    }
    if (exclude.length > 0) {
      parts.push(`${column} != '' AND ${column} NOT IN {${column}Out:Array(String)}`);
      params[`${column}Out`] = exclude;
    }
  }
  if (filter.gpu !== undefined && without !== "gpu") addGpu(filter.gpu, parts, params);
  if (filter.status !== undefined && without !== "status") {
    parts.push(`status = {status:UInt8}`);
    params["status"] = Status.options.indexOf(filter.status);
  }
  if (filter.q !== undefined && filter.q !== "") {
    parts.push(`positionCaseInsensitiveUTF8(name, {q:String}) > 0`);
    params["q"] = filter.q;
  }
  addRanges(filter, parts, params);
  return conditionOf(parts, params, { modelIn, calls: filter.calls === true });
}

/** `modelIn` and `calls` ask something of the trace: that another span of it names the model, or is a call. */
function conditionOf(
  own: readonly string[],
  params: Params,
  ofTrace: { modelIn: string | undefined; calls: boolean },
): Condition {
  const { modelIn, calls } = ofTrace;
  const parts = [...own];
  const candidates = [...own];
  if (modelIn !== undefined) {
    parts.push(orInherited(modelIn));
    // Alone, it finds the traces with a span that names the model, whoever inherits it.
    candidates.push(own.length === 0 ? modelIn : `(${modelIn} OR (model = '' AND engine != ''))`);
  }
  if (calls) {
    // What calls a model may match the rest in a span above the call.
    parts.push(`trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${isCallSql})`);
    if (candidates.length === 0) candidates.push(isCallSql);
  }
  const asked = own.length + (modelIn === undefined ? 0 : 1) + (calls ? 1 : 0);
  return {
    sql: parts.join(" AND ") || "1",
    candidateSql: candidates.join(" AND ") || "1",
    needsCheck: asked > 1 && (modelIn !== undefined || calls),
    params,
    isEmpty: parts.length === 0,
  };
}

const orInherited = (isIn: string): string =>
  `(${isIn} OR (model = '' AND engine != '' AND trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${isIn})))`;

function addGpu(values: readonly string[], parts: string[], params: Params): void {
  const { include, exclude } = split(values);
  if (include.length > 0) {
    parts.push(`hasAny(gpu_devices, {gpuIn:Array(String)})`);
    params["gpuIn"] = include;
  }
  if (exclude.length > 0) {
    parts.push(`notEmpty(gpu_devices) AND NOT hasAny(gpu_devices, {gpuOut:Array(String)})`);
    params["gpuOut"] = exclude;
  }
}

type RangeName = Extract<keyof SpanFilter, `min${string}` | `max${string}`>;

function addRanges(filter: SpanFilter, parts: string[], params: Params): void {
  const range = (name: RangeName, condition: string, scale: number): void => {
    const value = filter[name];
    if (value === undefined) return;
    parts.push(condition.replace("?", `{${name}:Float64}`));
    params[name] = value * scale;
  };
  range("minDurationMs", "duration_ns >= ?", 1e6);
  range("maxDurationMs", "duration_ns <= ?", 1e6);
  range("minTtftMs", "ttft_ns >= ?", 1e6);
  range("maxTtftMs", "ttft_ns <= ?", 1e6);
  range("minPerTokenMs", `${perTokenSql} >= ?`, 1e6);
  range("maxPerTokenMs", `${perTokenSql} <= ?`, 1e6);
  range("minQueueMs", "queue_ns >= ?", 1e6);
  range("maxQueueMs", "queue_ns <= ?", 1e6);
  range("minPrefillMs", "prefill_ns >= ?", 1e6);
  range("maxPrefillMs", "prefill_ns <= ?", 1e6);
  range("minDecodeMs", "decode_ns >= ?", 1e6);
  range("maxDecodeMs", "decode_ns <= ?", 1e6);
  const tokens = "ifNull(input_tokens, 0) + ifNull(output_tokens, 0)";
  const known = "(input_tokens IS NOT NULL OR output_tokens IS NOT NULL)";
  range("minTokens", `${known} AND ${tokens} >= ?`, 1);
  range("maxTokens", `${known} AND ${tokens} <= ?`, 1);
}

function split(values: readonly string[]): { include: string[]; exclude: string[] } {
  return {
    include: values.filter((value) => !value.startsWith("!")),
    exclude: values.filter((value) => value.startsWith("!")).map((value) => value.slice(1)),
  };
}

/** Tools and agents carry an operation as well, and agents repeat the tokens of the calls within. */
export const notCalls: readonly string[] = [
  "execute_tool",
  "invoke_agent",
  "create_agent",
  "invoke_workflow",
];

/** A model call. */
export const isCallSql = `(model != '' OR operation != '') AND operation NOT IN (${notCalls.map((name) => `'${name}'`).join(", ")})`;

/** The same of a span that was read. */
export const isCall = (span: { model: string; operation: string }): boolean =>
  (span.model !== "" || span.operation !== "") && !notCalls.includes(span.operation);

/** Nanoseconds per output token after the first: told, else from decode, else from what follows the first token. */
export const perTokenSql = `coalesce(itl_ns, if(output_tokens > 1,
  toUInt64(coalesce(decode_ns, if(ttft_ns <= duration_ns, duration_ns - ttft_ns, NULL)) / (output_tokens - 1)), NULL))`;

/** A call that an engine tells the tokens of; the client's word for the same tokens then counts no more. */
export const isServedSql = `(${isCallSql}) AND engine != '' AND (input_tokens > 0 OR output_tokens > 0)`;
