/**
 * The ring's layout, which the program's thread writes and the exporter's thread reads. One producer,
 * one consumer; positions count bytes modulo 2^32, records are multiples of 8 bytes and never wrap.
 */

/** Control words (Int32), before the data. One producer or one consumer writes each. */
export const Control = {
  /** Bytes published, by the producer. */
  HEAD: 0,
  /** Bytes consumed, by the consumer. */
  TAIL: 1,
  /** Spans that did not fit, by the producer. */
  DROPPED: 2,
  /** Spans sent, rejected or given up, by the consumer. */
  SETTLED: 3,
  SENT: 4,
  LOST: 5,
  /** The last flush that ended, and whether the server took everything, by the consumer. */
  FLUSHED: 6,
  FLUSH_OK: 7,
} as const;
export const CONTROL_BYTES = 64;

/** Words (Uint32) of a record's head. A definition or a skip has only the first four. */
export const Head = {
  /** Bytes of the whole record. */
  SIZE: 0,
  /** Kind of record | span kind << 8 | status << 16 | flags << 24. */
  TYPE: 1,
  /** Interned name, or NONE where the name is written out. A definition's number. */
  NAME: 2,
  /** Interned scope; 0 is the SDK's own. A definition's size in bytes. */
  SCOPE: 3,
  TRACE: 4,
  SPAN: 8,
  PARENT: 10,
  /** Two doubles: ms of the producer's monotonic clock or, with ABSOLUTE, epoch ms. */
  START: 12,
  END: 14,
  ATTRIBUTES: 16,
  /** Bytes of finished Span fields after the attributes: events, links, trace state. */
  EXTRA: 17,
  DROPPED_ATTRIBUTES: 18,
  DROPPED_EVENTS: 19,
  /** Bytes of the name and of the status message, where written out. */
  NAME_SIZE: 20,
  MESSAGE_SIZE: 21,
} as const;
export const HEAD_BYTES = 88;

export const RecordType = { SPAN: 1, DEFINITION: 2, SKIP: 3 } as const;
export const Flag = { PARENT: 1, REMOTE: 2, ABSOLUTE: 4 } as const;

/** In place of an interned number. */
export const NONE = 0xffff_ffff;

/** An attribute is (key number, type | size << 4), then its bytes, padded to 8. */
export const ValueType = { TRUE: 1, FALSE: 2, INT: 3, DOUBLE: 4, TEXT: 5, ENCODED: 6 } as const;

export const padded = (size: number): number => (size + 7) & ~7;
