/**
 * What a model call derives when it ends: TTFT, tokens per second, inter-token percentiles. The same
 * arithmetic as the Python SDK's: a histogram with four buckets per octave of microseconds, so that a
 * stream of any length costs the same memory (error at most 12.5 %).
 */

/** Enough for 67 s between two tokens; longer gaps count in the last bucket. */
export const BUCKETS = 104;

/** Bucket of a gap between two tokens, in ms. */
export function bucketOf(gapMs: number): number {
  // Units of 1024 ns, as Python has them: a shift there.
  const units = gapMs > 0 ? Math.floor((gapMs * 1e6) / 1024) : 0;
  if (units < 4) return units;
  if (units >= 0x8000_0000) return BUCKETS - 1;
  const octave = 31 - Math.clz32(units);
  const index = 4 * (octave - 1) + ((units >>> (octave - 2)) & 3);
  return index < BUCKETS ? index : BUCKETS - 1;
}

/** Middle of a bucket in ms. */
export function bucketMiddleMs(index: number): number {
  if (index < 4) return ((index + 0.5) * 1024) / 1e6;
  const octave = Math.floor(index / 4) + 1;
  const width = 2 ** (octave - 2);
  return (((4 + (index % 4)) * width + width / 2) * 1024) / 1e6;
}

/** The given share (0 to 1) of the gaps is at most this long, in ms. */
export function percentileMs(buckets: Uint32Array, share: number): number {
  let left = share * buckets.reduce((sum, count) => sum + count, 0);
  let found = 0;
  for (const [index, count] of buckets.entries()) {
    if (count === 0) continue;
    found = index;
    left -= count;
    if (left <= 0) break;
  }
  return bucketMiddleMs(found);
}

/** What a call measured; times in ms of one clock, -1 for counts that were not given. */
export interface CallFacts {
  readonly startMs: number;
  readonly endMs: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly recorded: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly buckets: Uint32Array | undefined;
}

/** Attributes of a finished call. */
export function derived(call: CallFacts): [key: string, value: number][] {
  const { startMs, endMs, firstMs, lastMs, recorded, inputTokens, outputTokens } = call;
  const out: [string, number][] = [];
  if (inputTokens >= 0) {
    out.push(["gen_ai.usage.input_tokens", inputTokens], ["ai.llm.tokens.input", inputTokens]);
  }
  const output = outputTokens >= 0 ? outputTokens : recorded;
  if (outputTokens >= 0 || recorded > 0) {
    out.push(["gen_ai.usage.output_tokens", output], ["ai.llm.tokens.output", output]);
  }
  if (recorded > 0) {
    const ttftMs = firstMs - startMs;
    out.push(["gen_ai.response.time_to_first_chunk", ttftMs / 1000], ["ai.llm.ttft_ms", ttftMs]);
    out.push(["axonize.llm.last_token_ms", lastMs - startMs]);
  }
  // Tokens after the first over the time they took; where only a count is known, over the call.
  if (recorded > 1 && lastMs > firstMs && output > 1) {
    out.push(["ai.llm.tokens_per_second", ((output - 1) * 1000) / (lastMs - firstMs)]);
  } else if (output > 0 && endMs > startMs) {
    out.push(["ai.llm.tokens_per_second", (output * 1000) / (endMs - startMs)]);
  }
  if (call.buckets !== undefined) {
    out.push(["axonize.llm.itl_p50_ms", percentileMs(call.buckets, 0.5)]);
    out.push(["axonize.llm.itl_p99_ms", percentileMs(call.buckets, 0.99)]);
  }
  return out;
}

/** A token count as given by the program: negative, fractional or odd values mean unknown (-1). */
export function tokenCount(value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number !== "number" || !(number >= 0)) return -1;
  const whole = Math.floor(number);
  return Number.isSafeInteger(whole) ? whole : -1;
}
