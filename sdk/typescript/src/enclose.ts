/**
 * Runs a function with a span current and ends the span with it: when it returns, when its promise
 * settles, or when the generator that it returned is over. What it throws goes on as it was.
 */
import { shared } from "./shared.ts";
import type { SpanImpl } from "./span.ts";
import { isGenerator, owned } from "./stream.ts";

export function enclose<S extends SpanImpl, T>(span: S, fn: (span: S) => T): T {
  let result: T;
  try {
    result = shared.context.run(span, fn, span);
  } catch (error) {
    span.fail(error);
    throw error;
  }
  if (typeof result !== "object" || result === null) {
    span.end();
    return result;
  }
  return settled(span, result);
}

function settled<T extends object>(span: SpanImpl, result: T): T {
  if ("then" in result && typeof result.then === "function") {
    // A promise of the program's: the same value or error comes out, after the span has ended.
    const promise = result as unknown as PromiseLike<unknown>;
    return promise.then(
      (value) => {
        span.end();
        return value;
      },
      (error: unknown) => {
        span.fail(error);
        throw error;
      },
    ) as unknown as T;
  }
  // A generator's body has not run yet: it will, under the span. The wrapper is one of the same kind.
  if (isGenerator(result)) return owned(span, result) as unknown as T;
  span.end();
  return result;
}
