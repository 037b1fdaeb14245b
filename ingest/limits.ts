/**
 * Every bound of receiving and writing, with its arithmetic. What is decoded has its own bounds in
 * `decode/limits.ts`. Each is counted with a reason when it is hit (`metrics.ts`).
 */

const KiB = 1024;
const MiB = 1024 * KiB;

/** OTLP's recommended default, before and after decompression. */
export const bodyBytes = 64 * MiB;
/**
 * JSON has ten times the work of protobuf in a byte, all of it on the event loop: 8 MiB take about
 * 0.2 s. They are 4,000 spans of 2 KB; SDKs send 512 at once.
 */
export const jsonBodyBytes = 8 * MiB;
/** Compressed bodies up to this size are inflated on the event loop: 64 KiB take about 0.5 ms. */
export const inflateInlineBytes = 64 * KiB;
/** … as long as they stay below this; a bomb goes on in the thread pool. 1 MiB takes about 1.2 ms. */
export const inflateInlineOutputBytes = 1 * MiB;
/** Large inflations at once: 2 × 64 MiB = 128 MiB beside the budget below. */
export const inflations = 2;
/** Requests that wait for one of them before they are refused. */
export const inflationsWaiting = 256;

/**
 * Bytes of bodies being read, open builders and blocks in flight, together. A 512-span request
 * (0.5 MB) takes 0.5 MB while it is read and 0.2 MB until it is acknowledged, so 256 MiB hold about
 * 1,000 such requests, and the process stays below 600 MB.
 */
export const budgetBytes = 256 * MiB;
/** From here on requests wait before their bodies are read. */
export const softRatio = 0.6;
/** From here on requests are refused with a retry hint. */
export const hardRatio = 0.9;
/**
 * Taken for a body when it is admitted: its declared length up to this, so that bodies that do not
 * fit together wait instead of failing half-read; where none is declared (gRPC), a usual length. More
 * is taken as it arrives.
 */
export const bodyStartBytes = 4 * MiB;
export const bodyGuessBytes = 512 * KiB;
/** Of the budget, one tenant's bodies may have this much together: 128 MiB, the largest and what it inflates to. */
export const tenantShareRatio = 0.5;
/** Requests that wait for room. Each may hold one HTTP/2 stream window: 256 × 256 KiB = 64 MiB. */
export const roomWaiting = 256;
/** How long they wait: half of the 10 s after which exporters give up. */
export const roomWaitMs = 5_000;

/** Simultaneous connections per listener: 10 k idle ones leave room for as many more. */
export const connections = 20_000;
/** Files that stay free for everything else: stores' connections, spools, the process itself. */
export const filesBesideConnections = 512;
/** A connection that has not said what it speaks, or sent its head, by then is closed. */
export const firstBytesMs = 10_000;
/** A body must be complete by then: 64 MiB at 1.1 MB/s. */
export const bodyMs = 60_000;
/** A gRPC connection without a stream for this long is closed with GOAWAY. Exporters reconnect. */
export const idleConnectionMs = 300_000;
/** Idle gRPC connections are asked for a sign of life this often, and have as long to give it. */
export const pingMs = 60_000;
/** How often connections are looked over for the two bounds above. */
export const sweepMs = 5_000;
/** HTTP keep-alive: longer than the 60 s of common load balancers. */
export const keepAliveMs = 65_000;
/** Header block of one request: a key, a trace context and some proxies' headers fit thrice. */
export const headerBytes = 16 * KiB;
/** Streams per gRPC connection; exporters use a handful. */
export const streamsPerConnection = 100;
/** Bytes a client may send ahead on one stream, and on one connection. */
export const streamWindowBytes = 256 * KiB;
export const connectionWindowBytes = 4 * MiB;
/** After a refusal before the body's end, this much of the rest is read and thrown away … */
export const lingerBytes = 8 * MiB;
/** … for at most this long, so that the sender sees the answer instead of a reset connection. */
export const lingerMs = 2_000;
/**
 * A stopping process has 5 s in all: answering what is in flight, then committing what is left of it
 * and settling usage, the last two only where a store is slow or away.
 */
