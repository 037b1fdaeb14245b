/**
 * Epoch nanoseconds of a monotonic time, in two 32-bit halves: a double cannot hold them. The offset
 * between the clocks is kept while it is right within 5 ms, so that spans made in one millisecond keep
 * their order, and taken anew when the wall clock jumped or the machine slept.
 */

const TOLERANCE_MS = 5;
const TWO_32 = 0x1_0000_0000;

export interface EpochClock {
  /** Looks at both clocks; call it now and then. */
  refresh(): void;
  /** Halves of the epoch nanoseconds of a monotonic time in ms. */
  nanos(monotonicMs: number): readonly [high: number, low: number];
}

/** `offsetMs` is epoch minus monotonic, as exactly as it is known. */
export function createEpochClock(
  offsetMs: number,
  monotonicNow: () => number,
  epochNow: () => number,
): EpochClock {
  let offset = offsetMs;
  let wholeHigh = 0;
  let wholeLow = 0;
  let fraction = 0;
  const adopt = (next: number): void => {
    offset = next;
    const whole = Math.floor(next);
    fraction = next - whole;
    [wholeHigh, wholeLow] = halves(BigInt(whole) * 1_000_000n);
  };
  adopt(offset);
  return {
    refresh() {
      const seen = epochNow() - monotonicNow();
      if (Math.abs(seen - offset) > TOLERANCE_MS) adopt(seen);
    },
    nanos(monotonicMs) {
      const rest = Math.max(0, Math.round((monotonicMs + fraction) * 1e6));
      const low = wholeLow + (rest % TWO_32);
      const carry = low >= TWO_32 ? 1 : 0;
      return [wholeHigh + Math.floor(rest / TWO_32) + carry, low - carry * TWO_32];
    },
  };
}

/** Halves of epoch milliseconds as nanoseconds; exact to a quarter of a microsecond. */
export function nanosOfEpochMs(epochMs: number): [high: number, low: number] {
  const whole = Math.floor(epochMs);
  return halves(BigInt(whole) * 1_000_000n + BigInt(Math.round((epochMs - whole) * 1e6)));
}

function halves(nanos: bigint): [high: number, low: number] {
  return [Number((nanos >> 32n) & 0xffff_ffffn), Number(nanos & 0xffff_ffffn)];
}
