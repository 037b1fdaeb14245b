/**
 * Work on the driver in steps of one call each: a generator that yields the name of the function it is
 * about to call. Whoever runs it may do something else first, knows what each call cost, and never has to
 * wait longer than one call. The text's work is done when the generator ends.
 */
import type { FunctionName } from "./functions.ts";

export type Work<T> = Generator<FunctionName, T, void>;

/** Runs all steps at once, for callers that have nothing else to do. */
export function finish<T>(work: Work<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
