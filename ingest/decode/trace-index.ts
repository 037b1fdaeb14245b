/**
 * `trace_index`: one row per trace in a batch, kept up to date as requests are accepted. The kernel
 * reads the rows that a request added to `spans`, after the request proved well formed, so nothing
 * here needs to be rolled back.
 */
import type { Heap } from "./heap.ts";
import type { SpanTable, TraceIndexTable } from "./tables.ts";

const firstSlots = 256;
/** Larger ones are given back. */
const keptSlots = 65_536;

export class TraceIndex {
  private readonly heap: Heap;
  /** Open addressing: row + 1, 0 where free; at most half of them are taken. */
  private slots: Uint32Array;
  private readonly seed: number;

  /** `seed` makes the hash unknown to senders, who choose the ids. */
  constructor(heap: Heap, seed: number) {
    this.heap = heap;
    this.slots = heap.uint32(firstSlots);
    this.seed = seed;
  }

  clear(): void {
    const { slots, heap } = this;
    if (slots.length <= keptSlots) heap.kernel.clear(slots.byteOffset, slots.byteLength);
    else this.replace(firstSlots);
  }

  /** Takes in the rows of `spans` from `first` on. */
  add(
    spans: SpanTable,
    first: number,
    table: TraceIndexTable,
    { day, retention }: { day: number; retention: number },
  ): void {
    const most = table.rows + spans.rows - first;
    table.reserve(spans.rows - first);
    const { heap, seed } = this;
    if (most * 2 > this.slots.length) {
      this.replace(2 ** Math.ceil(Math.log2(most * 2)));
      heap.kernel.findTraces(table.at, this.slots.byteOffset, this.slots.length - 1, seed);
    }
    const { slots } = this;
    heap.kernel.indexTraces(
      spans.at,
      first,
      table.at,
      slots.byteOffset,
      slots.length - 1,
      seed,
      day,
      retention,
    );
  }

  private replace(count: number): void {
    const { byteOffset, byteLength } = this.slots;
    this.slots = this.heap.uint32(count);
    this.heap.release(byteOffset, byteLength);
  }
}
