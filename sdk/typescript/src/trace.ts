/**
 * `trace`: a span around every call of a function, as a wrapper and as a decorator (TC39's, stage 3).
 * Plain functions, async functions, generators and async generators; `this` and arguments pass through.
 */
import { enclose } from "./enclose.ts";
import { LlmSpanImpl } from "./llm-span.ts";
import { applyOptions, kindOf, SpanImpl } from "./span.ts";
import type { LlmSpanOptions, SpanOptions } from "./span-types.ts";
import { owned, tokenCounter } from "./stream.ts";

export interface TraceOptions extends Omit<SpanOptions, "parent"> {
  /** Instead of the function's own name. */
  readonly name?: string | undefined;
}

type AnyFunction = (this: never, ...args: never[]) => unknown;
type Decorator = <F extends AnyFunction>(method: F, context?: { name: string | symbol }) => F;

/** `trace(fn)`, `trace("name", fn)`, `trace({ name, attributes })(fn)`, `@trace`, `@trace({ … })`. */
export function trace<F extends AnyFunction>(fn: F, context?: { name: string | symbol }): F;
export function trace<F extends AnyFunction>(name: string, fn: F): F;
export function trace(options: TraceOptions): Decorator;
export function trace(
  first: AnyFunction | string | TraceOptions,
  second?: AnyFunction | { name: string | symbol },
): unknown {
  if (isFunction(first)) {
    const method = typeof second === "object" ? second.name : undefined;
    return traced(first, {}, method);
  }
  if (typeof first === "string") {
    return isFunction(second) ? traced(second, { name: first }, undefined) : undefined;
  }
  const decorate = (fn: AnyFunction, context?: { name: string | symbol }): AnyFunction =>
    traced(fn, first, context?.name);
  return decorate;
}

function isFunction(value: unknown): value is AnyFunction {
  return typeof value === "function";
}

function traced(
  fn: AnyFunction,
  options: TraceOptions,
  method: string | symbol | undefined,
): AnyFunction {
  const name = options.name ?? (typeof method === "string" ? method : fn.name || "anonymous");
  const kind = kindOf(options.kind);
  const bare = options.attributes === undefined && options.links === undefined;
  const wrapper = function (this: unknown, ...args: unknown[]): unknown {
    const span = new SpanImpl(name, undefined, kind);
    if (!bare) applyOptions(span, options);
    // The wrapper has the wrapped function's type: what it was called with is what that takes.
    return enclose(span, () => Reflect.apply(fn as (...args: unknown[]) => unknown, this, args));
  };
  Object.defineProperty(wrapper, "name", { value: fn.name, configurable: true });
  Object.defineProperty(wrapper, "length", { value: fn.length, configurable: true });
  return wrapper;
}

export interface StreamOptions<T> extends LlmSpanOptions {
  /** Default `stream`. */
  readonly name?: string | undefined;
  /** Tokens of one item; default 1. */
  readonly count?: ((item: T) => number) | undefined;
}

/**
 * Wraps a model's stream: `for await (const token of stream(call(), { model: "llama-3" }))`. Its span
 * lasts as long as the stream and records one token per item, or `count(item)` of them.
 */
export function stream<T>(
  source: AsyncIterable<T>,
  options?: StreamOptions<T>,
): AsyncIterableIterator<T>;
export function stream<T>(source: Iterable<T>, options?: StreamOptions<T>): IterableIterator<T>;
export function stream<T>(
  source: AsyncIterable<T> | Iterable<T>,
  options: StreamOptions<T> = {},
): AsyncIterableIterator<T> | IterableIterator<T> {
  const span = new LlmSpanImpl(options.name ?? "stream", options.parent, kindOf(options.kind));
  applyOptions(span, options);
  if (options.model !== undefined) span.setModel(options.model);
  return owned(span, source, tokenCounter(span, options.count));
}
