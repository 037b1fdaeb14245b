/**
 * Every bound of the agents' streams, with its arithmetic. Hitting one is counted with a reason.
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** One frame: 4,000 rows or 500 records take some ten KB; devices of 4,096 about 1 MB. */
export const frameBytes = 2 * MiB;
/** A frame's content after inflation: 4,000 rows × 25 values × 10 B. */
export const contentBytes = 4 * MiB;
/** Frames of a stream that wait here before its socket is no longer read. */
export const framesWaiting = 16;
/** Told to the agent: batches, and their bytes, that may wait for an acknowledgement. */
export const windowBatches = 64;
export const windowBytes = 1 * MiB;
/** Streams of one process: 2,000 × (window + buffers) is at most 4 GB and usually some MB. */
export const streams = 2_000;
/** An agent pings every 10 s. One that says nothing for so long is gone. */
export const silenceMs = 45_000;
/** How often streams are looked over for silence and for credentials that ended. */
export const sweepMs = 5_000;
/** A stream's credential is checked again this often. */
export const recheckMs = 60_000;
/** Marks of sample batches go to PostgreSQL at most this often per stream. */
export const markMs = 1_000;
/**
 * A new life of an agent tells everything that is open; what it did not tell by then has ended. A silent
 * kubelet is waited for as long by the agent itself.
 */
export const forgetMs = 120_000;
/** Devices and epochs that one stream may name. */
export const devices = 4_096;
export const epochs = 64;
/** Rows, records of each kind and bytes of a text in one batch. */
export const rows = 20_000;
export const records = 2_000;
export const textBytes = 512;
export const listItems = 64;
/** Raw samples live three days; older ones would be dropped at the next merge. */
export const oldestSampleMs = 3 * 86_400_000;
/** Clocks of a cluster differ by seconds; more means a fault. */
export const newestSampleMs = 600_000;
/** Identity may be older than samples: a pod lives for weeks. */
export const oldestIdentityMs = 400 * 86_400_000;
/** Agents' lives that are remembered with their marks. */
export const agentRowsMs = 30 * 86_400_000;
/** Stream inserts a second that one process asks of ClickHouse: agents are told to report less often. */
export const batchesPerSecond = 50;
/** Nodes of all clusters whose pool's configuration is known: 20,000 × 100 B. */
export const poolNodes = 20_000;
/** How often pools are read even where nobody notified. */
export const poolPollMs = 60_000;
/**
 * Identity is pruned hourly, at most 200 batches of 5,000 rows of each table: a million intervals an hour
 * are more than 10,000 nodes with 100 changes an hour end. A batch takes some 50 ms.
 */
export const pruneMs = 3_600_000;
export const pruneRows = 5_000;
export const pruneBatches = 200;
export const prunePauseMs = 200;
/** `gpu_samples_5m` and `gpu_events` live so long (their TTL), and a span may come a day late. */
export const deviceDays = 400;
export const lateDays = 1;
/** Draining at the stop: for the batch in work. */
export const drainMs = 2_000;
/** Token reviews remembered, and for how long: an agent reconnects with the same token at most that often. */
export const reviews = 4_096;
export const reviewMs = 60_000;
export const reviewTimeoutMs = 5_000;
export const tokenBytes = 8 * KiB;
