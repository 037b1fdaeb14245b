/**
 * Which part of a tenant's traces is kept while it sends more than its limit, for `onExceeded: Sample`.
 *
 * A controller, turned at most twice a second: of what is offered, keep what the rate allows, plus a
 * tenth of the credit (or minus a tenth of the debt) a second. The part changes only where it is wrong by
 * more than a tenth, because a trace that goes on over a change may be kept in part. Pure: time is given.
 */
import * as limits from "../limits.ts";

export class SampleRate {
  /** Of the traces, 0 … 1. */
  part = 1;
  /** Unused room; negative: so much was kept beyond it. */
  private credit: number;
  private at: number;
  private seen = 0;
  private offeredPerSecond = 0;

  constructor(burst: number, nowMs: number) {
    this.credit = burst;
    this.at = nowMs;
  }

  /** What came, and how much of it was kept. */
  saw(offered: number, kept: number): void {
    this.seen += offered;
    this.credit -= kept;
  }

  /** `perSecond`: the limit; `burst`: most credit. Answers the part to keep. */
  turn(nowMs: number, perSecond: number, burst: number): number {
    const elapsedMs = nowMs - this.at;
    // The first debt is answered at once: ten times the limit would be kept whole for half a second.
    if (elapsedMs < (this.credit < 0 && this.part === 1 ? 50 : limits.sampleTurnMs))
      return this.part;
    const seconds = elapsedMs / 1000;
    const rate = this.seen / seconds;
    const weight = this.offeredPerSecond === 0 ? 1 : Math.min(1, elapsedMs / limits.sampleMemoryMs);
    this.offeredPerSecond += (rate - this.offeredPerSecond) * weight;
    this.credit = Math.min(burst, this.credit + seconds * perSecond);
    this.seen = 0;
    this.at = nowMs;
    const room = Math.max(0, perSecond + this.credit / limits.sampleDebtSeconds);
    const part = this.offeredPerSecond <= room ? 1 : room / this.offeredPerSecond;
    const bounded = Math.max(limits.samplePartLeast, part);
    if (bounded === 1 || bounded < this.part * 0.9 || bounded > this.part * 1.1)
      this.part = bounded;
    return this.part;
  }
}

/**
 * The part that the day's bytes allow: all until nine tenths are used, then what is left spread over what
 * is left of the day. `bytesPerSecond`: as it comes.
 */
export function partOfDay(day: {
  usedBytes: number;
  limitBytes: number;
  bytesPerSecond: number;
  secondsLeft: number;
}): number {
  if (day.usedBytes < day.limitBytes * limits.samplePaceRatio) return 1;
  const comes = day.bytesPerSecond * day.secondsLeft;
  const left = Math.max(0, day.limitBytes - day.usedBytes);
  return comes <= left ? 1 : Math.max(limits.samplePartLeast, left / comes);
}
