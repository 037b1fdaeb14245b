/**
 * The plan of a periodic tick: multiples of the period from one origin on the monotonic clock. A late tick
 * does not shift those after it, and ticks that were missed are counted and left out, never made up for
 * in a bunch.
 */
import { timerSlackMs } from "./limits.ts";

export interface Grid {
  readonly nextMs: () => number;
  readonly periodMs: () => number;
  isDue(nowMs: number): boolean;
  /** The tick that is due starts now: how late, and how many before it were missed. */
  take(nowMs: number): { readonly lateMs: number; readonly missed: number };
  /** Counts from the last planned tick, so that a change makes no extra tick. */
  setPeriod(periodMs: number): void;
  /** Makes the next tick due at `nowMs`; the plan goes on from there. */
  bring(nowMs: number): void;
}

export function createGrid(firstMs: number, firstPeriodMs: number): Grid {
  let period = firstPeriodMs;
  let last = firstMs - firstPeriodMs;
  let next = firstMs;
  return {
    nextMs: () => next,
    periodMs: () => period,
    isDue: (nowMs) => nowMs >= next - timerSlackMs,
    take(nowMs) {
      // The newest planned tick that has come; those between it and `next` were missed.
      const missed = Math.max(0, Math.floor((nowMs - next) / period));
      last = next + missed * period;
      next = last + period;
      return { lateMs: Math.max(0, nowMs - last), missed };
    },
    setPeriod(periodMs) {
      period = periodMs;
      next = last + periodMs;
    },
    bring(nowMs) {
      if (next <= nowMs) return;
      next = nowMs;
    },
  };
}
