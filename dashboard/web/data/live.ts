/**
 * How often what is live asks again. Pages poll while their tab is visible and nothing is paused.
 */

/** Periods of refreshing while live, in milliseconds. */
export const livePeriodMs = {
  /** New calls must be on screen within 2 s of their acknowledgement. */
  requests: 1_000,
  analytics: 5_000,
  fleet: 2_000,
  system: 5_000,
} as const;
