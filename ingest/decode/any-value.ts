/**
 * Attribute values as JSON text, written straight from wire bytes: arrays, key-value lists and bytes
 * of span attributes, and all attributes of resources, events and links.
 *
 * Integers beyond 2^53 are written as JSON numbers in full, NaN and infinities as strings, bytes as
 * base64. Keys that hold content follow the capture setting here as well, at every depth.
 */
import * as limits from "./limits.ts";
import { isContentRole } from "./key-roles.ts";
import { ByteWriter } from "./native.ts";
import type { Strings } from "./strings.ts";
import { countCharacters, cutLength, isValid, repaired } from "./text.ts";
import { keyTag, valueOfKeyTag, type Wire } from "./wire.ts";

export type Capture = "None" | "Redacted" | "Full";

/** Fields of AnyValue as tags (field << 3 | wire type). */
export const valueTag = {
  string: 0x0a,
  bool: 0x10,
  int: 0x18,
  double: 0x21,
  array: 0x2a,
  keyValues: 0x32,
  bytes: 0x3a,
} as const;

const encoder = new TextEncoder();
const hex = encoder.encode("0123456789abcdef");
const quote = 0x22;
const backslash = 0x5c;
/** What follows the backslash, by the byte that it stands for. */
const shortEscapes = new Uint8Array(256);
for (const [letter, byte] of [
  ["b", 0x08],
  ["t", 0x09],
  ["n", 0x0a],
  ["f", 0x0c],
  ["r", 0x0d],
  ['"', quote],
  ["\\", backslash],
] as const) {
  shortEscapes[byte] = letter.charCodeAt(0);
}

export class JsonText {
  readonly out = new ByteWriter(4096);
  /** Marks that writing gave rise to; the caller resets and reads them. */
  marks = 0;
  capture: Capture = "Full";
  /** Every attribute of the object being written is content (`contentEvents`). */
  allContent = false;
  private readonly wire: Wire;
  private readonly strings: Strings;

  constructor(wire: Wire, strings: Strings) {
    this.wire = wire;
    this.strings = strings;
  }

  reset(): void {
    this.out.length = 0;
    this.allContent = false;
  }

