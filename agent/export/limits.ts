/**
 * Every bound of the exporter, with its arithmetic. What is given up at one of them is counted with a
 * reason (`metrics.ts`).
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** Rows gathered before they are sealed: a node of 64 devices has about 150 a second, a batch 1 s. */
export const gatheredRows = 20_000;
/** Events and identity changes gathered: a node of 300 slices that is repartitioned has about 1,000. */
export const gatheredEvents = 10_000;
export const gatheredChanges = 50_000;
/** Rows and records of one batch: 4,000 rows take about 40 KB, 500 identity changes 20 KB deflated. */
export const batchRows = 4_000;
export const batchRecords = 500;
/** Identity changes wait this long for more of the same observation. */
export const recordsWaitMs = 50;
/** Devices that an epoch may name: 16 GPUs × 7 slices through 36 repartitions. */
export const devices = 4_096;

/**
 * One spool segment, and all of them. A node of 64 devices writes about 1.5 KB a second: 128 MiB are a
 * day without the server. The index in memory takes about 100 B a batch: 8 MB.
 */
export const segmentBytes = 1 * MiB;
export const spoolBytes = 128 * MiB;
/** While the disk takes nothing, batches are held in memory up to this: three hours of such a node. */
export const memorySpoolBytes = 16 * MiB;
/** After the disk refused a write, it is tried again this much later. */
export const diskRetryMs = 10_000;
/** A frame on disk larger than this is no frame of ours. */
export const frameBytes = 4 * MiB;
/**
 * Written frames reach the disk's platters at most this much later. A killed process loses nothing
 * that was written; a power cut loses at most this much.
 */
export const syncMs = 1_000;

/** Reconnecting: first and longest pause, each ± half by chance. */
export const reconnectFirstMs = 250;
export const reconnectMostMs = 30_000;
/** Another agent of the same node is at work: no hurry to take its place. */
export const supersededMs = 60_000;
/** HTTP/2 pings: a half-open connection is found within 15 s. */
export const keepaliveMs = 10_000;
export const keepaliveTimeoutMs = 5_000;
/** Our own pings, which measure the clock and find a server that answers HTTP/2 and nothing else. */
export const pingMs = 10_000;
export const silenceMs = 30_000;
/** A server that did not say welcome by then is no server of ours. */
export const welcomeMs = 10_000;
/** Pings whose round trip is remembered; the shortest of them measures the clock best. */
export const clockSamples = 8;
/** At the end: for what is gathered to be acknowledged. */
export const flushMs = 2_000;
