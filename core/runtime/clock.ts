/**
 * Time as a dependency. Everything that waits or stamps takes a Clock, so tests turn the hands.
 */
import { setTimeout as sleepMs } from "node:timers/promises";

export interface Clock {
  /** Wall clock, epoch milliseconds. May jump. */
  now(): number;
  /** Monotonic milliseconds, for durations. */
  monotonic(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleepMs(ms, undefined, signal ? { signal } : {});
  },
};

/**
 * Runs `task` every `ms` until the signal aborts; runs never overlap. A task that throws goes to
 * `onError` and the next run still happens. Resolves once the signal has aborted and no run is left.
 */
export async function every(
  options: { clock: Clock; ms: number; signal: AbortSignal; onError: (error: unknown) => void },
  task: () => Promise<void> | void,
): Promise<void> {
  const { clock, ms, signal, onError } = options;
  while (!signal.aborted) {
    try {
      await clock.sleep(ms, signal);
    } catch {
      return; // aborted: the only way sleep rejects
    }
    try {
      await task();
    } catch (error) {
      onError(error);
    }
  }
}
