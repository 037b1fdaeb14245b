/**
 * Intervals under keys, each valid from one moment until another: what was true at t stays answerable.
 *
 * At most one interval of a key is open; times only grow, so the intervals of a key are sorted and never
 * overlap. Closed intervals are kept until they are pruned; nothing is ever rewritten.
 */

import { isDeepStrictEqual } from "node:util";

export interface Interval<T> {
  readonly key: string;
  readonly value: T;
  readonly validFromMs: number;
  /** undefined: still open. Not part of the interval. */
  readonly validToMs: number | undefined;
  readonly endReason: string | undefined;
}

export interface Timeline<T> {
  /** Opens an interval; the key has none open. */
  open(key: string, value: T, atMs: number): Interval<T>;
  /** Closes the key's open interval, if it has one. */
  close(key: string, atMs: number, reason: string): Interval<T> | undefined;
  openOf(key: string): Interval<T> | undefined;
  /** Replaces what the open interval says without beginning a new life, e.g. a uid learned later. */
  amend(key: string, value: T): void;
  /** What was true at t. */
  at(key: string, atMs: number): Interval<T> | undefined;
  /** Every key's open interval; a copy, so the caller may close as it goes. */
  allOpen(): Interval<T>[];
  /** Every interval that was true at t, whatever its key. */
  allAt(atMs: number): Interval<T>[];
  /** Takes an open interval over from an earlier run. */
  restore(interval: Interval<T>): void;
  /** Forgets what ended before. Answers how many. */
  prune(beforeMs: number): number;
  readonly size: number;
}

type Mutable<T> = { -readonly [K in keyof Interval<T>]: Interval<T>[K] };

/**
 * `onChange` hears every interval that was opened, amended or closed, at once and in order; an amendment
 * that says nothing new is none. A restored interval is no change.
 */
export function createTimeline<T>(
  onChange: (interval: Interval<T>) => void = () => undefined,
): Timeline<T> {
  const open = new Map<string, Mutable<T>>();
  const all = new Map<string, Mutable<T>[]>();
  let size = 0;

  const add = (interval: Mutable<T>): Interval<T> => {
    const list = all.get(interval.key);
    if (list) list.push(interval);
    else all.set(interval.key, [interval]);
    open.set(interval.key, interval);
    size += 1;
    return interval;
  };

  return {
    open(key, value, atMs) {
      if (open.has(key)) throw new Error(`assertion failed: ${key} is open already`);
      const added = add({
        key,
        value,
        validFromMs: atMs,
        validToMs: undefined,
        endReason: undefined,
      });
      onChange(added);
      return added;
    },
    close(key, atMs, reason) {
      const interval = open.get(key);
      if (!interval) return undefined;
      interval.validToMs = atMs;
      interval.endReason = reason;
      open.delete(key);
      onChange(interval);
      return interval;
    },
    openOf: (key) => open.get(key),
    amend(key, value) {
      const interval = open.get(key);
      if (!interval || isDeepStrictEqual(interval.value, value)) return;
      interval.value = value;
      onChange(interval);
    },
    at: (key, atMs) => find(all.get(key) ?? [], atMs),
    allOpen: () => [...open.values()],
    allAt: (atMs) => [...all.values()].flatMap((list) => find(list, atMs) ?? []),
    restore: (interval) => void add({ ...interval }),
    prune(beforeMs) {
      const before = size;
      for (const [key, list] of all) {
        const kept = list.filter(
          ({ validToMs }) => validToMs === undefined || validToMs > beforeMs,
        );
        size -= list.length - kept.length;
        if (kept.length === 0) all.delete(key);
        else if (kept.length < list.length) all.set(key, kept);
      }
      return before - size;
    },
    get size() {
      return size;
    },
  };
}

/** The last interval that began at or before t, if it had not ended; binary search. */
function find<T>(list: readonly Mutable<T>[], atMs: number): Mutable<T> | undefined {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.validFromMs ?? Infinity) <= atMs) low = middle + 1;
    else high = middle;
  }
  const found = list[low - 1];
  if (found === undefined) return undefined;
  return found.validToMs === undefined || atMs < found.validToMs ? found : undefined;
}
