/**
 * A span of one model call: counts tokens as they arrive, in constant memory, and derives TTFT, tokens
 * per second, inter-token times and the timeline when it ends.
 */
import { performance } from "node:perf_hooks";
import { bucketOf, BUCKETS, derived, tokenCount } from "./llm.ts";
import { Double } from "./ring.ts";
import { SpanImpl } from "./span.ts";
import type { LlmSpan } from "./span-types.ts";
import { counted } from "./stream.ts";
import { Timeline } from "./timeline.ts";

export class LlmSpanImpl extends SpanImpl implements LlmSpan {
  #inputTokens = -1;
  #outputTokens = -1;
  #recorded = 0;
  #firstMs = 0;
  #lastMs = 0;
  #buckets: Uint32Array | undefined = undefined;
  #timeline: Timeline | undefined = undefined;

  setModel(name: string, version?: string): this {
    this.setAttribute("gen_ai.request.model", name);
    this.setAttribute("ai.model.name", name);
    return this.setAttribute("ai.model.version", version);
  }

  setTokensInput(count: number): this {
    if (!this.ended) this.#inputTokens = tokenCount(count);
    return this;
  }

  setTokensOutput(count: number): this {
    if (!this.ended) this.#outputTokens = tokenCount(count);
    return this;
  }

  recordToken(n = 1): void {
    if (this.ended || !(n >= 1)) return;
    const now = performance.now();
    const count = n === 1 ? 1 : tokenCount(n);
    if (this.#recorded === 0) this.#firstMs = now;
    else {
      const buckets = (this.#buckets ??= new Uint32Array(BUCKETS));
      const index = bucketOf((now - this.#lastMs) / count);
      buckets[index] = (buckets[index] ?? 0) + count;
    }
    (this.#timeline ??= new Timeline()).add(now - this.#firstMs, count);
    this.#lastMs = now;
    this.#recorded += count;
  }

  stream<T>(source: AsyncIterable<T>, count?: (item: T) => number): AsyncIterableIterator<T>;
  stream<T>(source: Iterable<T>, count?: (item: T) => number): IterableIterator<T>;
  stream<T>(
    source: AsyncIterable<T> | Iterable<T>,
    count?: (item: T) => number,
  ): AsyncIterableIterator<T> | IterableIterator<T> {
    return counted(this, source, count);
  }

  protected override derive(endMs: number): void {
    const facts = {
      startMs: this.startMs,
      endMs,
      firstMs: this.#firstMs,
      lastMs: this.#lastMs,
      recorded: this.#recorded,
      inputTokens: this.#inputTokens,
      outputTokens: this.#outputTokens,
      buckets: this.#buckets,
    };
    for (const [key, value] of derived(facts)) {
      this.default(key, key.includes("token") && !key.endsWith("_ms") ? value : new Double(value));
    }
    if (this.#buckets !== undefined && this.#timeline !== undefined) {
      this.default("axonize.llm.timeline.tokens", this.#timeline.trimmed());
      this.default("axonize.llm.timeline.bin_ms", new Double(this.#timeline.binMs));
    }
  }
}
