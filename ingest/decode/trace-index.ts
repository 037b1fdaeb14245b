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
    for (let row = first; row < spans.rows; row += 1) {
      const found = this.find(spans, row, table);
      if (found === -1) this.append(spans, row, table, partition);
      else extend(spans, row, table, found);
    }
  }

  private find(spans: SpanTable, row: number, table: TraceIndexTable): number {
    if ((table.rows + 1) * 2 > this.slots.length) this.rehash(table);
    const mask = this.slots.length - 1;
    const words = spans.trace_id.words;
    const at = row * 4;
    const tenant = spans.tenant_id.words[row] ?? 0;
    const known = table.trace_id.words;
    for (let slot = hashTrace(words, at, tenant ^ this.seed) & mask; ; slot = (slot + 1) & mask) {
      const candidate = this.slots[slot] ?? -1;
      if (candidate === -1) {
        this.slots[slot] = table.rows;
        return -1;
      }
      const other = candidate * 4;
      if (
        known[other] === words[at] &&
        known[other + 1] === words[at + 1] &&
        known[other + 2] === words[at + 2] &&
        known[other + 3] === words[at + 3] &&
        table.tenant_id.words[candidate] === tenant
      ) {
        return candidate;
      }
    }
  }

  private append(
    spans: SpanTable,
    row: number,
    table: TraceIndexTable,
    partition: { day: number; retention: number },
  ): void {
    const words = spans.trace_id.words;
    const lo = spans.start.words[row * 2] ?? 0;
    const hi = spans.start.words[row * 2 + 1] ?? 0;
    const end = endOf(spans, row);
    table.tenant_id.push1(spans.tenant_id.words[row] ?? 0);
    table.trace_id.push4(
      words[row * 4] ?? 0,
      words[row * 4 + 1] ?? 0,
      words[row * 4 + 2] ?? 0,
      words[row * 4 + 3] ?? 0,
    );
    table.day.push(partition.day);
    table.retention.push(partition.retention);
    table.min_start.push2(lo, hi);
    table.max_start.push2(lo, hi);
    table.max_end.push2(end.lo, end.hi);
    table.rows += 1;
  }

  private rehash(table: TraceIndexTable): void {
    this.slots = new Int32Array(this.slots.length * 2).fill(-1);
    const mask = this.slots.length - 1;
    for (let row = 0; row < table.rows; row += 1) {
      const tenant = table.tenant_id.words[row] ?? 0;
      let slot = hashTrace(table.trace_id.words, row * 4, tenant ^ this.seed) & mask;
      while (this.slots[slot] !== -1) slot = (slot + 1) & mask;
      this.slots[slot] = row;
    }
  }
}

function extend(spans: SpanTable, row: number, table: TraceIndexTable, found: number): void {
  const lo = spans.start.words[row * 2] ?? 0;
  const hi = spans.start.words[row * 2 + 1] ?? 0;
  const end = endOf(spans, row);
  const at = found * 2;
  if (less(lo, hi, table.min_start.words, at)) put(table.min_start.words, at, lo, hi);
  if (!less(lo, hi, table.max_start.words, at)) put(table.max_start.words, at, lo, hi);
  if (!less(end.lo, end.hi, table.max_end.words, at)) put(table.max_end.words, at, end.lo, end.hi);
}

const sum = { lo: 0, hi: 0 };

/** Start plus duration; the object is used again. */
function endOf(spans: SpanTable, row: number): { lo: number; hi: number } {
  const lo = (spans.start.words[row * 2] ?? 0) + (spans.duration_ns.words[row * 2] ?? 0);
  const hi = (spans.start.words[row * 2 + 1] ?? 0) + (spans.duration_ns.words[row * 2 + 1] ?? 0);
  sum.lo = lo % 2 ** 32;
  sum.hi = (hi + (lo >= 2 ** 32 ? 1 : 0)) % 2 ** 32;
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
