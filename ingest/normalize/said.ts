/**
 * What a span said, by field of the alias table: filled while its bytes are scanned, completed by
 * `normalize`, used again for the next span. Of several keys for one field the one of the highest
 * precedence whose value is sane counts, in whatever order they come.
 *
 * Unknown is NaN (numbers) or 0 (interned strings), never a guess.
 */
import { aliases, type Basis, type Field, type Unit } from "./aliases.ts";
import { durationNs, isoMs, numberOf, rustDurationNs, tokenCount } from "./quantities.ts";

const fieldNames = [...new Set(aliases.map(({ field }) => field))];
const indexOf = (field: Field): number => fieldNames.indexOf(field);
/** Places of fields in what follows. */
export const fields: Readonly<Record<Field, number>> = {
  ttft: indexOf("ttft"),
  itl: indexOf("itl"),
  queue: indexOf("queue"),
  prefill: indexOf("prefill"),
  decode: indexOf("decode"),
  kvTransfer: indexOf("kvTransfer"),
  e2e: indexOf("e2e"),
  inputTokens: indexOf("inputTokens"),
  outputTokens: indexOf("outputTokens"),
  cachedTokens: indexOf("cachedTokens"),
  reasoningTokens: indexOf("reasoningTokens"),
  model: indexOf("model"),
  provider: indexOf("provider"),
  operation: indexOf("operation"),
  finish: indexOf("finish"),
  errorType: indexOf("errorType"),
  session: indexOf("session"),
  user: indexOf("user"),
  gpuOrdinals: indexOf("gpuOrdinals"),
  gpuUuid: indexOf("gpuUuid"),
  gpuLevel: indexOf("gpuLevel"),
  evidence: indexOf("evidence"),
};

/** A row of the alias table as a span's loop wants it. */
export interface Meaning {
  /** Its row: the lower, the higher its precedence. */
  readonly rank: number;
  readonly key: string;
  readonly field: number;
  readonly unit: Unit;
  readonly basis: Basis | undefined;
  readonly engine: string | undefined;
  readonly isLabel: boolean;
  readonly isOrdinals: boolean;
  /** Whether a number can be its value. */
  readonly isQuantity: boolean;
}

export const meanings: readonly Meaning[] = aliases.map(
  ({ key, field, unit, basis, engine }, rank): Meaning => ({
    rank,
    key,
    field: indexOf(field),
    unit,
    basis,
    engine,
    isLabel: unit === "label",
    isOrdinals: unit === "ints",
    isQuantity: !["label", "id", "ints", "iso", "none"].includes(unit),
  }),
);

/** What a row of the alias table means. */
export function meaningOf(row: number): Meaning | undefined {
  return meanings[row];
}

/** Device ordinals kept of a span: a node has 16 GPUs of up to 7 slices. */
export const mostOrdinals = 128;
/** Behind every row of the alias table. */
const noRank = 0xffff;

/** Memory for it, by field or as named: the decoder shares it with its compiled kernel. */
export interface SaidMemory {
  /** A number, an interned string, bounds of a text in the request's body. */
  readonly values: Float64Array;
  readonly labels: Uint32Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  /** Rows of the alias table that they came by. */
  readonly ranks: Uint16Array;
  readonly ordinals: Float64Array;
  /** How many ordinals; the row, plus 1, that betrays an engine. */
  readonly counts: Uint32Array;
}

export class Said {
  /** Start of the span, for moments. */
  startMs = 0;
  readonly values: Float64Array;
  readonly labels: Uint32Array;
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
  /** Device ordinals, the first `ordinalCount`. */
  readonly ordinals: Float64Array;
  /** Filled by normalising: the engine's interned name, and the code of the TTFT's basis. */
  engine = 0;
  ttftBasis = 0;
  private readonly ranks: Uint16Array;
  private readonly counts: Uint32Array;

  constructor(memory: SaidMemory) {
    this.values = memory.values;
    this.labels = memory.labels;
    this.offsets = memory.offsets;
    this.lengths = memory.lengths;
    this.ordinals = memory.ordinals;
    this.ranks = memory.ranks;
    this.counts = memory.counts;
  }

  get ordinalCount(): number {
    return this.counts[0] ?? 0;
  }
  /** The engine that the first key betrays which one engine alone writes. */
  get evidence(): string | undefined {
    const row = this.counts[1] ?? 0;
    return row === 0 ? undefined : meanings[row - 1]?.engine;
  }

  reset(): void {
    const { ranks, values, labels } = this;
    for (let i = 0; i < ranks.length; i += 1) {
      ranks[i] = noRank;
      values[i] = NaN;
      labels[i] = 0;
    }
    this.counts.fill(0);
  }

  /** What a field's value came by. */
  source(field: number): Meaning | undefined {
    const rank = this.ranks[field] ?? noRank;
    return rank === noRank ? undefined : meanings[rank];
  }

  label({ field, rank }: Meaning, id: number): void {
    if (id === 0 || rank >= (this.ranks[field] ?? 0)) return;
    this.ranks[field] = rank;
    this.labels[field] = id;
  }

  number(meaning: Meaning, value: number): void {
    this.betray(meaning);
    if (!meaning.isQuantity) return;
    const { unit } = meaning;
    this.keep(meaning, unit === "count" ? tokenCount(value) : durationNs(value, unit));
  }

  ordinal(value: number): void {
    const { ordinalCount } = this;
    if (ordinalCount >= mostOrdinals) return;
    this.ordinals[ordinalCount] = value;
    this.counts[0] = ordinalCount + 1;
  }

  /** Text that is no label; `read` answers it as a string. */
  text(meaning: Meaning, offset: number, length: number, read: TextReader): void {
    this.betray(meaning);
    const { field, rank, unit } = meaning;
    if (rank >= (this.ranks[field] ?? 0)) return;
    if (unit === "id") {
      if (length === 0) return;
      this.ranks[field] = rank;
      this.offsets[field] = offset;
      this.lengths[field] = length;
    } else if (unit === "iso" || meaning.isQuantity) {
      this.keep(meaning, quantity(unit, read(offset, length), this.startMs));
    }
  }

  private betray({ engine, rank }: Meaning): void {
    if (this.counts[1] === 0 && engine !== undefined) this.counts[1] = rank + 1;
  }

  private keep({ field, rank }: Meaning, value: number): void {
    if (Number.isNaN(value) || rank >= (this.ranks[field] ?? 0)) return;
    // A TTFT of 0 is a sender's "not set".
    if (value === 0 && field === fields.ttft) return;
    this.ranks[field] = rank;
    this.values[field] = value;
  }
}

export type TextReader = (offset: number, length: number) => string;

function quantity(unit: Unit, text: string, startMs: number): number {
  if (unit === "rust") return rustDurationNs(text);
  if (unit === "iso") return durationNs(isoMs(text) - startMs, "ms");
  const number = numberOf(text);
  return unit === "count" ? tokenCount(number) : durationNs(number, unit);
}
