/**
 * A clock whose hands a test turns. Sleeps resolve when `advance` passes them, in order of time.
 */
import type { Clock } from "@axonize/core/runtime/clock";

export interface FakeClock extends Clock {
  /** Moves both hands forward and lets every sleeper that is due continue. */
  advance(ms: number): Promise<void>;
  /** Moves the wall clock alone, as an NTP step does. */
  jump(ms: number): void;
}

export function createFakeClock(startMs = Date.UTC(2026, 0, 1)): FakeClock {
  let wall = startMs;
  let mono = 0;
  let sleepers: { at: number; wake: () => void }[] = [];
  return {
    now: () => wall,
    monotonic: () => mono,
    sleep: async (ms, signal) => {
      await new Promise<void>((resolve, reject) => {
        if (signal?.aborted) {
          reject(signal.reason as Error);
          return;
        }
        const sleeper = { at: mono + ms, wake: resolve };
        sleepers.push(sleeper);
        signal?.addEventListener("abort", () => {
          sleepers = sleepers.filter((other) => other !== sleeper);
          reject(signal.reason as Error);
        });
      });
    },
    advance: async (ms) => {
      const end = mono + ms;
      await turn();
      for (;;) {
        const next = sleepers.sort((a, b) => a.at - b.at)[0];
        if (!next || next.at > end) break;
        sleepers = sleepers.filter((other) => other !== next);
        wall += next.at - mono;
        mono = next.at;
        next.wake();
        await turn();
      }
      wall += end - mono;
      mono = end;
    },
    jump: (ms) => {
      wall += ms;
    },
  };
}

/** Lets everything that is already resolved run. */
async function turn(): Promise<void> {
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}
