/**
 * Every bound of the dashboard's API, with its arithmetic. A bound that refuses something is counted
 * in `metrics.ts` with its reason.
 */

/** The largest body any route takes is a tenant's settings: far below 1 KiB. */
export const requestBodyBytes = 64 * 1024;
/** A URL with 50 values of each of 13 filters, 60 characters each, is 39 KB. */
export const headerBytes = 64 * 1024;
/** Sockets: browsers keep 6 each; 1024 × ~50 KB = 50 MB. */
export const connections = 1024;
/** Slow-loris: headers within 10 s, the whole request within 30 s. */
export const headersTimeoutMs = 10_000;
export const requestTimeoutMs = 30_000;
export const keepAliveTimeoutMs = 65_000;

/** A page that takes longer is of no use to a person. */
export const querySeconds = 15;
/** The embedded engine has 900 MB for everything; ingest needs half. */
export const queryMemoryBytes = 400 * 1024 * 1024;
/** Rows of one answer: the largest is a trace's spans, 100,000, and some slack. */
export const queryResultRows = 200_000;

/** A matching span is looked for up to this long after its trace's start; agents run for minutes. */
export const matchWithinMs = 3_600_000;
/** A trace's earliest index row is looked for on this many days before its window. */
export const traceIndexDaysBefore = 1;
/** First window of a list and how much wider the next may be: 2 min, 1 h, 30 h: three queries for a day where nothing matches. */
export const listWindowMs = 120_000;
export const listWindowGrowth = 30;
/** Calls that a sort by a call's value reads at first and checks at once: 200 ids are 8 KB of the URL's 16 KB. */
export const sortCandidates = 200;
/** The most it reads before the whole range is grouped instead: 1,600, then no more. */
export const sortCandidatesMost = 2_048;
/** Minutes of traces that a page's second stage may name, 170 KB of SQL (a server takes 256 KiB); beyond it, their whole range is read. */
export const pagePlaces = 5_000;

/** Spans of a page's traces that are put together here: 5,000 × ~250 bytes of columns; beyond it the engine aggregates. */
export const pageSpans = 5_000;
/** Spans of one trace that are answered; 100,000 × ~45 bytes of columns = 4.5 MB of JSON. */
export const traceSpans = 100_000;
/** `format=auto` answers rows up to here: 5,000 × ~900 bytes = 4.5 MB. */
export const traceRows = pageSpans;

/** Open event streams: each polls once per second, ~5 ms of the engine each = a third of a core. */
export const eventStreams = 64;
/** Requests told per poll of a stream. */
export const eventsPerPoll = 20;
export const eventPollMs = 1_000;

/** Groups by model and by service on the overview; the rest is in the totals. */
export const overviewGroups = 50;
/** Rows of the heat map's log scale. */
export const heatmapRows = 40;

/** Devices of one answer: a cluster of 1,000 nodes with 8 GPUs, each in up to 7 slices, is beyond it. */
export const devices = 10_000;
/** Stretches of time for which a tenant sees devices, newest first: 2,000 × ~70 bytes of SQL = 140 KB of 256. */
export const deviceWindows = 2_000;
/** Who had a device, in one answer: a notebook server that starts a process every minute of a day. */
export const deviceHolders = 2_000;
/** Other calls on one lane that are drawn; the rest is a number. 64 lanes × 200 × ~300 bytes = 4 MB. */
export const laneNeighbours = 200;
/** A call that began up to this long before a request may still run beside it. */
export const neighbourWithinMs = 600_000;
/** Agents of one answer: one per node. */
export const agents = 5_000;
/** Events of one device in one answer. */
export const deviceEvents = 500;
/** Lanes of one request: tensor parallel over 8 nodes with 8 GPUs. */
export const traceLanes = 64;
/** Pods of one trace's engines that are looked up: an agent's run over a whole pool of replicas. */
export const tracePods = 64;

/** Tenants and keys of one answer. */
export const adminItems = 10_000;
/** Hours of usage in one answer: a year. */
export const usageHours = 9_000;

/** Bodies below this are not worth compressing: they fit one TCP segment. */
export const compressBytes = 1_400;
/** Files of the built web app kept in memory, compressed once: ~60 files, ~2 MB. */
export const webFileBytes = 16 * 1024 * 1024;

/** Memory of analytics: a day of 96 slots × 30 groups × ~4 KB = 12 MB; five such views. */
export const slotCacheBytes = 64 * 1024 * 1024;
/** One query reads at most this much time: 6 h of 10,000 calls/s would be 200 MB of values. */
export const slotRunMs = 6 * 3_600_000;
/** A run that read fewer rows than this may be four times longer next time. */
export const slotRunRows = 500_000;

/** Tenants that a log-in lists; 1,000 × ~60 bytes = 60 KB. Keys and links reach the others. */
export const sessionTenants = 1_000;

/** Different words on devices among one trace's spans: 64 lanes × the few reasons there are. */
export const traceAttributions = 256;
