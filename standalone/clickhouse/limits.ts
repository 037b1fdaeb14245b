/**
 * Every bound of the embedded ClickHouse, with its arithmetic. The whole standalone process tree has
 * 700 MB idle and 1.5 GB under load; the engine's process may take about 900 MB of that: 240 MB are
 * the mapped library, which the engine does not count, the rest is what `serverMemoryBytes` allows.
 */

/** Queries that run at once; each holds one connection, one FIFO and one thread of libuv's pool. */
export const activeQueries = 8;
/** Inserts that run at once. Ingest keeps at most two in flight per table and six tables. */
export const activeInserts = 4;
/** Requests that wait for a slot before the front answers 202 TOO_MANY_SIMULTANEOUS_QUERIES. */
export const waitingRequests = 128;
/** One thread per running statement, two for kills and control, six for files and gzip. */
export const threadPoolSize = activeQueries + activeInserts + 2 + 6;

/** Largest insert body after decompression. Ingest's blocks stay below 64 MiB. */
export const insertBodyBytes = 512 * 1024 * 1024;
/** Largest statement text; ClickHouse's own `max_query_size` is 256 KiB, inline data may be more. */
export const statementBytes = 16 * 1024 * 1024;
/** Answers up to this size wait for the end of the query, so that late errors get their own status. */
export const answerBufferBytes = 1024 * 1024;
/** tmpfs is used for insert bodies when it has at least this much free: two large bodies. */
export const tmpfsFreeBytes = 256 * 1024 * 1024;

/** The engine refuses allocations beyond this, with 241 MEMORY_LIMIT_EXCEEDED. */
export const serverMemoryBytes = 640 * 1024 * 1024;
/** One query at most: two of the heaviest beside inserts and merges. */
export const queryMemoryBytes = 256 * 1024 * 1024;
/** Group by and sort go to disk beyond this. */
export const spillBytes = 96 * 1024 * 1024;

/** How long a stopping engine lets statements finish. The process has 5 s to stop in all. */
export const drainMs = 2_000;
/** How long a slow client may take to send its request. */
export const requestTimeoutMs = 120_000;
