/**
 * Which hour, day and quarter of an hour a span starts in, exact to the nanosecond, without BigInt:
 * a partition must hold what its name says, and doubles round 2^60 ns by 128 ns.
 *
 * An hour is 3.6e12 ns = 2^13 × an odd number, so the start of every hour until 2262 is a double
 * without loss, and differences to it are small.
 */
const hourNs = 3.6e12;

/**
 * The whole milliseconds of a time in nanoseconds, exactly. As one double the nanoseconds are 256 apart, and
 * the start of a millisecond may come out as the end of the one before: a span would be looked for, or its
 * device asked, a millisecond too early. 2^32 = 4294 × 10^6 + 967,296, and no product here reaches 2^53.
 */
export const msOf = (lo: number, hi: number): number =>
  hi * 4294 + Math.floor((hi * 967_296 + lo) / 1e6);

export class StartClock {
  hour = 0;
  day = 0;
  /** Epoch hours seen since `begin`. */
  touched: Set<number> = new Set();
  private offsetNs = 0;
  private baseLo = 0;
  private baseHi = 0;
  private noted = -1;

  begin(): void {
    this.touched = new Set();
    this.noted = -1;
  }

  set(lo: number, hi: number): void {
    let offset = this.offsetOf(lo, hi);
    if (!(offset >= 0 && offset < hourNs)) {
      this.move(Math.floor((hi * 2 ** 32 + lo) / hourNs));
      offset = this.offsetOf(lo, hi);
      if (offset < 0) this.move(this.hour - 1);
      else if (offset >= hourNs) this.move(this.hour + 1);
      offset = this.offsetOf(lo, hi);
    }
    this.offsetNs = offset;
    if (this.noted === this.hour) return;
    this.noted = this.hour;
    this.touched.add(this.hour);
  }

  /** Adds hours of a day, each a bit. */
  touch(day: number, hours: number): void {
    for (let rest = hours, hour = day * 24; rest !== 0; rest >>>= 1, hour += 1) {
      if ((rest & 1) !== 0) this.touched.add(hour);
    }
  }

  /** Epoch seconds of the bucket's beginning; buckets divide an hour. */
  bucket(seconds: number): number {
    return this.hour * 3600 + Math.floor(this.offsetNs / (seconds * 1e9)) * seconds;
  }

  private move(hour: number): void {
    const base = hour * hourNs;
    this.hour = hour;
    this.day = Math.floor(hour / 24);
    this.baseHi = Math.floor(base / 2 ** 32);
    this.baseLo = base % 2 ** 32;
  }

  private offsetOf(lo: number, hi: number): number {
    return (hi - this.baseHi) * 2 ** 32 + (lo - this.baseLo);
  }
}
