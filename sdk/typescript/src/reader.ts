/**
 * The consumer's side of the ring: reads records out of shared memory and writes them as OTLP spans.
 * Runs in the exporter's thread, so that the program's event loop never encodes. Trusts the layout
 * (the producer is ours) but never reads past what was published.
 */
import { Bytes } from "./bytes.ts";
import { nanosOfEpochMs, type EpochClock } from "./clock.ts";
import {
  Control,
  CONTROL_BYTES,
  Flag,
  Head,
  HEAD_BYTES,
  NONE,
  padded,
  RecordType,
  ValueType,
} from "./layout.ts";

const empty = new Uint8Array();

/** Finished spans of one scope, as `spans` fields of OTLP's ScopeSpans. */
export interface ScopeBatch {
  readonly name: string;
  readonly version: string;
  readonly spans: Uint8Array;
}

export interface Batch {
  readonly count: number;
  readonly scopes: readonly ScopeBatch[];
}

export interface Reader {
  /** Takes finished spans out, oldest first, up to either limit. */
  drain(spansMax: number, bytesMax: number): Batch;
}

export function createReader(memory: SharedArrayBuffer, epoch: EpochClock): Reader {
  const control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  const bytes = Buffer.from(memory, CONTROL_BYTES);
  const words = new Uint32Array(memory, CONTROL_BYTES);
  const mask = bytes.length - 1;
  const texts: Uint8Array[] = [];
  const encode = createSpanEncoder(memory, texts, epoch);
  let tail = Atomics.load(control, Control.TAIL) >>> 0;

  const take = (at: number, out: Map<number, Bytes>): boolean => {
    const word = at >>> 2;
    const type = (words[word + Head.TYPE] ?? 0) & 0xff;
    if (type === RecordType.DEFINITION) {
      const size = words[word + Head.SCOPE] ?? 0;
      texts[words[word + Head.NAME] ?? 0] = copyOf(bytes, at + 16, size);
    }
    if (type !== RecordType.SPAN) return false;
    const scope = words[word + Head.SCOPE] ?? 0;
    let spans = out.get(scope);
    if (spans === undefined) out.set(scope, (spans = new Bytes(1 << 16)));
    encode(spans, at);
    return true;
  };

  return {
    drain(spansMax, bytesMax) {
      epoch.refresh();
      const out = new Map<number, Bytes>();
      const head = Atomics.load(control, Control.HEAD) >>> 0;
      let count = 0;
      let size = 0;
      while (tail !== head && count < spansMax && size < bytesMax) {
        const at = tail & mask;
        const step = words[at >>> 2] ?? 0;
        if (step < 8 || step > bytes.length)
          throw new Error(`the ring has a record of ${step} bytes`);
        if (take(at, out)) {
          count += 1;
          // What a record becomes is a little smaller than the record.
          size += step;
        }
        tail = (tail + step) >>> 0;
      }
      Atomics.store(control, Control.TAIL, tail | 0);
      return { count, scopes: [...out].map(([number, spans]) => scopeBatch(texts[number], spans)) };
    },
  };
}

function scopeBatch(scope: Uint8Array | undefined, spans: Bytes): ScopeBatch {
  const [name = "", version = ""] =
    scope === undefined ? [] : Buffer.from(scope).toString().split("\u0000");
  return { name, version, spans: spans.written() };
}

/** Bytes out of shared memory, which Buffer's own methods refuse in places. */
function copyOf(from: Buffer, at: number, size: number): Uint8Array {
  const copy = new Uint8Array(size);
  copy.set(from.subarray(at, at + size));
  return copy;
}

type SpanEncoder = (out: Bytes, at: number) => void;

