/**
 * One log line per cause, on stderr. A tracing library that logs per request is worse than none; a
 * second line with the same cause says nothing new. Causes are few and fixed, so the set cannot grow.
 */
import { shared } from "./shared.ts";

/** Says `message` unless `cause` was said before in this process. Never throws. */
export function warnOnce(cause: string, message: string): void {
  if (shared.said.has(cause)) return;
  shared.said.add(cause);
  try {
    shared.log(`axonize: ${message}`);
  } catch {
    // The program's own logger threw, or stderr is closed: silence is right.
    return;
  }
}
