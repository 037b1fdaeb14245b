/**
 * What the kernel is told before it is called and what it answers in: words at fixed places in the
 * decoder's memory, and the tables that it reads (aliases, engines).
 */
import { basisCodes } from "../normalize/normalize.ts";
import { engines } from "../normalize/engines.ts";
import { meanings, type SaidMemory } from "../normalize/said.ts";
import type { Heap } from "./heap.ts";
import {
  aliasesAt,
  aliasFlags,
  enginesAt,
  fixedBytes,
  placeOfState,
  poolNames,
  poolsAt,
  said,
  type StateField,
} from "./memory-map.ts";
import type { PayloadTable, SpanTable } from "./tables.ts";

export interface State {
  /** Off only where a test compares with the general way. */
  readonly isKernelUsed: boolean;
  get(field: StateField): number;
  set(field: StateField, value: number): void;
  /** The header of the column that spans append to under this name. */
  pool(name: (typeof poolNames)[number], header: number): void;
}

/** Units as numbers. */
export const units = [...new Set(meanings.map(({ unit }) => unit))];

export function createState(heap: Heap, isKernelUsed: boolean): State {
  const words = heap.words.subarray(0, fixedBytes / 4);
  heap.bytes.set(aliasTable, aliasesAt);
  heap.bytes.set(engineTable, enginesAt);
  return {
    isKernelUsed,
    get: (field) => words[placeOfState[field]] ?? 0,
    set: (field, value) => (words[placeOfState[field]] = value),
    pool: (name, header) => (words[poolsAt / 4 + poolNames.indexOf(name)] = header),
  };
}

/** The alias table and that of engines, the same for every decoder. */
const aliasTable = Uint8Array.from(
  meanings.flatMap(({ field, unit, isLabel, isOrdinals, isQuantity, engine, basis }) => {
    const flags =
      (isLabel ? aliasFlags.isLabel : 0) |
      (isOrdinals ? aliasFlags.isOrdinals : 0) |
      (isQuantity ? aliasFlags.isQuantity : 0);
    const code = basis === undefined ? 0 : basisCodes[basis];
    return [field, units.indexOf(unit), flags, engineNumber(engine ?? ""), code, 0, 0, 0];
  }),
);
const engineTable = Uint8Array.from([
  0,
  0,
  ...engines.flatMap(({ basis, prefillHasQueue }) => [
    basis === undefined ? 0 : basisCodes[basis],
    prefillHasQueue ? 1 : 0,
  ]),
]);

/** Engines by number, from 1; 0 for none. */
export function engineNumber(name: string): number {
  return engines.findIndex((engine) => engine.name === name) + 1;
}

/** What a span said lies in the same memory. */
export function saidMemory(heap: Heap): SaidMemory {
  const { buffer } = heap.bytes;
  const count = (said.ranks - said.values) / 8;
  return {
    values: new Float64Array(buffer, said.values, count),
    ranks: new Uint16Array(buffer, said.ranks, count),
    labels: new Uint32Array(buffer, said.labels, count),
    offsets: new Uint32Array(buffer, said.offsets, count),
    lengths: new Uint32Array(buffer, said.lengths, count),
    ordinals: new Float64Array(buffer, said.ordinals, (said.counts - said.ordinals) / 8),
    counts: new Uint32Array(buffer, said.counts, 2),
  };
}

/** Spans' payloads go to this table from now on. */
export function pointTo(state: State, payload: PayloadTable): void {
  state.set("payload", payload.at);
  state.pool("strKeys", payload.attrs_str.keys.at);
  state.pool("strValues", payload.attrs_str.values.at);
  state.pool("intKeys", payload.attrs_int.keys.at);
  state.pool("intValues", payload.attrs_int.values.at);
  state.pool("numKeys", payload.attrs_num.keys.at);
  state.pool("numValues", payload.attrs_num.values.at);
  state.pool("boolKeys", payload.attrs_bool.keys.at);
  state.pool("boolValues", payload.attrs_bool.values.at);
  state.pool("jsonKeys", payload.attrs_json.keys.at);
  state.pool("jsonValues", payload.attrs_json.values.at);
  state.pool("contentKeys", payload.content.keys.at);
  state.pool("contentValues", payload.content.values.at);
  state.pool("eventTime", payload.event_time.items.at);
  state.pool("eventName", payload.event_name.items.at);
  state.pool("eventAttrs", payload.event_attrs.items.at);
  state.pool("payloadTexts", payload.texts.at);
}

/** Spans go to this table from now on. */
export function pointToSpans(state: State, spans: SpanTable): void {
  state.set("spans", spans.at);
  state.pool("spanTexts", spans.texts.at);
  state.pool("ordinals", spans.gpu_ordinals.items.at);
  state.pool("devices", spans.gpu_devices.items.at);
  state.pool("candidates", spans.gpu_candidates.items.at);
  state.pool("evidence", spans.gpu_evidence.items.at);
}
