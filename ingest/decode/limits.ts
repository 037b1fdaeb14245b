/**
 * Every bound of decoding, with its arithmetic. What is cut is marked on its span and counted in
 * `dropped_*`; what is left out whole is counted with a reason (`RejectReason`).
 */
import { markNames } from "@axonize/core/contract/trace";

const KiB = 1024;
const MiB = 1024 * KiB;

/** Attributes kept per span: OTel SDKs stop at 128, OpenInference's flattened messages reach some hundred. */
export const attributesPerSpan = 1024;
/** Bytes of one attribute's value or JSON text; stack traces and SQL fit. */
export const attributeBytes = 64 * KiB;
/** Bytes of one captured prompt or completion: 4 MiB are about one million tokens. */
export const contentBytes = 4 * MiB;
/** Events and links kept per span: one event per generated token of a long answer fits. */
export const eventsPerSpan = 4096;
export const linksPerSpan = 1024;
/** Bytes of names and of every value with a LowCardinality column. */
export const labelBytes = 512;
/** Bytes of an attribute's key. */
export const keyBytes = 512;
/** Bytes of ids of sessions, users and requests, and of W3C tracestate (512 by its specification). */
export const idBytes = 1024;
/** Bytes of a status message. */
export const messageBytes = 16 * KiB;
/** Nesting of attribute values, and of unknown groups; deeper values become null. */
export const nesting = 16;
/** Nesting of a JSON body: nesting × (kvlist, values, value) + the 8 levels around it. */
export const jsonNesting = 3 * nesting + 16;
/** Nesting of what is stepped over in a JSON body: 64 k × 8 B = 512 KB while it is. */
export const jsonDepth = 65_536;
/** Bytes of one resource's attributes as JSON. */
export const resourceBytes = 256 * KiB;

/** Spans from the future are kept up to this: clocks of a cluster differ by seconds, days mean a fault. */
export const futureMs = 24 * 3600 * 1000;
/** UTC days in one request: each is a partition and an insert per table. */
export const daysPerRequest = 64;

/**
 * Spans of one request, the rest of which is rejected with a reason: a usual one costs 1 µs, one that
 * is unusual 3 to 6 µs, so a request holds the event loop for 1.5 s at the very worst. SDKs send 512 at
 * once, a Collector 8,192, and a body of 64 MiB has room for as many of 256 bytes.
 */
export const spansPerRequest = 262_144;
/** Resources and scopes of one request, however empty: 0.1 µs each, so 0.4 s; beyond it is no request. */
export const groupsPerRequest = 4_194_304;

/** Strings interned between two takes before the table starts afresh: 32 k × ~40 B = 1.3 MB. */
export const internedStrings = 32_768;
/** Places in orders of keys: 16 k × (16 B + ~60 B of maps) = 1.2 MB; 500 kinds of spans of 30 attributes. */
export const pathNodes = 16_384;
/** Parsed resources kept: 4,096 × ~4 KB = 16 MB at most; fleets have some hundred. */
export const resources = 4_096;
/** An event that the kernel takes: room for twelve times as much is made for its JSON text. */
export const kernelEventBytes = 64 * KiB;
/** Spans without a device that are noted before whoever may learn of one is told: × 16 B = 4 KB. */
export const missedSpans = 256;
/** Facet scopes (tenant, quarter of an hour, class) remembered: 256 × 4 B × interned strings = 34 MB at most. */
export const facetScopes = 256;
/** Bytes of block memory kept for the next blocks: two groups of ~40,000 spans, 640 B each, are 50 MB. */
export const idleBlockBytes = 48 * MiB;
/** A smaller block comes from the allocator's own lists, without page faults. */
export const leastIdleBlock = 64 * KiB;
/**
 * A decoder's memory begins anew after a take that used less than a 16th of it, beyond this: 64 MiB are
 * what groups of 40,000 spans take, and a body of 64 MiB should not be remembered for ever.
 */
export const idleHeapBytes = 64 * MiB;
export const heapSlack = 16;
/** Builders kept for reuse after a take; each is about 200 KB once grown. */
export const idleBuilders = 4;

/** Bytes of one JSON text (an event's attributes, a nested attribute) before what follows is null. */
export const jsonBytes = 4 * MiB;

const bit = (name: (typeof markNames)[number]): number => 1 << markNames.indexOf(name);
/** Bits of `spans.marks`. */
export const marks = {
  endBeforeStart: bit("endBeforeStart"),
  timeOutOfRange: bit("timeOutOfRange"),
  truncated: bit("truncated"),
  contentDropped: bit("contentDropped"),
  contentRedacted: bit("contentRedacted"),
  duplicateAttributes: bit("duplicateAttributes"),
  invalidUtf8: bit("invalidUtf8"),
  unfinished: bit("unfinished"),
  foreignNamespace: bit("foreignNamespace"),
} as const;
