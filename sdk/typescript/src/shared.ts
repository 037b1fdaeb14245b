/**
 * State of the SDK in one thread of the program, kept on `globalThis`: an application that loads the
 * package both as a module and by `require` (or two copies of it) must have one current span, one ring
 * and one exporter. The key carries the layout's version, so that unlike copies do not meet.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { RingWriter } from "./ring.ts";
import type { Session } from "./session.ts";
import type { SpanContext } from "./types.ts";
import type { SpanImpl } from "./span.ts";

/** What can be current: a span of this process or, below `withContext`, one of another. */
export type Parent = SpanImpl | SpanContext;

export interface Shared {
  readonly context: AsyncLocalStorage<Parent | undefined>;
  /** Where finished spans go; undefined while nothing is recorded. */
  ring: RingWriter | undefined;
  session: Session | undefined;
  /** Sessions that still send what they have. */
  readonly ending: Set<Session>;
  /** Whether handlers of the process are installed. */
  hooked: boolean;
  /** What the end of the process may wait. */
  exitTimeoutMs: number;
  /** Spans that sessions before this one lost. */
  lostBefore: number;
  truncated: number;
  readonly said: Set<string>;
  log: (line: string) => void;
  /** The OTel bridge's: a parent where none of ours is current. */
  foreignParent: (() => SpanContext | undefined) | undefined;
}

const key = Symbol.for("@axonize/sdk/1");

export const shared: Shared = find();

function find(): Shared {
  // The symbol is ours and versioned: what lies there is a Shared of this layout.
  const global = globalThis as { [key]?: Shared };
  global[key] ??= {
    context: new AsyncLocalStorage(),
    ring: undefined,
    session: undefined,
    ending: new Set(),
    hooked: false,
    exitTimeoutMs: 0,
    lostBefore: 0,
    truncated: 0,
    said: new Set(),
    log: (line) => process.stderr.write(`${line}\n`),
    foreignParent: undefined,
  };
  return global[key];
}
