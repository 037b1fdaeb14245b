/**
 * The sampling thread's plan: a short tick on its grid whatever else is going on, and between two of them
 * the long reads, one driver call at a time.
 *
 * A call that would probably reach into the next short tick waits until that is over, going by what the
 * function took before; so a driver that takes 20 ms a call delays no tick, and no other thread fights for
 * its lock. A call longer than the whole gap starts right after a short tick.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { FunctionName } from "../nvml/functions.ts";
import type { Work } from "../nvml/work.ts";
import type { Grid } from "./grid.ts";
import { turnMs } from "./limits.ts";
import type { Account, Meter } from "./meter.ts";
import type { CostSource } from "./protocol.ts";

/** A long read, done whenever its grid says so; one at a time, the first of the list first. */
export interface Job {
  readonly account: Account;
  readonly cost: CostSource;
  readonly grid: Grid;
  start(): Work<void>;
}

export interface Schedule {
  /** Does what is due, and answers for how long there is nothing to do; 0: come back at once. */
  turn(): number;
}

export interface ScheduleDeps {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly fast: Grid;
  /** The short tick. */
  readonly onFast: (tick: { readonly lateMs: number; readonly missed: number }) => void;
  readonly jobs: readonly Job[];
}

/** A long read under way, and the call that its next step makes. */
interface Running {
  readonly job: Job;
  readonly work: Work<void>;
  next: FunctionName;
}

/** Of a function's expected time, how much the newest call counts when it was quicker. */
const easing = 0.05;
/** Short ticks without a step between them, after which the next step goes, fit or not. */
const patience = 3;

export function createSchedule(deps: ScheduleDeps): Schedule {
  const { clock, meter, fast, jobs } = deps;
  const expectedMs = new Map<FunctionName, number>();
  let running: Running | undefined;
  let stepsSinceFast = 0;
  let ticksWithoutStep = 0;

  const tick = (nowMs: number): void => {
    meter.switchTo("fast");
    ticksWithoutStep = running !== undefined && stepsSinceFast === 0 ? ticksWithoutStep + 1 : 0;
    stepsSinceFast = 0;
    deps.onFast(fast.take(nowMs));
    meter.called("fast", "fast", clock.monotonic() - nowMs);
  };
  const begin = (nowMs: number): Running | undefined => {
    for (const job of jobs) {
      if (!job.grid.isDue(nowMs)) continue;
      job.grid.take(nowMs);
      meter.switchTo(job.account);
      const work = job.start();
      const first = work.next();
      if (first.done !== true) return { job, work, next: first.value };
    }
    return undefined;
  };
  const fits = (name: FunctionName, nowMs: number): boolean => {
    const expected = expectedMs.get(name) ?? 0;
    if (nowMs + expected <= fast.nextMs()) return true;
    if (stepsSinceFast > 0) return false;
    // Right after a tick: a call longer than any gap, or one that has waited for its gap in vain.
    return expected > fast.periodMs() * 0.8 || ticksWithoutStep >= patience;
  };
  const step = (now: Running, startMs: number): number => {
    meter.switchTo(now.job.account);
    const name = now.next;
    const result = now.work.next();
    const endMs = clock.monotonic();
    const ms = endMs - startMs;
    meter.called(name.startsWith("gpm") ? "gpm" : now.job.cost, now.job.account, ms);
    const expected = expectedMs.get(name) ?? 0;
    expectedMs.set(name, ms > expected ? ms : expected + (ms - expected) * easing);
    stepsSinceFast += 1;
    if (result.done === true) running = undefined;
    else now.next = result.value;
    return endMs;
  };

  return {
    turn() {
      let now = clock.monotonic();
      const until = now + turnMs;
      while (now < until) {
        if (fast.isDue(now)) {
          tick(now);
          now = clock.monotonic();
          continue;
        }
        running ??= begin(now);
        if (!running) break;
        if (!fits(running.next, now)) {
          meter.switchTo("other");
          return Math.max(0, fast.nextMs() - now);
        }
        now = step(running, now);
      }
      meter.switchTo("other");
      if (running) return 0;
      const next = Math.min(fast.nextMs(), ...jobs.map(({ grid }) => grid.nextMs()));
      return Math.max(0, next - clock.monotonic());
    },
  };
}
