/**
 * Iterators with a span: `stream()` and generators under `span()` and `trace()`. The span is current
 * only while the source computes its next item, never in the consumer between two items, and ends when
 * the source is exhausted, fails, is closed, or is dropped: who breaks off leaves no open span behind.
 */
import { shared } from "./shared.ts";
import type { LlmSpanImpl } from "./llm-span.ts";
import type { SpanImpl } from "./span.ts";

/** What to do with items, and whether the span ends with the stream. */
interface Plan<T> {
  readonly span: SpanImpl;
  readonly onItem: ((item: T) => void) | undefined;
  readonly owns: boolean;
  /** Called before an owned span ends. */
  readonly onEnd?: (() => void) | undefined;
}

/** Ends spans of iterators that nobody holds any more. */
const dropped = new FinalizationRegistry<SpanImpl>((span) => span.end());

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value;
}

/** Whether a function's result is a generator: its body has not run yet. */
export function isGenerator(value: unknown): value is AsyncGenerator | Generator {
  return (
    typeof value === "object" &&
    value !== null &&
    "next" in value &&
    typeof value.next === "function" &&
    (Symbol.asyncIterator in value || Symbol.iterator in value)
  );
}

/**
 * `source` with a span that lasts as long as it does. `onItem` is called for each item, `onEnd` before
 * the span ends; neither throws.
 */
export function owned<T>(
  span: SpanImpl,
  source: AsyncIterable<T> | Iterable<T>,
  onItem?: (item: T) => void,
  onEnd?: () => void,
): AsyncIterableIterator<T> | IterableIterator<T> {
  const iterator = wrap({ span, onItem, owns: true, onEnd }, source);
  dropped.register(iterator, span);
  return iterator;
}

/** `source` with each item recorded on `span`, which stays the caller's to end. */
export function counted<T>(
  span: LlmSpanImpl,
  source: AsyncIterable<T> | Iterable<T>,
  count: ((item: T) => number) | undefined,
): AsyncIterableIterator<T> | IterableIterator<T> {
  return wrap({ span, onItem: tokenCounter(span, count), owns: false }, source);
}

/** Records a token, or `count(item)` of them, per item. */
export function tokenCounter<T>(
  span: LlmSpanImpl,
  count: ((item: T) => number) | undefined,
): (item: T) => void {
  if (count === undefined) return () => span.recordToken();
  return (item) => {
    let tokens = 1;
    try {
      tokens = count(item);
    } catch {
      // The program's own counting failed; the stream must go on, and something did arrive.
      tokens = 1;
    }
    span.recordToken(tokens);
  };
}

function wrap<T>(
  plan: Plan<T>,
  source: AsyncIterable<T> | Iterable<T>,
): AsyncIterableIterator<T> | IterableIterator<T> {
  return Symbol.asyncIterator in source ? wrapAsync(plan, source) : wrapSync(plan, source);
}

function wrapSync<T>(plan: Plan<T>, source: Iterable<T>): IterableIterator<T> {
  const { span } = plan;
  let inner: Iterator<T> | undefined;
  const step = (run: (inner: Iterator<T>) => IteratorResult<T>): IteratorResult<T> => {
    try {
      const result = shared.context.run(span, () => run((inner ??= source[Symbol.iterator]())));
      settle(plan, result);
      return result;
    } catch (error) {
      fail(plan, error);
      throw error;
    }
  };
  return {
    next: (...args: [] | [undefined]) => step((from) => from.next(...args)),
    return: (value?: unknown) => step((from) => from.return?.(value) ?? { done: true, value }),
    throw: (error?: unknown) =>
      step((from) => {
        if (from.throw === undefined) throw error;
        return from.throw(error);
      }),
    [Symbol.iterator]() {
      return this;
    },
  };
}

function wrapAsync<T>(plan: Plan<T>, source: AsyncIterable<T>): AsyncIterableIterator<T> {
  const { span } = plan;
  let inner: AsyncIterator<T> | undefined;
  const step = async (
    run: (inner: AsyncIterator<T>) => Promise<IteratorResult<T>> | undefined,
    ended: IteratorResult<T>,
  ): Promise<IteratorResult<T>> => {
    try {
      const next = shared.context.run(span, () => run((inner ??= source[Symbol.asyncIterator]())));
      const result = next === undefined ? ended : await next;
      settle(plan, result);
      return result;
    } catch (error) {
      fail(plan, error);
      throw error;
    }
  };
  const over = (value: unknown): IteratorResult<T> => ({ done: true, value });
  return {
    next: async (...args: [] | [undefined]) =>
      await step((from) => from.next(...args), over(undefined)),
    return: async (value?: unknown) => await step((from) => from.return?.(value), over(value)),
    throw: async (error?: unknown) =>
      await step((from) => {
        if (from.throw === undefined) throw error;
        return from.throw(error);
      }, over(undefined)),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function settle<T>(plan: Plan<T>, result: IteratorResult<T>): void {
  if (result.done !== true) plan.onItem?.(result.value);
  else if (plan.owns) {
    plan.onEnd?.();
    plan.span.end();
  }
}

function fail<T>(plan: Plan<T>, error: unknown): void {
  if (!plan.owns) return;
  plan.onEnd?.();
  plan.span.fail(error);
}
