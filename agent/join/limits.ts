/**
 * Bounds of what identity keeps and how often it acts.
 */

/**
 * Closed intervals are the server's as soon as they are reported; here they only answer questions about
 * the last minutes. 15 min × 100 processes started a minute × about 1 KB = 1.5 MB.
 */
export const keepMs = 15 * 60_000;
export const pruneMs = 60_000;

/** Open intervals are written at most this often; what changed in between is on the stream already. */
export const persistMs = 1_000;

/** 4,096 processes × 2 devices × about 600 B, twice over. A longer file is not ours. */
export const maxStateBytes = 16 * 1024 * 1024;

/** GetAllocatableResources, which changes when a device becomes unhealthy or a plugin restarts. */
export const allocatableMs = 30_000;

/** How often an environment or a /dev that could not be read is tried again, once per process list. */
export const maxReadTries = 3;

/** A known process's container is read again with every so many lists: once a minute at 5 s. */
export const listsBetweenLooks = 12;

/** Processes looked at before the event loop gets a turn: 64 × 4 files × about 15 µs = 4 ms. */
export const processesPerTurn = 64;

/** Steps up from a process to its ancestors. */
export const maxAncestors = 8;

/** Seconds between two process lists that count at most; a longer gap was not looked at. */
export const maxGapMs = 60_000;

/** The same trouble is logged again after this time at the earliest. */
export const repeatLogMs = 600_000;
/** Kinds of trouble that are remembered for that; 1,000 × about 200 B. */
export const maxToldTroubles = 1_000;
