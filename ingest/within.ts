/**
 * Waiting for something no longer than a given time; what takes longer goes on unobserved.
 */
import type { Clock } from "@axonize/core/runtime/clock";

/** Resolves when `work` does or after `ms`; rejects only if `work` does so in time. */
export async function withinMs(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const abort = new AbortController();
  const late = clock.sleep(ms, abort.signal).catch(() => undefined); // `work` ended first
  try {
    await Promise.race([work, late]);
  } finally {
    abort.abort();
  }
}
