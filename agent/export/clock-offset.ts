/**
 * How far this node's wall clock is from the server's, from pings: of the last few the one with the
 * shortest round trip, because it leaves the least room for error (as NTP's clock filter does).
 */
import { clockSamples } from "./limits.ts";

export interface ClockOffset {
  /** Agent minus server. */
  readonly us: number;
  /** The truth lies within ± this. */
  readonly errorUs: number;
}

export interface OffsetMeter {
  /**
   * `sentUs` by our wall clock, `roundTripUs` by the monotonic one; the other two are the server's.
   * A jump of our clock makes older measurements worthless.
   */
  add(ping: { sentUs: number; roundTripUs: number; receivedUs: number; answeredUs: number }): void;
  best(): ClockOffset | undefined;
}

export function createOffsetMeter(): OffsetMeter {
  let measured: ClockOffset[] = [];
  return {
    add: ({ sentUs, roundTripUs, receivedUs, answeredUs }) => {
      const travelUs = Math.max(0, roundTripUs - Math.max(0, answeredUs - receivedUs));
      const fresh = { us: Math.round(sentUs + travelUs / 2 - receivedUs), errorUs: travelUs / 2 };
      const agrees = measured.every(
        ({ us, errorUs }) => Math.abs(us - fresh.us) <= errorUs + fresh.errorUs + toleratedDriftUs,
      );
      measured = [...(agrees ? measured : []), fresh].slice(-clockSamples);
    },
    best: () => measured.toSorted((a, b) => a.errorUs - b.errorUs)[0],
  };
}

/** Quartz drifts up to about 100 ppm: 8 ms within eight pings. */
const toleratedDriftUs = 8_000;
