/**
 * What programs see of spans, and two small readings of what programs give: devices and errors.
 */
/// <reference lib="esnext.disposable" />
import type { AttributeValue, Attributes, SpanContext, SpanKind, SpanStatus } from "./types.ts";
import { textOf } from "./values.ts";

/** One timed operation. Every method is safe in any state, never throws, and may be called after the end. */
export interface Span extends SpanContext {
  readonly name: string;
  /** Whether it will be sent: between its start and its end, after `init`. */
  readonly isRecording: boolean;
  /** Sets one attribute; a second value for a key replaces the first. */
  setAttribute(key: string, value: AttributeValue): this;
  setAttributes(attributes: Attributes): this;
  /** Names the devices that this span used, as `cuda:0` or 0: the process's own numbering. */
  setGpus(devices: string | number | readonly (string | number)[]): this;
  /** Sets the outcome. An error that leaves the span sets ERROR whatever was set. */
  setStatus(status: SpanStatus, description?: string): this;
  /** Adds an error as an `exception` event; does not change the status. */
  recordException(error: unknown): this;
  /** Adds a named moment with attributes. */
  addEvent(name: string, attributes?: Attributes): this;
  /** Names a span elsewhere that this one has to do with. */
  addLink(context: SpanContext, attributes?: Attributes): this;
  /** Ends it, now. Spans of `span(name, fn)` end by themselves. */
  end(): void;
  [Symbol.dispose](): void;
}

/** A span of one model call: counts tokens, and derives TTFT and tokens per second when it ends. */
export interface LlmSpan extends Span {
  /** Names the model, and its version where there is one. */
  setModel(name: string, version?: string): this;
  /** Tokens of the prompt, cached ones included. */
  setTokensInput(count: number): this;
  /** Output tokens as the engine counted them; overrides what `recordToken` counted. */
  setTokensOutput(count: number): this;
  /** Notes that `n` output tokens arrived now. The first call sets the time to first token. */
  recordToken(n?: number): void;
  /** Passes a stream through and records a token, or `count(item)` of them, per item. Does not end the span. */
  stream<T>(source: AsyncIterable<T>, count?: (item: T) => number): AsyncIterableIterator<T>;
  stream<T>(source: Iterable<T>, count?: (item: T) => number): IterableIterator<T>;
}

export interface SpanOptions {
  /** Instead of the current span: a span, what `extract` returned, or `"none"` for a new trace. */
  readonly parent?: SpanContext | "none" | undefined;
  /** Default INTERNAL. */
  readonly kind?: SpanKind | undefined;
  readonly attributes?: Attributes | undefined;
  readonly links?: readonly SpanContext[] | undefined;
}

export interface LlmSpanOptions extends SpanOptions {
  /** Name of the model; `setModel` can say it later. */
  readonly model?: string | undefined;
}

/** Ordinal of `cuda:3`, "3" or 3; -1 for anything else. */
export function ordinalOf(device: unknown): number {
  if (typeof device === "number") return Number.isInteger(device) ? device : -1;
  if (device === "cuda") return 0;
  const digits = /^(?:cuda:)?(\d{1,3})$/.exec(typeof device === "string" ? device : "");
  return digits === null ? -1 : Number(digits[1]);
}

const STACK_CHARS_MAX = 8192;

/** Type, message and stack of whatever was thrown. An abort is a wish of the program's, not an error. */
export function describeError(error: unknown): {
  type: string;
  message: string;
  stack: string;
  isAbort: boolean;
} {
  try {
    if (
      error instanceof Error ||
      (typeof error === "object" && error !== null && "message" in error)
    ) {
      const { name, message, stack, constructor } = error as Error;
      const known = typeof name === "string" && name !== "" && name !== "Error";
      const type = known ? name : (constructor?.name ?? "Error");
      return {
        type,
        message: textOf(message),
        stack: typeof stack === "string" ? stack.slice(0, STACK_CHARS_MAX) : "",
        isAbort: type === "AbortError",
      };
    }
  } catch {
    // A getter of a foreign error threw: its text will do.
  }
  return { type: typeof error, message: textOf(error), stack: "", isAbort: false };
}
