/**
 * The work queue: keys, never objects. A key waits once however often it is asked for, is worked on by one
 * worker at a time, and is worked on again if it was asked for meanwhile.
 *
 * Two classes: what somebody changed goes before what is only looked at again. When a key is asked for
 * twice, the higher class and the earlier time win. One timer serves all delays.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { createDelays } from "./delays.ts";
import { resyncShare, retryBackoffMs } from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";
import { createMeter } from "./queue-meter.ts";

export type Priority = "change" | "resync";

export interface QueueItem {
  readonly key: string;
  readonly priority: Priority;
}

export interface RetryBounds {
  readonly mostMs?: number;
  /** What the server asked for. */
  readonly leastMs?: number;
}

export interface WorkQueue {
  add(key: string, options?: { readonly priority?: Priority; readonly afterMs?: number }): void;
  /** After a failure: 5 ms × 2ⁿ ± 10 %. */
  retry(item: QueueItem, bounds?: RetryBounds): void;
  /** The next failure of the key is its first again. */
  forget(key: string): void;
  /** The next key, which is the caller's until `done`. undefined: the queue is closed. */
  take(): Promise<QueueItem | undefined>;
  done(key: string): void;
  /** Hands out nothing any more; who waits gets undefined. */
  close(): void;
  /** Keys that wait for their turn, and for their time. */
  depth(): { readonly ready: number; readonly delayed: number; readonly processing: number };
  /** Moves the gauges that depend on now. */
  observe(): void;
}

export interface QueueDeps {
  readonly clock: Clock;
  /** 0–1. */
  readonly random: () => number;
  readonly metrics?: KubeMetrics;
}

export function createQueue(deps: QueueDeps, options: { name: string }): WorkQueue {
  const { clock } = deps;
  const meter = createMeter(deps, options.name);
  const ready = createReady();
  const delays = createDelays(clock, (key, priority) => enqueue(key, priority));
  /** Keys that are worked on, and what was asked of them meanwhile. */
  const processing = new Map<string, Priority | undefined>();
  const waiting: ((item: QueueItem | undefined) => void)[] = [];
  let isClosed = false;

  const hand = (): void => {
    while (waiting.length > 0) {
      const item = isClosed ? undefined : ready.take();
      if (item === undefined) break;
      processing.set(item.key, undefined);
      meter.started(item.key);
      waiting.shift()?.(item);
    }
    meter.depth(ready);
  };
  const enqueue = (key: string, priority: Priority): void => {
    if (isClosed) return;
    if (processing.has(key)) {
      if (processing.get(key) === undefined) meter.added();
      processing.set(key, higher(processing.get(key), priority));
      return;
    }
    if (ready.add(key, priority)) {
      meter.added();
      meter.queued(key);
    }
    hand();
  };
  const add: WorkQueue["add"] = (key, { priority = "change", afterMs = 0 } = {}) => {
    if (isClosed) return;
    if (afterMs > 0) {
      // Waiting already, it is done before its time.
      if (ready.has(key)) ready.add(key, priority);
      else delays.add(key, { atMs: clock.monotonic() + afterMs, priority });
      return;
    }
    enqueue(key, higher(delays.remove(key), priority));
  };
  return {
    add,
    ...createRetries(deps, (item, afterMs) => {
      meter.retried();
      add(item.key, { priority: item.priority, afterMs });
    }),
    take: async () => {
      if (isClosed) return undefined;
      return await new Promise((resolve) => {
        waiting.push(resolve);
        hand();
      });
    },
    done(key) {
      const asked = processing.get(key);
      processing.delete(key);
      meter.finished(key);
      if (asked !== undefined && ready.add(key, asked)) meter.queued(key);
      hand();
    },
    close() {
      isClosed = true;
      delays.clear();
      for (const resolve of waiting.splice(0)) resolve(undefined);
    },
    depth: () => ({ ready: ready.size(), delayed: delays.size(), processing: processing.size }),
    observe: () => meter.observe(),
  };
}

/** 5 ms × 2ⁿ ± 10 % by the key's failures in a row. */
function createRetries(
  { random }: QueueDeps,
  later: (item: QueueItem, afterMs: number) => void,
): Pick<WorkQueue, "retry" | "forget"> {
  const failures = new Map<string, number>();
  return {
    retry(item, { mostMs = retryBackoffMs.most, leastMs = 0 } = {}) {
      const count = failures.get(item.key) ?? 0;
      failures.set(item.key, count + 1);
      const backoffMs = Math.min(retryBackoffMs.least * 2 ** Math.min(count, 40), mostMs);
      later(item, Math.max(backoffMs * (0.9 + random() * 0.2), leastMs));
    },
    forget: (key) => void failures.delete(key),
  };
}

const higher = (a: Priority | undefined, b: Priority): Priority => (a === "change" ? a : b);

interface Ready {
  /** false: it waits already. */
  add(key: string, priority: Priority): boolean;
  has(key: string): boolean;
  take(): QueueItem | undefined;
  size(priority?: Priority): number;
}

/** Two lines; every few picks the second line goes first, so that it moves in a storm of changes, too. */
function createReady(): Ready {
  const lines = { change: new Set<string>(), resync: new Set<string>() };
  let picks = 0;
  const first = (line: Set<string>): string | undefined => line.values().next().value;
  return {
    add(key, priority) {
      if (lines.change.has(key)) return false;
      if (priority === "change") {
        const waited = lines.resync.delete(key);
        lines.change.add(key);
        return !waited;
      }
      if (lines.resync.has(key)) return false;
      lines.resync.add(key);
      return true;
    },
    has: (key) => lines.change.has(key) || lines.resync.has(key),
    take() {
      picks += 1;
      const order: Priority[] =
        picks % resyncShare === 0 ? ["resync", "change"] : ["change", "resync"];
      for (const priority of order) {
        const key = first(lines[priority]);
        if (key === undefined) continue;
        lines[priority].delete(key);
        return { key, priority };
      }
      return undefined;
    },
    size: (priority) =>
      priority === undefined ? lines.change.size + lines.resync.size : lines[priority].size,
  };
}
