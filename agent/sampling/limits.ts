/**
 * Bounds and periods of sampling that no configuration changes, with their arithmetic. What is lost at one
 * of them is counted with its reason (metrics.ts).
 */

/** What there is, is enumerated this often; at once after a MIG or XID event. 600 calls on 8 × 7 slices. */
export const topologyPeriodMs = 10_000;
/** An event, a lost GPU and a vanished slice may all ask for an enumeration at once: one a second is enough. */
export const topologyLeastMs = 1_000;
/** Limits, error counters, links, memory temperature: what hardly ever changes. */
export const rarePeriodMs = 10_000;

/** A turn of the sampling thread gives way to its messages after this long. */
export const turnMs = 25;
/** Node's timers count whole milliseconds and may fire this much early. */
export const timerSlackMs = 0.5;

/**
 * Batches that the main thread has not taken yet. One a second of 64 devices is 16 KiB: half a minute of
 * a main thread that stands still is 0.5 MiB. Then the newest is dropped and counted.
 */
export const unackedBatches = 30;
/** Numbers of one batch, 8 B each: 1 MiB. 300 slices need 10 × 64 × 6 + 364 × 25 = 13,000 a second. */
export const batchNumbers = 131_072;

/** Over how long the budget is judged, and how often it must be kept before a period shortens again. */
export const budgetWindowMs = 10_000;
export const calmWindows = 3;
/** Most that a period is lengthened: 100 ms becomes 3.2 s, 1 s becomes 32 s. */
export const longestFactor = 32;
/** A period shortens again only if the budget would then be used up to this part at most. */
export const shortenBelowRatio = 0.8;
/**
 * Most of the time that calls may hold the driver, whatever CPU they cost: every process that uses the
 * GPU waits on the same lock. 25 ms in each 100 ms.
 */
export const driverTimeRatio = 0.25;

/** After a driver that is not there or went away: first and longest pause. */
export const reopenFirstMs = 2_000;
export const reopenMostMs = 60_000;
/** The driver was replaced this often in a row by one that the loaded library does not fit. */
export const mismatchesBeforeExit = 3;

/** How long one wait for events blocks its thread; also how long closing may take. */
export const eventWaitMs = 1_000;
/** Wall clock against monotonic clock between two ticks: more than this is a jump, not a slew. */
export const clockJumpMs = 1_000;
/** Throttle events of one GPU: a card at its power cap flips several times a second. */
export const throttleEventLeastMs = 10_000;
