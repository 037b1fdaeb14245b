/**
 * Runs one piece of work at a time, and gives up waiting after a limit. While a given-up piece still runs,
 * nothing new begins: what hangs costs one thread of the pool and no more.
 */
import type { Clock } from "@axonize/core/runtime/clock";

export interface Lane {
  /** undefined: it took too long, or was not begun because an earlier one still does. */
  run<T>(work: () => Promise<T>): Promise<T | undefined>;
  readonly stuckCount: number;
}

export function createLane(deps: { clock: Clock }, options: { limitMs: number }): Lane {
  let last: Promise<unknown> = Promise.resolve();
  let isStuck = false;
  let stuckCount = 0;

  const attempt = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    if (isStuck) {
      stuckCount += 1;
      return undefined;
    }
    const over = new AbortController();
    const running = work().finally(() => over.abort());
    const limit = deps.clock.sleep(options.limitMs, over.signal).then(
      () => "over" as const,
      () => "done" as const, // aborted: the work ended in time
    );
    if ((await Promise.race([limit, running.then(() => "done" as const)])) === "done") {
      return await running;
    }
    isStuck = true;
    stuckCount += 1;
    const free = (): void => {
      isStuck = false;
    };
    running.then(free, free);
    return undefined;
  };
  return {
    run(work) {
      const next = last.then(() => attempt(work));
      last = next.catch(() => undefined); // the caller hears of it; the next in line does not care
      return next;
    },
    get stuckCount() {
      return stuckCount;
    },
  };
}
