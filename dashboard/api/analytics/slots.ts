/**
 * Time in slots, and a bounded memory of what was computed for them.
 *
 * An overview of a day reads millions of spans; but of yesterday's nothing changes any more. Each
 * slot's groups are kept with the time they were read. A kept slot is used only if the store says
 * that no span which lies in it was received since (less a margin for spans under way), so a late
 * or re-sent span is in the next answer. What is kept never outlives the check: a cache that is
 * wrong is worse than a slow one.
 */

export interface Slot<T> {
  startMs: number;
  value: T;
}

interface Entry<T> {
  value: T;
  /** When reading it began, epoch ms. */
  readMs: number;
  weight: number;
}

/** A span is visible at most this long after it was stamped `received`; ingest gives up before. */
export const visibleWithinMs = 60_000;

export interface SlotCache<T> {
  /**
   * Values of all slots of the range, from memory where that is provably current.
   * `dirtySince` answers the slots that received spans at or after a time.
   */
  read(request: {
    key: string;
    slots: readonly number[];
    nowMs: number;
    dirtySince: (sinceMs: number) => Promise<ReadonlySet<number>>;
    compute: (slots: readonly number[]) => Promise<ReadonlyMap<number, T>>;
    /** A slot that the range cuts is computed each time. */
    isWhole: (slot: number) => boolean;
    empty: T;
    /** Bytes, roughly. */
    weigh: (value: T) => number;
  }): Promise<Slot<T>[]>;
  bytes(): number;
}

export function createSlotCache<T>(options: { maxBytes: number }): SlotCache<T> {
  // A Map keeps the order of insertion: the first entry is the one unused longest.
  const entries = new Map<string, Entry<T>>();
  let bytes = 0;
  const drop = (name: string): void => {
    bytes -= entries.get(name)?.weight ?? 0;
    entries.delete(name);
  };
  const keep = (name: string, entry: Entry<T>): void => {
    drop(name);
    entries.set(name, entry);
    bytes += entry.weight;
    for (const oldest of entries.keys()) {
      if (bytes <= options.maxBytes) break;
      drop(oldest);
    }
  };
  return {
    bytes: () => bytes,
    read: async (request) => {
      const name = (slot: number): string => `${request.key}/${slot}`;
      const known = new Map<number, Entry<T>>();
      for (const slot of request.slots) {
        const entry = request.isWhole(slot) ? entries.get(name(slot)) : undefined;
        if (entry) known.set(slot, entry);
      }
      if (known.size > 0) {
        const oldestMs = Math.min(...[...known.values()].map((entry) => entry.readMs));
        const dirty = await request.dirtySince(oldestMs - visibleWithinMs);
        for (const slot of dirty) known.delete(slot);
      }
      const missing = request.slots.filter((slot) => !known.has(slot));
      const computed = missing.length > 0 ? await request.compute(missing) : new Map<number, T>();
      for (const slot of request.slots) {
        const entry = known.get(slot);
        if (!request.isWhole(slot)) continue;
        // What was found clean now is as good as read now.
        const value = entry ? entry.value : (computed.get(slot) ?? request.empty);
        const weight = entry ? entry.weight : request.weigh(value) + 200;
        keep(name(slot), { value, weight, readMs: request.nowMs });
      }
      return request.slots.map((startMs) => ({
        startMs,
        value: known.get(startMs)?.value ?? computed.get(startMs) ?? request.empty,
      }));
    },
  };
}

const niceStepsMs = [
  1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
  1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000, 86_400_000,
];

/** The smallest round step with which the range has at most `buckets` of them. */
export function stepFor(range: { fromMs: number; toMs: number }, buckets: number): number {
  const exact = (range.toMs - range.fromMs) / buckets;
  const nice = niceStepsMs.find((step) => step >= exact);
  return nice ?? Math.ceil(exact / 86_400_000) * 86_400_000;
}

/** Starts of the steps that the range touches, aligned to the epoch. */
export function slotsOf(range: { fromMs: number; toMs: number }, stepMs: number): number[] {
  const slots: number[] = [];
  for (let at = Math.floor(range.fromMs / stepMs) * stepMs; at < range.toMs; at += stepMs) {
    slots.push(at);
  }
  return slots;
}

/** The newest slots that are adjacent, read with one query: at least one, at most `mostMs` long. */
export function lastRun(
  slots: readonly number[],
  options: { stepMs: number; mostMs: number },
): { fromMs: number; toMs: number; slots: number } {
  const { stepMs, mostMs } = options;
  const toMs = (slots.at(-1) ?? 0) + stepMs;
  let count = 1;
  while (count < slots.length) {
    const next = slots[slots.length - 1 - count];
    if (next !== toMs - (count + 1) * stepMs || toMs - next > mostMs) break;
    count += 1;
  }
  return { fromMs: toMs - count * stepMs, toMs, slots: count };
}
