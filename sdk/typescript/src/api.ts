/**
 * What programs call. Each function is small and none throws: what goes wrong costs spans and one log
 * line, never the program.
 */
import { enclose } from "./enclose.ts";
import type { InitOptions } from "./config.ts";
import { warnOnce } from "./log.ts";
import { flushSession, sessionStats, startSession, stopSession, type Stats } from "./process.ts";
import { shared } from "./shared.ts";
import { LlmSpanImpl } from "./llm-span.ts";
import { applyOptions, isSpan, kindOf, SpanImpl } from "./span.ts";
import {
  describeError,
  type LlmSpan,
  type LlmSpanOptions,
  type Span,
  type SpanOptions,
} from "./span-types.ts";
import type { SpanContext } from "./types.ts";

/**
 * Starts recording. Every option that is left out comes from its AXONIZE_* variable. No thread exists
 * before the first finished span. Called again, it starts anew with the other configuration.
 */
export function init(options: InitOptions = {}): void {
  try {
    startSession(options);
  } catch (error) {
    // A wrong argument must not stop the program that it was to observe.
    const { type, message } = describeError(error);
    warnOnce("init", `not recording: ${type}: ${message}`);
  }
}

/**
 * Runs `fn` in a span, which is current for all that it calls and awaits, and ends when it returns,
 * when its promise settles, or when the generator that it returned is over. What it throws is recorded,
 * makes the span an error, and goes on.
 */
export function span<T>(name: string, fn: (span: Span) => T): T;
export function span<T>(name: string, options: SpanOptions, fn: (span: Span) => T): T;
export function span<T>(
  name: string,
  second: SpanOptions | ((span: Span) => T),
  third?: (span: Span) => T,
): T {
  if (typeof second === "function") return enclose(new SpanImpl(name, undefined, 1), second);
  // The overloads say so; anything else fails as any call of undefined does.
  return enclose(startWith(name, second, SpanImpl), third as (span: Span) => T);
}

/** `span` for one model call: counts tokens, derives TTFT, tokens per second and inter-token times. */
export function llmSpan<T>(name: string, fn: (span: LlmSpan) => T): T;
export function llmSpan<T>(name: string, options: LlmSpanOptions, fn: (span: LlmSpan) => T): T;
export function llmSpan<T>(
  name: string,
  second: LlmSpanOptions | ((span: LlmSpan) => T),
  third?: (span: LlmSpan) => T,
): T {
  if (typeof second === "function") return enclose(new LlmSpanImpl(name, undefined, 1), second);
  // As above.
  return enclose(startModel(name, second), third as (span: LlmSpan) => T);
}

/** A span that the caller ends (`using s = startSpan("x")`, or `s.end()`); it does not become current. */
export function startSpan(name: string, options: SpanOptions = {}): Span {
  return startWith(name, options, SpanImpl);
}

/** A span of a model call that the caller ends; it does not become current. */
export function startLlmSpan(name: string, options: LlmSpanOptions = {}): LlmSpan {
  return startModel(name, options);
}

/** Runs `fn` with `parent` current: a span that `startSpan` made, or what `extract` returned. */
export function withParent<T>(parent: Span | SpanContext | undefined, fn: () => T): T {
  return shared.context.run(parent, fn);
}

/** The span that is current here. */
export function current(): Span | undefined {
  const store = shared.context.getStore();
  return isSpan(store) ? store : undefined;
}

/**
 * Sends every finished span; waits at most `timeoutMs`. True if the server took them all. Keeps the
 * process alive meanwhile.
 */
export async function flush(timeoutMs = 2000): Promise<boolean> {
  return await flushSession(timeoutMs);
}

/** Flushes and stops recording. Runs by itself when the program ends. */
export async function shutdown(timeoutMs = 2000): Promise<boolean> {
  return await stopSession(timeoutMs);
}

/** Counters of this process. */
export function stats(): Stats {
  return sessionStats();
}

function startModel(name: string, options: LlmSpanOptions): LlmSpanImpl {
  const made = startWith(name, options, LlmSpanImpl);
  if (options.model !== undefined) made.setModel(options.model);
  return made;
}

function startWith<S extends SpanImpl>(
  name: string,
  options: SpanOptions,
  Kind: new (name: string, parent: SpanImpl | SpanContext | "none" | undefined, kind: number) => S,
): S {
  const made = new Kind(name, options.parent, kindOf(options.kind));
  applyOptions(made, options);
  return made;
}
