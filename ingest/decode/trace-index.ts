/**
 * `trace_index`: one row per trace in a batch, kept up to date as requests are accepted. It reads the
 * rows that a request added to `spans`, after the request proved well formed, so nothing here needs
 * to be rolled back.
 */
import type { SpanTable, TraceIndexTable } from "./tables.ts";

export class TraceIndex {
  private slots = new Int32Array(256).fill(-1);
  private readonly seed: number;

  /** `seed` makes the hash unknown to senders, who choose the ids. */
  constructor(seed: number) {
    this.seed = seed;
  }

  clear(): void {
    if (this.slots.length > 65_536) this.slots = new Int32Array(256);
    this.slots.fill(-1);
  }

  /** Takes in the rows of `spans` from `first` on. */
  add(
    spans: SpanTable,
    first: number,
    table: TraceIndexTable,
    partition: { day: number; retention: number },
  ): void {
    const end = spans.rows * spans.stride;
    for (let row = first * spans.stride; row < end; row += spans.stride) {
      const found = this.find(spans, row, table);
      if (found === -1) append(spans, row, table, partition);
      else extend(spans, row, table, found);
    }
  }

  private find(spans: SpanTable, row: number, table: TraceIndexTable): number {
    if ((table.rows + 1) * 2 > this.slots.length) this.rehash(table);
    const mask = this.slots.length - 1;
    const { words } = spans;
    const at = row + spans.trace_id;
    const tenant = words[row + spans.tenant_id] ?? 0;
    const known = table.words;
    for (let slot = hashTrace(words, at, tenant ^ this.seed) & mask; ; slot = (slot + 1) & mask) {
      const candidate = this.slots[slot] ?? -1;
      if (candidate === -1) {
        this.slots[slot] = table.rows;
        return -1;
      }
      const found = candidate * table.stride;
      const other = found + table.trace_id;
      if (
        known[other] === words[at] &&
        known[other + 1] === words[at + 1] &&
        known[other + 2] === words[at + 2] &&
        known[other + 3] === words[at + 3] &&
        known[found + table.tenant_id] === tenant
      ) {
        return found;
      }
    }
  }

  private rehash(table: TraceIndexTable): void {
    this.slots = new Int32Array(this.slots.length * 2).fill(-1);
    const mask = this.slots.length - 1;
    for (let row = 0; row < table.rows; row += 1) {
      const at = row * table.stride;
      const tenant = table.words[at + table.tenant_id] ?? 0;
      let slot = hashTrace(table.words, at + table.trace_id, tenant ^ this.seed) & mask;
      while (this.slots[slot] !== -1) slot = (slot + 1) & mask;
      this.slots[slot] = row;
    }
  }
}

function append(
  spans: SpanTable,
  row: number,
  table: TraceIndexTable,
  partition: { day: number; retention: number },
): void {
  const { words: from } = spans;
  const at = table.begin();
  const { words } = table;
  words[at + table.tenant_id] = from[row + spans.tenant_id] ?? 0;
  for (let i = 0; i < 4; i += 1) {
    words[at + table.trace_id + i] = from[row + spans.trace_id + i] ?? 0;
  }
  words[at + table.day] = partition.day;
  words[at + table.retention] = partition.retention;
  const lo = from[row + spans.start] ?? 0;
  const hi = from[row + spans.start + 1] ?? 0;
  put(words, at + table.min_start, lo, hi);
  put(words, at + table.max_start, lo, hi);
  const end = endOf(spans, row);
  put(words, at + table.max_end, end.lo, end.hi);
}

function extend(spans: SpanTable, row: number, table: TraceIndexTable, found: number): void {
  const { words } = table;
  const lo = spans.words[row + spans.start] ?? 0;
  const hi = spans.words[row + spans.start + 1] ?? 0;
  const end = endOf(spans, row);
  const min = found + table.min_start;
  const max = found + table.max_start;
  const last = found + table.max_end;
  if (less(lo, hi, words, min)) put(words, min, lo, hi);
  if (!less(lo, hi, words, max)) put(words, max, lo, hi);
  if (!less(end.lo, end.hi, words, last)) put(words, last, end.lo, end.hi);
}

const sum = { lo: 0, hi: 0 };

/** Start plus duration; the object is used again. */
function endOf(spans: SpanTable, row: number): { lo: number; hi: number } {
  const { words } = spans;
  const lo = (words[row + spans.start] ?? 0) + (words[row + spans.duration_ns] ?? 0);
  const hi = (words[row + spans.start + 1] ?? 0) + (words[row + spans.duration_ns + 1] ?? 0);
  sum.lo = lo >>> 0;
  sum.hi = (hi + (lo >= 2 ** 32 ? 1 : 0)) >>> 0;
  return sum;
}

function less(lo: number, hi: number, words: Uint32Array, at: number): boolean {
  const otherHi = words[at + 1] ?? 0;
  return hi < otherHi || (hi === otherHi && lo < (words[at] ?? 0));
}

function put(words: Uint32Array, at: number, lo: number, hi: number): void {
  words[at] = lo;
  words[at + 1] = hi;
}

/** Trace ids are random; one round over their words is enough, also against half-zero ids. */
function hashTrace(words: Uint32Array, at: number, salt: number): number {
  let hash = Math.imul(salt ^ (words[at] ?? 0), -1640531527);
  hash = Math.imul(hash ^ (hash >>> 15) ^ (words[at + 1] ?? 0), -2048144789);
  hash = Math.imul(hash ^ (hash >>> 13) ^ (words[at + 2] ?? 0), -1028477387);
  hash = Math.imul(hash ^ (hash >>> 16) ^ (words[at + 3] ?? 0), -1640531527);
  return hash ^ (hash >>> 15);
}
