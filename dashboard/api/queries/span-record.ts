/**
 * A span as the queries read it, and as the API tells it.
 *
 * Phases that follow from others are computed here; what is unknown is null, never 0.
 */
import {
  markNames,
  SpanKind,
  Status,
  TtftBasis,
  type Mark,
  type SpanRow,
} from "@axonize/core/contract/trace";
import type * as z from "zod";
import { compareNs, rfc3339FromNs, toMs } from "../time-text.ts";

export interface SpanRecord extends PhaseRecord {
  spanId: string;
  parentSpanId: string;
  startNs: string;
  durationNs: number;
  name: string;
  kind: number;
  status: number;
  service: string;
  model: string;
  modelSource: SpanRow["modelSource"];
  provider: string;
  engine: string;
  operation: string;
  inputTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  finishReason: string;
  pod: string;
  namespace: string;
  node: string;
  gpus: string[];
  gpuOrdinals: number[];
  gpuLevel: string;
  marks: number;
}

export const spanRecordSql = `
  lower(hex(span_id)) AS spanId,
  if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parentSpanId,
  toString(toUnixTimestamp64Nano(start)) AS startNs, duration_ns AS durationNs,
  name, kind, status, service, model, model_source AS modelSource, provider, engine, operation,
  ttft_ns AS ttftNs, toInt8(ttft_basis) AS ttftBasis, itl_ns AS itlNs, queue_ns AS queueNs,
  prefill_ns AS prefillNs, decode_ns AS decodeNs, input_tokens AS inputTokens,
  output_tokens AS outputTokens, cached_tokens AS cachedTokens, reasoning_tokens AS reasoningTokens,
  finish_reason AS finishReason, pod, namespace, node, gpu_devices AS gpus,
  gpu_ordinals AS gpuOrdinals, gpu_level AS gpuLevel, marks`;

/** A whole trace's spans in the order of their start. */
export function spanRowsFrom(records: readonly SpanRecord[]): SpanRow[] {
  const present = new Set(records.map((record) => record.spanId));
  return records
    .toSorted((a, b) => compareNs(a.startNs, b.startNs) || (a.spanId < b.spanId ? -1 : 1))
    .map((record) => spanRowFrom(record, present));
}

/** `present`: the ids of the trace's spans, to mark those whose parent is missing. */
export function spanRowFrom(record: SpanRecord, present: ReadonlySet<string> | undefined): SpanRow {
  const isOrphan =
    present !== undefined && record.parentSpanId !== "" && !present.has(record.parentSpanId);
  return {
    spanId: record.spanId,
    parentSpanId: record.parentSpanId,
    name: record.name,
    kind: SpanKind.options[record.kind] ?? "unspecified",
    status: Status.options[record.status] ?? "unset",
    service: record.service,
    startTime: rfc3339FromNs(record.startNs),
    durationNs: record.durationNs,
    model: record.model,
    modelSource: record.modelSource,
    provider: record.provider,
    engine: record.engine,
    operation: record.operation,
    ...phasesFrom(record, record.durationNs),
    inputTokens: record.inputTokens,
    outputTokens: record.outputTokens,
    cachedTokens: record.cachedTokens,
    reasoningTokens: record.reasoningTokens,
    finishReason: record.finishReason,
    pod: record.pod,
    namespace: record.namespace,
    node: record.node,
    gpus: record.gpus,
    gpuOrdinals: record.gpuOrdinals,
    gpuLevel: record.gpuLevel || "unattributed",
    marks: [...marksFrom(record.marks), ...(isOrphan ? ["missingParent" as const] : [])],
  };
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
  return {
    ttftMs: toMs(record.ttftNs),
    ttftBasis: TtftBasis.options[record.ttftBasis] ?? "none",
    perTokenMs: toMs(perTokenNs),
    queueMs: toMs(record.queueNs),
    prefillMs: toMs(record.prefillNs),
    decodeMs: toMs(record.decodeNs),
    tokensPerSecond: speedOf(record, perTokenNs, durationNs),
  };
}

/** Tokens after the first over their time, as the SDKs say it; all over the whole call where that is unknown. */
function speedOf(
  { outputTokens }: PhaseRecord,
  perTokenNs: number | null,
  durationNs: number,
): number | null {
  if (outputTokens === null || outputTokens === 0) return null;
  if (perTokenNs !== null && perTokenNs > 0) return 1e9 / perTokenNs;
  return durationNs > 0 ? outputTokens / (durationNs / 1e9) : null;
}

export function marksFrom(bits: number): z.infer<typeof Mark>[] {
  return markNames.filter((_, index) => (bits & (1 << index)) !== 0);
}