function createSpanEncoder(
  memory: SharedArrayBuffer,
  texts: readonly Uint8Array[],
  epoch: EpochClock,
): SpanEncoder {
  const bytes = Buffer.from(memory, CONTROL_BYTES);
  const words = new Uint32Array(memory, CONTROL_BYTES);
  const doubles = new Float64Array(memory, CONTROL_BYTES);
  const attribute = createAttributeEncoder(bytes, words, doubles, texts);

  const id = (out: Bytes, tag: number, word: number, count: number): void => {
    out.ensure(2 + 4 * count);
    out.buffer[out.at++] = tag;
    out.buffer[out.at++] = 4 * count;
    for (let i = 0; i < count; i++) {
      out.at = out.buffer.writeUInt32BE(words[word + i] ?? 0, out.at);
    }
  };
  const time = (out: Bytes, tag: number, word: number, absolute: boolean): void => {
    const ms = doubles[word >>> 1] ?? 0;
    const [high, low] = absolute ? nanosOfEpochMs(ms) : epoch.nanos(ms);
    out.byte(tag);
    out.fixed64(high, low);
  };
  const region = (out: Bytes, tag: number, at: number, size: number): void => {
    out.byte(tag);
    out.varint(size);
    out.raw(bytes.subarray(at, at + size));
  };

  const write = (out: Bytes, at: number): void => {
    const word = at >>> 2;
    const type = words[word + Head.TYPE] ?? 0;
    const flags = type >>> 24;
    id(out, 0x0a, word + Head.TRACE, 4);
    id(out, 0x12, word + Head.SPAN, 2);
    if ((flags & Flag.PARENT) !== 0) id(out, 0x22, word + Head.PARENT, 2);
    let next = at + HEAD_BYTES;
    const name = words[word + Head.NAME] ?? NONE;
    const nameSize = words[word + Head.NAME_SIZE] ?? 0;
    if (name === NONE) region(out, 0x2a, next, nameSize);
    else out.field(0x2a, texts[name] ?? empty);
    next += padded(nameSize);
    out.byte(0x30);
    out.byte((type >>> 8) & 0xff);
    time(out, 0x39, word + Head.START, (flags & Flag.ABSOLUTE) !== 0);
    time(out, 0x41, word + Head.END, (flags & Flag.ABSOLUTE) !== 0);
    const messageSize = words[word + Head.MESSAGE_SIZE] ?? 0;
    const message = next;
    next += padded(messageSize);
    const attributes = words[word + Head.ATTRIBUTES] ?? 0;
    for (let i = 0; i < attributes; i++) next = attribute(out, next);
    out.raw(bytes.subarray(next, next + (words[word + Head.EXTRA] ?? 0)));
    count(out, 0x50, words[word + Head.DROPPED_ATTRIBUTES] ?? 0);
    count(out, 0x60, words[word + Head.DROPPED_EVENTS] ?? 0);
    const status = (type >>> 16) & 0xff;
    if (status !== 0) {
      out.nested(0x7a, () => {
        if (messageSize > 0) region(out, 0x12, message, messageSize);
        out.byte(0x18);
        out.byte(status);
      });
    }
    // Field 16, fixed32: sampled, and whether the parent is known to be remote.
    out.byte(0x85);
    out.byte(0x01);
    out.fixed32((flags & Flag.REMOTE) !== 0 ? 0x301 : 0x101);
  };
  return (out, at) => out.nested(0x12, () => write(out, at));
}

function count(out: Bytes, tag: number, value: number): void {
  if (value === 0) return;
  out.byte(tag);
  out.varint(value);
}

/** Writes the attribute at `at` as field 9 of Span; where the next one is. */
function createAttributeEncoder(
  bytes: Buffer,
  words: Uint32Array,
  doubles: Float64Array,
  texts: readonly Uint8Array[],
): (out: Bytes, at: number) => number {
  const writeValue = (out: Bytes, at: number, type: number, size: number): void => {
    switch (type) {
      case ValueType.TRUE:
      case ValueType.FALSE:
        out.byte(0x10);
        return out.byte(type === ValueType.TRUE ? 1 : 0);
      case ValueType.INT:
        out.byte(0x18);
        return out.integer(doubles[at >>> 3] ?? 0);
      case ValueType.DOUBLE:
        out.byte(0x21);
        return out.double(doubles[at >>> 3] ?? 0);
      case ValueType.TEXT:
        return out.field(0x0a, bytes.subarray(at, at + size));
      default:
        return out.raw(bytes.subarray(at, at + size));
    }
  };
  return (out, at) => {
    const number = words[at >>> 2] ?? 0;
    const typed = words[(at >>> 2) + 1] ?? 0;
    const type = typed & 0xf;
    const size = type === ValueType.INT || type === ValueType.DOUBLE ? 8 : typed >>> 4;
    let next = at + 8;
    let key = texts[number];
    if (number === NONE) {
      const keySize = words[next >>> 2] ?? 0;
      key = bytes.subarray(next + 8, next + 8 + keySize);
      next += 8 + padded(keySize);
    }
    out.nested(0x4a, () => {
      out.field(0x0a, key ?? empty);
      out.nested(0x12, () => writeValue(out, next, type, size));
    });
    return next + padded(size);
  };
}
