/**
 * Every bound of the controller runtime, with its arithmetic.
 */

/** Client-side rate: 1,000 nodes + 200 tenants × 12 objects to apply at first = 34 s at 100 a second. */
export const requestsPerSecond = 100;
/** A reconcile makes about 12 calls: 16 of them may start at once without waiting. */
export const requestBurst = 200;
/** Longest that a `Retry-After` is obeyed: the server names seconds, not hours. */
export const maxRetryAfterMs = 60_000;
/** Times that a 429 is waited out in one call; later it is the reconcile's to try again. */
export const throttledTries = 4;

/** The API server's own limit of an ordinary request is 60 s, but it answers in milliseconds or is ill. */
export const answerMs = 30_000;
/** Connections at once: 12 watches and as many calls as two controllers with 8 workers make. */
export const maxConnections = 64;
/** A token that the kubelet renewed is in use after at most this long. */
export const credentialsMs = 60_000;

/**
 * Items of a list page: about 0.5 MiB to parse. With 500 the lists of a start, which all run at once,
 * were the peak of the operator's memory: 247 MiB after a restart with 9,000 objects, and 222 with 250.
 */
export const listPageSize = 250;
/** Of a list page. 500 Secrets of 1 MiB would be more: those are listed as metadata only. */
export const maxPageBytes = 256 * 1024 * 1024;
/** One line of a watch: an object of 1.5 MiB in etcd is at most about 8 MiB as JSON. */
export const maxEventBytes = 8 * 1024 * 1024;
/** A server ends a watch itself after this; a random time keeps reconnects apart. */
export const watchSeconds = { least: 300, most: 600 };
/** Bookmarks come about once a minute: longer silence is a connection that only looks open. */
export const watchSilenceMs = { least: 90_000, most: 120_000 };
/** Waits after a failed list or watch: 0.8 s, 1.6 s … 30 s, with jitter. */
export const reflectorBackoffMs = { least: 800, most: 30_000 };
/** Lists and watches opened per reflector: one in 2 s, five at once, whatever the server does. */
export const reconnects = { perSecond: 0.5, burst: 5 };
/** A list of everything, compared with the cache: what a watch lost would show here. */
export const auditMs = 30 * 60_000;
/** How long the cache may take to reach a list it is compared with: two bookmarks. */
export const auditCatchUpMs = 130_000;
/** All objects are asked for again, from the cache. */
export const resyncMs = 10 * 3_600_000;
/** All caches are filled within this, or the process exits and tells why. */
export const cacheSyncMs = 120_000;
/** A kind that a cluster may lack is looked for again. */
export const probeMs = 5 * 60_000;

/** Waits after a failed reconcile: 5 ms × 2ⁿ, ±10 %. */
export const retryBackoffMs = { least: 5, most: 1_000_000 };
/** Where a store or the API was away: it comes back without our object changing. */
export const unavailableRetryMs = 5 * 60_000;
/** Every n-th pick takes a resync though changes wait, so that neither starves. */
export const resyncShare = 8;
/** A reconcile's time; then its signal aborts. */
export const reconcileMs = 60_000;
/** After that, a reconcile that ignores its signal keeps its key but no worker. */
export const abandonMs = 5_000;
/** A reconciler that asks for a key again gets it this late at the earliest: 10 a second, not a loop. */
export const leastRequeueMs = 100;
/** Wait for the cache to have what a reconcile wrote itself, and how long to believe it will. */
export const staleRetryMs = 50;
export const staleMostMs = 2_000;
/** In-flight reconciles at a stop: of 30 s there are 2 s for what aborts, 3 s to give the lease back. */
export const drainMs = 23_000;
/** After that their signals abort; who ignores it is left alone, and so are events that wait. */
export const abortMs = 1_000;

/** Leader election, client-go's proportions. A lease of 60 s is for slow API servers. */
export const leaseMs = 15_000;
export const renewDeadlineRatio = 2 / 3;
export const leaseRetryMs = 2_000;
/** The main thread writes a beat this often; the elector's thread looks as often. */
export const beatMs = 500;
/** Of the elector's heap: it needs 12 MB, and a leak there must not become the process's. */
export const threadMemoryMb = { maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 64 };
/** After a loss the main thread has this long to end the process; then the elector's does. */
export const lossMs = 5_000;
/** Most time to give the lease back at a stop. */
export const releaseMs = 3_000;

/** The same event of the same object: once in five minutes, then as a series. */
export const eventRepeatMs = 5 * 60_000;
/** Events that are remembered for that: 4,096 × about 300 bytes. */
export const maxEventsRemembered = 4_096;
/** Events that wait to be sent; more are dropped and counted. */
export const maxEventsWaiting = 1_000;
/** The API's own limit of `note`. */
export const maxNoteLength = 1_024;
