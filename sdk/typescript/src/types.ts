/**
 * Small public types: status, kind, a remote parent, what an attribute may hold. The numbers are
 * OTLP's. They carry no state and import nothing.
 */

/** Outcome of a span. */
export const SpanStatus = { UNSET: 0, OK: 1, ERROR: 2 } as const;
export type SpanStatus = (typeof SpanStatus)[keyof typeof SpanStatus];

/** Role of a span in a call. */
export const SpanKind = { INTERNAL: 1, SERVER: 2, CLIENT: 3, PRODUCER: 4, CONSUMER: 5 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

/**
 * What an attribute may hold. Integers up to 2^53 and bigints up to 64 bits are sent as integers,
 * other numbers as doubles, lists and objects as OTLP's lists and maps, anything else as its text.
 * `undefined` and `null` are ignored.
 */
export type AttributeValue =
  | string
  | number
  | boolean
  | bigint
  | Uint8Array
  | readonly AttributeValue[]
  | { readonly [key: string]: AttributeValue }
  | null
  | undefined;

export type Attributes = { readonly [key: string]: AttributeValue };

/** Identity of a span in another process, as `extract` reads it from headers. */
export interface SpanContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** W3C tracestate, passed on unread (at most 512 characters). */
  readonly traceState?: string | undefined;
}
