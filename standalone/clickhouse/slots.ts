/**
 * A bounded number of places at work and of places to wait: what comes beyond both is turned away.
 * First come, first served.
 */
export interface Slots {
  /** Runs `task` when a place is free. Throws `SlotsFull` if the waiting room is full. */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  active(): number;
  waiting(): number;
}

export class SlotsFull extends Error {}

export function createSlots(options: { places: number; waiting: number }): Slots {
  let free = options.places;
  const queue = new Set<() => void>();
  const enter = async (signal: AbortSignal | undefined): Promise<void> => {
    signal?.throwIfAborted();
    if (free > 0) {
      free -= 1;
      return;
    }
    if (queue.size >= options.waiting) throw new SlotsFull("too many requests wait");
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        queue.delete(go);
        reject(signal?.reason instanceof Error ? signal.reason : new Error("aborted"));
      };
      const go = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      queue.add(go);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  };
  /** Hands the place to the first who waits, else frees it. */
  const leave = (): void => {
    const [next] = queue;
    if (next === undefined) {
      free += 1;
      return;
    }
    queue.delete(next);
    next();
  };
  return {
    run: async (task, signal) => {
      await enter(signal);
      try {
        return await task();
      } finally {
        leave();
      }
    },
    active: () => options.places - free,
    waiting: () => queue.size,
  };
}
