/**
 * Bounds of what the agent shows to others.
 */

/** hw.* metrics go out this often; one that takes longer than its timeout is given up. */
export const otlpPeriodMs = 10_000;
export const otlpTimeoutMs = 5_000;

/** Scrapes at once: a page of 64 × 8 devices takes about 10 ms and 3 MB of text. */
export const metricsConnections = 16;
/** A scraper that does not finish its request by then is cut off. */
export const metricsRequestMs = 5_000;