  /** One value in `[offset, end)`; several fields of the union: the last one counts. */
  value(offset: number, end: number, depth: number): void {
    const { wire, out } = this;
    const at = out.length;
    if (at > limits.jsonBytes) {
      this.marks |= limits.marks.truncated;
      this.ascii("null");
      return;
    }
    wire.pos = offset;
    let written = false;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      const before = out.length;
      if (!this.field(tag, end, depth)) continue;
      if (written) {
        out.bytes.copyWithin(at, before, out.length);
        out.length = at + (out.length - before);
      }
      written = true;
    }
    if (!written) this.ascii("null");
  }

  /** Writes what a tag of AnyValue announces; false where it is unknown and was skipped. */
  private field(tag: number, end: number, depth: number): boolean {
    const { wire } = this;
    switch (tag) {
      case valueTag.string:
        wire.block(end);
        this.cutString(wire.start, wire.end);
        return true;
      case valueTag.bool:
        wire.varint64(end);
        this.ascii(wire.lo !== 0 || wire.hi !== 0 ? "true" : "false");
        return true;
      case valueTag.int:
        wire.varint64(end);
        this.ascii(integerText(wire.lo, wire.hi));
        return true;
      case valueTag.double:
        wire.fixed64(end);
        this.double(wire.view.getFloat64(wire.pos - 8, true));
        return true;
      case valueTag.array:
      case valueTag.keyValues:
        wire.block(end);
        this.nested(tag, wire.start, wire.end, depth);
        return true;
      case valueTag.bytes:
        wire.block(end);
        this.base64(wire.start, wire.end);
        return true;
      default:
        wire.skip(tag, end);
        return false;
    }
  }

  private nested(tag: number, start: number, end: number, depth: number): void {
    if (depth >= limits.nesting) {
      this.marks |= limits.marks.truncated;
      this.ascii("null");
    } else if (tag === valueTag.array) this.array(start, end, depth);
    else this.object(start, end, 0x0a, depth + 1);
    this.wire.pos = end;
  }

  private array(start: number, end: number, depth: number): void {
    const { wire, out } = this;
    wire.pos = start;
    out.byte(0x5b);
    let first = true;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag !== 0x0a) {
        wire.skip(tag, end);
        continue;
      }
      wire.block(end);
      const next = wire.end;
      if (!first) out.byte(0x2c);
      first = false;
      this.value(wire.start, next, depth + 1);
      wire.pos = next;
    }
    out.byte(0x5d);
  }

  /** The KeyValue fields with `tag` of the message in `[start, end)` as one JSON object. */
  object(start: number, end: number, tag: number, depth: number): void {
    const { wire, out } = this;
    wire.pos = start;
    out.byte(0x7b);
    let first = true;
    while (wire.pos < end) {
      const found = wire.tag(end);
      if (found !== tag) {
        wire.skip(found, end);
        continue;
      }
      wire.block(end);
      const next = wire.end;
      first = this.member(wire.start, next, first, depth);
      wire.pos = next;
    }
    out.byte(0x7d);
  }

  /** One `"key":value`; answers whether the object is still empty. */
  private member(start: number, end: number, first: boolean, depth: number): boolean {
    const { wire, out } = this;
    let keyStart = 0;
    let keyEnd = 0;
    let valueStart = end;
    let valueEnd = end;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag === keyTag || tag === valueOfKeyTag) wire.block(end);
      else wire.skip(tag, end);
      if (tag === keyTag) {
        keyStart = wire.start;
        keyEnd = wire.end;
      } else if (tag === valueOfKeyTag) {
        valueStart = wire.start;
        valueEnd = wire.end;
      }
    }
    const content = this.allContent || this.isContent(keyStart, keyEnd);
    if (content && this.capture === "None") {
      this.marks |= limits.marks.contentDropped;
      return first;
    }
    if (!first) out.byte(0x2c);
    this.string(keyStart, Math.min(keyEnd, keyStart + limits.keyBytes));
    out.byte(0x3a);
    if (content && this.capture === "Redacted") this.redacted(valueStart, valueEnd);
    else this.value(valueStart, valueEnd, depth);
    return false;
  }

  private isContent(start: number, end: number): boolean {
    const { bytes, view } = this.wire;
    const length = Math.min(end - start, limits.keyBytes);
    return isContentRole(this.strings.role(this.strings.intern(bytes, view, start, length)));
  }

  private redacted(start: number, end: number): void {
    this.marks |= limits.marks.contentRedacted;
    this.ascii(`"${redaction(this.wire, start, end)}"`);
  }

  private base64(start: number, end: number): void {
    const length = Math.min(end - start, limits.attributeBytes);
    if (length < end - start) this.marks |= limits.marks.truncated;
    const { bytes } = this.wire;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString("base64");
    this.ascii(`"${text}"`);
  }

  private cutString(start: number, end: number): void {
    if (end - start <= limits.attributeBytes) {
      this.string(start, end);
      return;
    }
    this.marks |= limits.marks.truncated;
    this.string(start, start + cutLength(this.wire.bytes, start, limits.attributeBytes));
  }

  string(start: number, end: number): void {
    const { out, wire } = this;
    const before = out.length;
    if (this.escaped(wire.bytes, start, end) || isValid(wire.bytes, start, end - start)) return;
    out.length = before;
    this.marks |= limits.marks.invalidUtf8;
    const text = repaired(wire.bytes, start, end - start);
    this.escaped(text, 0, text.length);
  }

  /** Writes a JSON string; answers whether every byte was ASCII. */
  private escaped(bytes: Uint8Array, start: number, end: number): boolean {
    const { out } = this;
    let seen = 0;
    out.reserve((end - start) * 6 + 2);
    const target = out.bytes;
    let at = out.length;
    target[at++] = quote;
    for (let i = start; i < end; i += 1) {
      const byte = bytes[i] ?? 0;
      seen |= byte;
      const short = shortEscapes[byte] ?? 0;
      if (short !== 0) {
        target[at++] = backslash;
        target[at++] = short;
      } else if (byte >= 0x20) target[at++] = byte;
      else {
        target.set([backslash, 0x75, 0x30, 0x30, hex[byte >> 4] ?? 0, hex[byte & 15] ?? 0], at);
        at += 6;
      }
    }
    target[at++] = quote;
    out.length = at;
    return (seen & 0x80) === 0;
  }

  private double(value: number): void {
    if (Number.isFinite(value)) this.ascii(Object.is(value, -0) ? "-0" : String(value));
    else this.ascii(`"${value}"`);
  }

  ascii(text: string): void {
    const { out } = this;
    out.reserve(text.length);
    for (let i = 0; i < text.length; i += 1) out.bytes[out.length++] = text.charCodeAt(i);
  }
}

/** What stands for a redacted value: the length of its text, where it is text. */
export function redaction(wire: Wire, start: number, end: number): string {
  wire.pos = start;
  let text = "[redacted]";
  while (wire.pos < end) {
    const tag = wire.tag(end);
    if (tag !== valueTag.string) {
      wire.skip(tag, end);
      continue;
    }
    wire.block(end);
    text = `[redacted ${countCharacters(wire.bytes, wire.start, wire.end - wire.start)} chars]`;
  }
  return text;
}

/** A signed 64-bit integer in decimal. */
export function integerText(lo: number, hi: number): string {
  const signed = (hi | 0) * 2 ** 32 + lo;
  if (Number.isSafeInteger(signed)) return String(signed);
  return String(BigInt.asIntN(64, (BigInt(hi) << 32n) | BigInt(lo)));
}
