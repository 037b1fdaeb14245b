/**
 * How many tokens arrived when, in at most 64 bins from the first token on, so that a stream of any
 * length costs the same. The same as the Python SDK's; sdk/python/docs/attributes.md is the format.
 */

export const TIMELINE_BINS = 64;
/** 2^20 ns: 64 bins hold 67 ms, two minutes take eleven doublings. */
const FIRST_BIN_MS = 2 ** 20 / 1e6;

export class Timeline {
  readonly #bins = new Uint32Array(TIMELINE_BINS);
  binMs = FIRST_BIN_MS;

  /** Counts `n` tokens that arrived so long after the first one. */
  add(sinceMs: number, n: number): void {
    let at = Math.floor(sinceMs / this.binMs);
    while (at >= TIMELINE_BINS) {
      this.#widen();
      at = Math.floor(at / 2);
    }
    this.#bins[at] = (this.#bins[at] ?? 0) + n;
  }

  #widen(): void {
    const bins = this.#bins;
    for (let i = 0; i < TIMELINE_BINS / 2; i++) {
      bins[i] = (bins[2 * i] ?? 0) + (bins[2 * i + 1] ?? 0);
    }
    bins.fill(0, TIMELINE_BINS / 2);
    this.binMs *= 2;
  }

  /** The bins up to the last one that holds a token. */
  trimmed(): number[] {
    const last = this.#bins.findLastIndex((tokens) => tokens > 0);
    return [...this.#bins.subarray(0, last + 1)];
  }
}
