/**
 * Every limit of the SDK with its arithmetic. What does not fit is cut or dropped and counted, on the
 * span itself (`dropped_attributes_count`, `dropped_events_count`) or in `stats()`.
 */

/** Finished spans wait here: about 15,000 spans with five attributes (270 bytes each). A power of two. */
export const RING_BYTES = 4 << 20;

/** Strings that are sent once and then by number: names and keys of a program, not of its data. */
export const NAMES_MAX = 1024;
export const KEYS_MAX = 1024;
/** Longer ones are written out each time: interning is for literals. */
export const INTERN_CHARS_MAX = 128;

/** As in the Python SDK. 64 KiB of attributes and events per span whatever the program puts in. */
export const ATTRIBUTES_MAX = 128;
export const EVENTS_MAX = 128;
export const LINKS_MAX = 128;
export const KEY_CHARS_MAX = 256;
export const NAME_BYTES_MAX = 1024;
export const MESSAGE_BYTES_MAX = 1024;
export const VALUE_BYTES_MAX = 32 * 1024;
export const ARENA_BYTES_MAX = 64 * 1024;
export const VALUE_DEPTH_MAX = 4;
export const VALUE_ITEMS_MAX = 1024;
export const GPUS_MAX = 64;

/** A request is at most this and one span (under 256 KiB): receivers take 4 MiB by default. */
export const REQUEST_BYTES_MAX = 1 << 20;
/** What a server may answer with. */
export const ANSWER_BYTES_MAX = 1 << 20;

/** A batch that a server will not take is given up after ten minutes; meanwhile the ring fills. */
export const RETRY_FOR_MS = 600_000;
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_MAX_MS = 30_000;
/** A server may ask for silence, but not for ever. */
export const DELAY_MAX_MS = 300_000;
export const KEY_REREAD_MS = 60_000;

/** What the end of a process may wait for an absent server, unless AXONIZE_EXIT_TIMEOUT_MS says another. */
export const EXIT_MS = 2000;

/** The exporter's heap: one batch, its encoding and the tables need under 10 MB. */
export const WORKER_HEAP_MB = 64;
/** An exporter that dies is started anew this often; then the process stops recording. */
export const WORKER_STARTS_MAX = 3;

/** W3C trace context. */
export const TRACE_STATE_CHARS_MAX = 512;
