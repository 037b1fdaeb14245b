/**
 * Every bound of attribution, with its arithmetic. Hitting one is counted with a reason.
 */

/**
 * Intervals in memory: 1,000 nodes × 64 slices × 2 records and their history of a day. 200,000 × about
 * 600 bytes = 120 MB at most; a node of 8 GPUs has some hundred.
 */
export const intervals = 200_000;
/** Intervals that ended longer ago are not kept: a span that late stays as it came. */
export const keptMs = 24 * 3_600_000;
/** How often PostgreSQL is asked even where nobody notified, and how long notices are gathered. */
export const pollMs = 3_000;
export const gatherMs = 20;
/**
 * A binding counts for spans that began at most this long before it was first seen: the kubelet is asked
 * each second, the driver's processes every five, and a model may load in between.
 */
export const learnedLateMs = 120_000;
/** Answers remembered per resource: combinations of ordinals; tensor parallel groups have a few. */
export const answersPerResource = 64;

/** Resources whose spans wait for a binding: 10,000 × ~500 bytes = 5 MB. */
export const waiting = 10_000;
/** How long they wait. */
export const waitingMs = 600_000;
/** A span that was just decoded may not be in ClickHouse yet: looked at again after this long. */
export const settleMs = 10_000;
/** How often the waiting are looked over. */
export const backfillMs = 1_000;
/** Resources back-filled in one round, and spans written again at most in one statement. */
export const backfillBatch = 20;
export const backfillGroups = 64;
/** After a start, unattributed spans received within this time wait again. */
export const catchUpMs = 600_000;

/** Processes whose only ordinal is known: 2,000 × ~300 bytes; a node of 8 GPUs has eight or so. */
export const claims = 2_000;
/** A claim that no span asked for in this time is forgotten. */
export const claimKeptMs = 600_000;
/** How often the other replicas' spans are looked at for a claim, and how many claims in one second. */
export const claimCheckMs = 60_000;
export const claimChecks = 5;
