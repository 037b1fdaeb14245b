/**
 * A token bucket in which callers wait in order, and which can be closed for a while: the client's own
 * rate, and a server's `Retry-After`.
 */
import type { Clock } from "@axonize/core/runtime/clock";

export interface RateBucket {
  /** Resolves when it is the caller's turn; rejects with the signal's reason. */
  take(signal?: AbortSignal): Promise<void>;
  /** Nobody passes for this long. */
  pause(ms: number): void;
}

export function createRateBucket(
  { clock, onWait }: { clock: Clock; onWait?: (ms: number) => void },
  options: { perSecond: number; burst: number },
): RateBucket {
  const intervalMs = 1000 / options.perSecond;
  /** When the bucket would be full again, were nobody to take: each taking moves it on. */
  let fullAtMs = -Infinity;
  let closedUntilMs = -Infinity;
  return {
    async take(signal) {
      signal?.throwIfAborted();
      const nowMs = clock.monotonic();
      fullAtMs = Math.max(fullAtMs, nowMs) + intervalMs;
      let waitMs = Math.max(fullAtMs - options.burst * intervalMs, closedUntilMs) - nowMs;
      if (waitMs > 0) onWait?.(waitMs);
      while (waitMs > 0) {
        await clock.sleep(waitMs, signal);
        waitMs = closedUntilMs - clock.monotonic();
      }
    },
    pause(ms) {
      closedUntilMs = Math.max(closedUntilMs, clock.monotonic() + ms);
    },
  };
}
