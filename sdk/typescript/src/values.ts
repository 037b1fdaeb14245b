/**
 * Attribute values, events and links as OTLP bytes, for everything that the ring has no short form
 * for. Nothing here throws for a value it does not like: odd values become their text.
 */
import { Bytes } from "./bytes.ts";
import {
  ARENA_BYTES_MAX,
  KEY_CHARS_MAX,
  NAME_BYTES_MAX,
  TRACE_STATE_CHARS_MAX,
  VALUE_BYTES_MAX,
  VALUE_DEPTH_MAX,
  VALUE_ITEMS_MAX,
} from "./limits.ts";

type Entries = Readonly<Record<string, unknown>> | undefined;

/** A value whose AnyValue bytes are made already. A class, so that no program's value can be one. */
export class Encoded {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** The bytes of an AnyValue, a snapshot of the value as it is now. */
export function encodeValue(value: unknown): Encoded {
  return new Encoded(encoded((out) => writeValue(out, value, 0)));
}

let idle: Bytes | undefined = new Bytes(1024);

/** What `write` writes, as bytes of their own. Foreign code in between may come back here. */
function encoded(write: (out: Bytes) => void): Uint8Array {
  const out = idle ?? new Bytes(1024);
  idle = undefined;
  out.at = 0;
  write(out);
  const bytes = out.copy();
  if (out.buffer.length <= ARENA_BYTES_MAX) idle = out;
  return bytes;
}

function writeValue(out: Bytes, value: unknown, depth: number): void {
  if (typeof value === "string") return out.text(0x0a, value, VALUE_BYTES_MAX);
  if (typeof value === "boolean") {
    out.byte(0x10);
    return out.byte(value ? 1 : 0);
  }
  if (typeof value === "number") return writeNumber(out, value);
  if (typeof value === "bigint" && value >= -(2n ** 63n) && value < 2n ** 63n) {
    out.byte(0x18);
    return out.varint64(Number(BigInt.asUintN(64, value) >> 32n), Number(value & 0xffff_ffffn));
  }
  if (!writeComposite(out, value, depth)) out.text(0x0a, textOf(value), VALUE_BYTES_MAX);
}

function writeNumber(out: Bytes, value: number): void {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    out.byte(0x18);
    out.integer(value);
  } else {
    out.byte(0x21);
    out.double(value);
  }
}

/** Bytes, lists and plain objects. False for everything else and for what is nested too deep. */
function writeComposite(out: Bytes, value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null || depth >= VALUE_DEPTH_MAX) return false;
  const start = out.at;
  try {
    if (value instanceof Uint8Array) out.field(0x3a, value.subarray(0, VALUE_BYTES_MAX));
    else if (Array.isArray(value) || value instanceof Set) writeList(out, value, depth);
    else {
      const entries = entriesOf(value);
      if (entries === undefined) return false;
      out.nested(0x32, () => writePairs(out, 0x0a, entries, ARENA_BYTES_MAX, depth + 1));
    }
    return true;
  } catch {
    // A getter or an iterator of the program's threw: the value becomes its text instead.
    out.at = start;
    return false;
  }
}

function writeList(out: Bytes, items: Iterable<unknown>, depth: number): void {
  out.nested(0x2a, () => {
    const start = out.at;
    let count = 0;
    for (const item of items) {
      if (count++ >= VALUE_ITEMS_MAX || out.at - start > ARENA_BYTES_MAX) break;
      out.nested(0x0a, () => {
        if (item !== null && item !== undefined) writeValue(out, item, depth + 1);
      });
    }
  });
}

/** Entries of a plain object or a Map; undefined for instances of classes, which become text. */
function entriesOf(value: object): [string, unknown][] | undefined {
  if (value instanceof Map) return [...value].map(([key, item]) => [textOf(key), item]);
  const prototype: unknown = Object.getPrototypeOf(value);
  const plain = prototype === Object.prototype || prototype === null;
  return plain ? Object.entries(value) : undefined;
}

/** Writes entries as KeyValue fields with `tag`, up to about `most` bytes. */
function writePairs(
  out: Bytes,
  tag: number,
  entries: readonly [string, unknown][],
  most: number,
  depth: number,
): void {
  const start = out.at;
  for (const [key, value] of entries.slice(0, VALUE_ITEMS_MAX)) {
    if (out.at - start > most) break;
    if (value === undefined || value === null) continue;
    out.nested(tag, () => writeKeyValue(out, key, value, depth));
  }
}

/** The content of a KeyValue. */
export function writeKeyValue(out: Bytes, key: string, value: unknown, depth = 0): void {
  out.text(0x0a, key.slice(0, KEY_CHARS_MAX), NAME_BYTES_MAX);
  out.nested(0x12, () => writeValue(out, value, depth));
}

/** Text of anything. String() runs foreign code, which may throw or return garbage. */
export function textOf(value: unknown): string {
  try {
    if (value instanceof Date) return value.toISOString();
    return String(value);
  } catch {
    return `<${typeof value}>`;
  }
}

/** Field 11 of Span. `time` is epoch nanoseconds in two halves. */
export function encodeEvent(
  name: string,
  time: readonly [high: number, low: number],
  attributes: Entries,
): Uint8Array {
  return encoded((out) => {
    out.nested(0x5a, () => {
      out.byte(0x09);
      out.fixed64(time[0], time[1]);
      out.text(0x12, name, NAME_BYTES_MAX);
      writePairs(out, 0x1a, entriesSafely(attributes), ARENA_BYTES_MAX / 4, 0);
    });
  });
}

/** Field 13 of Span. Ids are hex of the right length. */
export function encodeLink(
  traceId: string,
  spanId: string,
  traceState: string,
  attributes: Entries,
): Uint8Array {
  return encoded((out) => {
    out.nested(0x6a, () => {
      out.field(0x0a, Buffer.from(traceId, "hex"));
      out.field(0x12, Buffer.from(spanId, "hex"));
      if (traceState !== "") out.text(0x1a, traceState, TRACE_STATE_CHARS_MAX);
      writePairs(out, 0x22, entriesSafely(attributes), ARENA_BYTES_MAX / 4, 0);
    });
  });
}

/** Field 3 of Span. */
export function encodeTraceState(traceState: string): Uint8Array {
  return encoded((out) => out.text(0x1a, traceState, TRACE_STATE_CHARS_MAX));
}

function entriesSafely(attributes: Entries): [string, unknown][] {
  try {
    return Object.entries(attributes ?? {});
  } catch {
    // A proxy or a getter of the program's threw: the event goes without them.
    return [];
  }
}
