/**
 * Keys that wait for a time: a heap in which stale entries are skipped, and one sleeper for the earliest of
 * all. A key waits once; the earlier time and the higher class win.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Priority } from "./queue.ts";

interface Delayed {
  readonly atMs: number;
  readonly priority: Priority;
}

export interface Delays {
  add(key: string, delayed: Delayed): void;
  /** Its class, where it was there. */
  remove(key: string): Priority | undefined;
  clear(): void;
  size(): number;
}

export function createDelays(clock: Clock, due: (key: string, priority: Priority) => void): Delays {
  const byKey = new Map<string, Delayed>();
  const heap: { atMs: number; key: string }[] = [];
  let timer: { atMs: number; cancel: AbortController } | undefined;

  const arm = (): void => {
    while (heap[0] !== undefined && byKey.get(heap[0].key)?.atMs !== heap[0].atMs) popHeap(heap);
    const next = heap[0];
    if (next === undefined || (timer !== undefined && timer.atMs <= next.atMs)) return;
    timer?.cancel.abort();
    const cancel = new AbortController();
    timer = { atMs: next.atMs, cancel };
    clock.sleep(Math.max(next.atMs - clock.monotonic(), 0), cancel.signal).then(fire, () => {
      // Cancelled: an earlier one took its place, or the queue is closed.
    });
  };
  const fire = (): void => {
    timer = undefined;
    const nowMs = clock.monotonic();
    for (let next = heap[0]; next !== undefined && next.atMs <= nowMs; next = heap[0]) {
      popHeap(heap);
      const entry = byKey.get(next.key);
      if (entry?.atMs !== next.atMs) continue;
      byKey.delete(next.key);
      due(next.key, entry.priority);
    }
    arm();
  };
  return {
    add(key, { atMs, priority }) {
      const there = byKey.get(key);
      const earlier = Math.min(there?.atMs ?? Infinity, atMs);
      byKey.set(key, {
        atMs: earlier,
        priority: there?.priority === "change" ? "change" : priority,
      });
      if (there?.atMs === earlier) return;
      pushHeap(heap, { atMs: earlier, key });
      arm();
    },
    remove(key) {
      const there = byKey.get(key);
      byKey.delete(key);
      return there?.priority;
    },
    clear() {
      timer?.cancel.abort();
      timer = undefined;
      byKey.clear();
      heap.length = 0;
    },
    size: () => byKey.size,
  };
}

function pushHeap<T extends { atMs: number }>(heap: T[], item: T): void {
  let at = heap.push(item) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up];
    if (parent === undefined || parent.atMs <= item.atMs) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = item;
}

function popHeap<T extends { atMs: number }>(heap: T[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    const isRight = right !== undefined && left !== undefined && right.atMs < left.atMs;
    const child = isRight ? right : left;
    if (child === undefined || last.atMs <= child.atMs) break;
    heap[at] = child;
    at = 2 * at + (isRight ? 2 : 1);
  }
  heap[at] = last;
}
