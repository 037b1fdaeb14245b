/** Polling with a deadline; what was seen last is in the failure. */
import { setTimeout as sleep } from "node:timers/promises";

/** The machine may be loaded; nothing here is a measurement. */
export const patienceMs = 120_000;
const pauseMs = 250;

/** Calls `probe` until it gives something other than undefined; a throw is one more reason to wait. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  withinMs = patienceMs,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown = "nothing yet";
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined) return found;
    } catch (error) {
      last = error; // Told if it stays so.
    }
    if (performance.now() > deadline) {
      throw new Error(`${what}: not within ${withinMs / 1000} s; ${String(last)}`, { cause: last });
    }
    await sleep(pauseMs);
  }
}
