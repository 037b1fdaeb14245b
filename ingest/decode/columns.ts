/**
 * Column builders of fixed width, nullable numbers and strings: typed arrays that grow, in the
 * layout that the Native format wants, so that writing a block is copying.
 *
 * 64-bit values are two 32-bit words (low, high): BigInt views cost three to seven times as much.
 */
import type { ByteWriter, Column } from "./native.ts";
import { copyText, cutLength, isValid, lengthPrefixBytes, repaired } from "./text.ts";

const firstRows = 64;

/** UInt8, Bool, Enum8. */
export class ByteColumn implements Column {
  readonly type: string;
  values = new Uint8Array(firstRows);
  length = 0;
  private marked = 0;

  constructor(type: string) {
    this.type = type;
  }
  push(value: number): void {
    if (this.length === this.values.length) this.values = grown(this.values, Uint8Array);
    this.values[this.length++] = value;
  }
  heldBytes(): number {
    return this.length;
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
  }
  prefix(): void {
    // Nothing is kept once a block.
  }
  data(out: ByteWriter): void {
    out.append(this.values.subarray(0, this.length));
  }
}

/** UInt16, Date. */
export class ShortColumn implements Column {
  readonly type: string;
  values = new Uint16Array(firstRows);
  length = 0;
  private marked = 0;

  constructor(type: string) {
    this.type = type;
  }
  push(value: number): void {
    if (this.length === this.values.length) this.values = grown(this.values, Uint16Array);
    this.values[this.length++] = value;
  }
  heldBytes(): number {
    return this.length * 2;
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
  }
  prefix(): void {
    // Nothing is kept once a block.
  }
  data(out: ByteWriter): void {
    out.appendArray(this.values.subarray(0, this.length));
  }
}

/** Values of one or more 32-bit words: UInt32, DateTime, UInt64, Int64, Float64, DateTime64, FixedString(8 | 16). */
export class WordColumn implements Column {
  readonly type: string;
  words = new Uint32Array(firstRows);
  /** In words, not rows. */
  length = 0;
  private marked = 0;

  constructor(type: string) {
    this.type = type;
  }
  push1(a: number): void {
    if (this.length === this.words.length) this.words = grown(this.words, Uint32Array);
    this.words[this.length++] = a;
  }
  push2(a: number, b: number): void {
    const at = this.length;
    if (at + 2 > this.words.length) this.words = grown(this.words, Uint32Array);
    this.words[at] = a;
    this.words[at + 1] = b;
    this.length = at + 2;
  }
  push4(a: number, b: number, c: number, d: number): void {
    this.push2(a, b);
    this.push2(c, d);
  }
  /** A non-negative integer that fits a double, as UInt64. */
  pushNumber(value: number): void {
    const high = Math.floor(value / 2 ** 32);
    this.push2(value - high * 2 ** 32, high);
  }
  heldBytes(): number {
    return this.length * 4;
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
  }
  prefix(): void {
    // Nothing is kept once a block.
  }
  data(out: ByteWriter): void {
    out.appendArray(this.words.subarray(0, this.length));
  }
}

/** Nullable(UInt64) and Nullable(UInt32); NaN is NULL. */
export class NullableColumn implements Column {
  readonly type: string;
  private readonly nulls = new ByteColumn("UInt8");
  private readonly values: WordColumn;
  private readonly wide: boolean;

  constructor(type: "UInt64" | "UInt32") {
    this.type = `Nullable(${type})`;
    this.wide = type === "UInt64";
    this.values = new WordColumn(type);
  }
  push(value: number): void {
    const isNull = Number.isNaN(value);
    this.nulls.push(isNull ? 1 : 0);
    if (!this.wide) this.values.push1(isNull ? 0 : value);
    else if (isNull) this.values.push2(0, 0);
    else this.values.pushNumber(value);
  }
  heldBytes(): number {
    return this.nulls.heldBytes() + this.values.heldBytes();
  }
  mark(): void {
    this.nulls.mark();
    this.values.mark();
  }
  rollback(): void {
    this.nulls.rollback();
    this.values.rollback();
  }
  clear(): void {
    this.nulls.clear();
    this.values.clear();
  }
  prefix(): void {
    // Nothing is kept once a block.
  }
  data(out: ByteWriter): void {
    this.nulls.data(out);
    this.values.data(out);
  }
}

/** What pushing text had to do to it. */
export const textAsIs = 0;
export const textCut = 1;
export const textRepaired = 2;

/** String: each value with its LEB128 length, as on the wire of protobuf. */
export class TextColumn implements Column {
  readonly type = "String";
  bytes = new Uint8Array(1024);
  view = new DataView(this.bytes.buffer);
  length = 0;
  private marked = 0;

  /** Appends text, cut at `most` bytes and made valid UTF-8; answers what that took, as bits. */
  push(from: Uint8Array, view: DataView, offset: number, length: number, most: number): number {
    let did = textAsIs;
    let size = length;
    if (size > most) {
      did = textCut;
      size = cutLength(from, offset, most);
    }
    const start = this.length;
    this.open(size);
    if (copyText(from, view, offset, size, this.bytes, this.view, this.length)) {
      this.length += size;
      return did;
    }
    if (isValid(from, offset, size)) {
      this.length += size;
      return did;
    }
    this.length = start;
    this.pushValid(repaired(from, offset, size));
    return did | textRepaired;
  }

  /** Appends bytes that are known to be UTF-8. */
  pushValid(bytes: Uint8Array): void {
    this.open(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** Appends a part of `from` that is known to be UTF-8. */
  pushRange(from: Uint8Array, view: DataView, offset: number, length: number): void {
    this.open(length);
    copyText(from, view, offset, length, this.bytes, this.view, this.length);
    this.length += length;
  }

  pushEmpty(): void {
    this.open(0);
  }

  /** Makes room and writes the length. */
  private open(size: number): void {
    if (this.length + size + 8 > this.bytes.length) this.grow(size + 8);
    let rest = size;
    for (; rest >= 0x80; rest >>>= 7) this.bytes[this.length++] = (rest & 0x7f) | 0x80;
    this.bytes[this.length++] = rest;
  }
  private grow(need: number): void {
    const bytes = new Uint8Array(Math.max(this.bytes.length * 2, this.length + need));
    bytes.set(this.bytes.subarray(0, this.length));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
  heldBytes(): number {
    return this.length;
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
    if (this.bytes.length > keptTextBytes) this.grow0();
  }
  private grow0(): void {
    this.bytes = new Uint8Array(1024);
    this.view = new DataView(this.bytes.buffer);
  }
  prefix(): void {
    // Nothing is kept once a block.
  }
  data(out: ByteWriter): void {
    out.append(this.bytes.subarray(0, this.length));
  }
}

/** A cleared column gives larger buffers back: one giant prompt shall not be held for ever. */
const keptTextBytes = 4 * 1024 * 1024;

export function textBytes(length: number): number {
  return lengthPrefixBytes(length) + length;
}

interface Growable {
  readonly length: number;
}
function grown<T extends Growable & { set(from: T): void }>(
  old: T,
  make: new (length: number) => T,
): T {
  const wide = new make(old.length * 2);
  wide.set(old);
  return wide;
}
