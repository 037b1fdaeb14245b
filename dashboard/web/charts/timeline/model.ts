/**
 * A trace as parallel typed arrays: what the waterfall, the minimap and the search work on.
 *
 * Made from either form the API answers (rows or columns). Times are microseconds from the trace's
 * start; NaN stands for unknown. 100 k spans take about 8 MB and no object per span.
 */
import type { SpanColumns, SpanRow, Trace } from "@axonize/core/contract/trace";
import { timeMs } from "../../data/format.ts";
import { buildTree, type Tree } from "./tree.ts";

export interface TraceModel {
  readonly count: number;
  readonly startMs: number;
  /** End of the last span, at least 1. */
  readonly endUs: number;
  readonly strings: readonly string[];
  readonly spanId: readonly string[];
  readonly parent: Int32Array;
  readonly orphan: ReadonlySet<number>;
  readonly name: Int32Array;
  readonly service: Int32Array;
  readonly model: Int32Array;
  readonly operation: Int32Array;
  readonly kind: Uint8Array;
  readonly status: Uint8Array;
  readonly startUs: Float64Array;
  readonly durationUs: Float64Array;
  readonly ttftUs: Float64Array;
  readonly queueUs: Float64Array;
  readonly prefillUs: Float64Array;
  readonly decodeUs: Float64Array;
  readonly inputTokens: Float64Array;
  readonly outputTokens: Float64Array;
  readonly tree: Tree;
  readonly errors: Int32Array;
}

/** Position in the contract's Status. */
export const errorStatus = 2;

export function modelFromTrace(trace: Trace): TraceModel {
  return modelFromColumns(
    trace.columns ?? columnsFromRows(trace.spans ?? [], trace.startTime),
    timeMs(trace.startTime),
  );
}

export function modelFromColumns(columns: SpanColumns, startMs: number): TraceModel {
  const parent = Int32Array.from(columns.parent);
  const startUs = Float64Array.from(columns.startUs);
  const durationUs = Float64Array.from(columns.durationUs);
  const status = Uint8Array.from(columns.status);
  let endUs = 1;
  const errors: number[] = [];
  for (let i = 0; i < startUs.length; i += 1) {
    const end = (startUs[i] ?? 0) + (durationUs[i] ?? 0);
    if (end > endUs) endUs = end;
    if (status[i] === errorStatus) errors.push(i);
  }
  return {
    count: startUs.length,
    startMs,
    endUs,
    strings: columns.strings,
    spanId: columns.spanId,
    parent,
    orphan: new Set(columns.orphan),
    name: Int32Array.from(columns.nameIndex),
    service: Int32Array.from(columns.serviceIndex),
    model: Int32Array.from(columns.modelIndex),
    operation: Int32Array.from(columns.operationIndex),
    kind: Uint8Array.from(columns.kind),
    status,
    startUs,
    durationUs,
    ttftUs: optional(columns.ttftUs),
    queueUs: optional(columns.queueUs),
    prefillUs: optional(columns.prefillUs),
    decodeUs: optional(columns.decodeUs),
    inputTokens: optional(columns.inputTokens),
    outputTokens: optional(columns.outputTokens),
    tree: buildTree(parent),
    errors: Int32Array.from(errors),
  };
}

function optional(values: readonly (number | null)[]): Float64Array {
  const out = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += 1) out[i] = values[i] ?? Number.NaN;
  return out;
}

const statuses = ["unset", "ok", "error"];
const kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/** Rows (small traces) to columns, sorted by start. */
export function columnsFromRows(rows: readonly SpanRow[], startTime: string): SpanColumns {
  const baseMs = timeMs(startTime);
  const sorted = rows
    .map((row) => ({ row, startUs: (timeMs(row.startTime) - baseMs) * 1e3 }))
    .sort((a, b) => a.startUs - b.startUs);
  const index = new Map(sorted.map(({ row }, i) => [row.spanId, i]));
  const strings: string[] = [];
  const known = new Map<string, number>();
  const intern = (text: string): number => {
    const at = known.get(text);
    if (at !== undefined) return at;
    known.set(text, strings.length);
    strings.push(text);
    return strings.length - 1;
  };
  const us = (ms: number | null): number | null => (ms === null ? null : ms * 1e3);
  const col = <T>(pick: (row: SpanRow) => T): T[] => sorted.map(({ row }) => pick(row));
  return {
    strings,
    spanId: col((r) => r.spanId),
    parent: col((r) => (r.parentSpanId === "" ? -1 : (index.get(r.parentSpanId) ?? -1))),
    orphan: sorted.flatMap(({ row }, i) =>
      row.parentSpanId !== "" && !index.has(row.parentSpanId) ? [i] : [],
    ),
    nameIndex: col((r) => intern(r.name)),
    serviceIndex: col((r) => intern(r.service)),
    modelIndex: col((r) => intern(r.model)),
    engineIndex: col((r) => intern(r.engine)),
    operationIndex: col((r) => intern(r.operation)),
    kind: col((r) => Math.max(0, kinds.indexOf(r.kind))),
    status: col((r) => Math.max(0, statuses.indexOf(r.status))),
    startUs: sorted.map(({ startUs }) => startUs),
    durationUs: col((r) => r.durationNs / 1e3),
    ttftUs: col((r) => us(r.ttftMs)),
    queueUs: col((r) => us(r.queueMs)),
    prefillUs: col((r) => us(r.prefillMs)),
    decodeUs: col((r) => us(r.decodeMs)),
    inputTokens: col((r) => r.inputTokens),
    outputTokens: col((r) => r.outputTokens),
    marks: col(() => 0),
  };
}

const clientKind = kinds.indexOf("client");
const serverKind = kinds.indexOf("server");

/**
 * Who told of a call: the program it ran in; its caller, with a server's span somewhere below its own; or
 * its caller alone, who saw it from outside. A caller's pod says nothing of the server.
 */
export type ToldBy = "server" | "both" | "caller";

export function toldBy(model: TraceModel, spanId: string | null | undefined): ToldBy {
  const call = spanId === null || spanId === undefined ? -1 : model.spanId.indexOf(spanId);
  if (call < 0 || model.kind[call] !== clientKind) return "server";
  const { order, position, size } = model.tree;
  const first = position[call] ?? 0;
  const below = order.subarray(first + 1, first + (size[call] ?? 1));
  return below.some((row) => model.kind[row] === serverKind) ? "both" : "caller";
}

export type SpanTone = "call" | "tool" | "retrieval" | "network" | "plain";

/** What colour a span has where it has no phases: by operation or, where none is told, model; then by kind. */
export function spanTone(model: TraceModel, row: number): SpanTone {
  const operation = model.strings[model.operation[row] ?? 0] ?? "";
  const named = model.strings[model.model[row] ?? 0] ?? "";
  if (/tool|function/.test(operation)) return "tool";
  if (/retriev|embed|rerank|search/.test(operation)) return "retrieval";
  if (operation !== "" || named !== "") return "call";
  return model.kind[row] === clientKind ? "network" : "plain";
}