export const drainMs = 3_000;
export const flushMs = 500;
/**
 * In a cluster a process has 20 s: two in which clients hear that it goes (a poll of most load balancers,
 * many exports of a busy one), ten in which an insert may use its whole budget (8 s), then as above.
 */
export const clusterStop = { lameDuckMs: 2_000, drainMs: 10_000 } as const;
export const clusterStopBudgetMs = 20_000;
export const settleMs = 1_000;

/** A group is closed at this many rows when an insert slot is idle: the engine's sweet spot is 8–50 k. */
export const groupRows = 8_192;
/** … or when no request has joined for this long, */
export const groupIdleMs = 20;
/** … or at this age, */
export const groupAgeMs = 250;
/** … or at this size, idle slot or not. */
export const groupBytes = 32 * MiB;
/** Inserts in flight per table, and groups in flight. */
export const insertsPerTable = 2;
/** Inserting one group may take this long, retries included: below the exporters' 10 s. */
export const insertBudgetMs = 8_000;
/**
 * One attempt: nearly all of it. Asking a store again that is merely slow doubles its work; a broken
 * connection is told at once and leaves time for more attempts.
 */
export const insertAttemptMs = 7_500;
/** Pause between attempts, doubled each time. */
export const insertRetryMs = 100;
export const insertRetryMaxMs = 1_000;
/** How often a store that is down is asked whether it is back. */
export const storeProbeMs = 500;
/** The hint for clients while it is down; jitter is added. */
export const storeRetryMs = 2_000;
/** The hint when memory is full; jitter is added. */
export const overloadRetryMs = 1_000;

/** Request-level deduplication: 20,000 entries × ~250 bytes = 5 MB, for 10 minutes. */
export const recentRequests = 20_000;
export const recentRequestsMs = 600_000;

/** Burst of the span limit: this many seconds' worth. */
export const quotaBurstSeconds = 2;
/**
 * Sampling beyond a limit: the part kept is set anew so often, from what came over about this long; a
 * debt is paid within ten seconds, and a thousandth is kept always, so that a tenant stays visible.
 */
export const sampleTurnMs = 500;
export const sampleMemoryMs = 2_000;
export const sampleDebtSeconds = 10;
export const samplePartLeast = 0.001;
/** From this part of a day's bytes on, what is left is spread over what is left of the day. */
export const samplePaceRatio = 0.9;
/** The hint for senders of a tenant that takes nothing in for now; jitter is added. */
export const readOnlyRetryMs = 60_000;

/** How often intake bytes go to PostgreSQL and the day's sums are read back. */
export const intakeFlushMs = 3_000;
/** (tenant, hour) pairs that wait for PostgreSQL: 100,000 × ~100 bytes = 10 MB. */
export const intakePending = 100_000;

/** How often usage is derived; longer where deriving takes more than a twentieth of the time. */
export const usageMs = 2_000;
export const usageDutyRatio = 0.05;
/** Dirty (tenant, hour) pairs; beyond it the oldest wait for the sweep after the next start. */
export const usageDirty = 20_000;
/** Pairs derived in one query. */
export const usageBatch = 200;
/** After a start, hours of spans received within this time are derived again. */
export const usageCatchUpMs = 3_600_000;

/** How often the heartbeat is written. */
export const heartbeatMs = 2_000;
/** Errors it carries. */
export const heartbeatErrors = 20;

/**
 * How long a request waits for the word who its sender is: one search over 1,000 processes takes some
 * 20 ms, once a connection. Later it is taken without.
 */
export const peerWaitMs = 500;

/** How often jobs of deletion are looked for, how many at a time, and how their progress is followed. */
export const purgeLookMs = 30_000;
export const purgeJobs = 10;
export const purgePollMs = 2_000;
/** A job begins so much later: 5 s until every process knows, 10 s for what is in flight, and four times that. */
export const purgeDelayMs = 60_000;

/** Data points of one metrics request; an SDK sends some hundred. */
export const pointsPerRequest = 100_000;
/** Attributes of a point or a resource that are kept, bytes of each value, buckets of a histogram. */
export const pointAttributes = 64;
export const pointTextBytes = 1_024;
export const pointBuckets = 512;

/** Attributes, events and content live at most this long: they are most of the bytes. */
export const payloadRetentionDays = 90;
