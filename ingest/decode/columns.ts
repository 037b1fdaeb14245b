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
  /** The value of row `row`; rows that are left out have the value before them. */
  set(row: number, value: number): void {
    if (this.length !== 0 && this.values[this.length - 1] === value) return;
    this.fill(row);
    this.push(value);
  }
  fill(rows: number): void {
    if (this.length < rows) this.repeat(rows, this.values[this.length - 1] ?? 0);
  }
  /** Appends `value` up to row `rows`. */
  repeat(rows: number, value: number): void {
    while (this.values.length < rows) this.values = grown(this.values, Uint8Array);
    this.values.fill(value, this.length, rows);
    this.length = rows;
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
  /** The value of row `row`; rows that are left out have the value before them. */
  set(row: number, value: number): void {
    if (this.length !== 0 && this.values[this.length - 1] === value) return;
    this.fill(row);
    this.push(value);
  }
  fill(rows: number): void {
    if (this.length < rows) this.repeat(rows, this.values[this.length - 1] ?? 0);
  }
  /** Appends `value` up to row `rows`. */
  repeat(rows: number, value: number): void {
    while (this.values.length < rows) this.values = grown(this.values, Uint16Array);
    this.values.fill(value, this.length, rows);
    this.length = rows;
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
  private readonly width: number;

  constructor(type: string, width: 1 | 2 | 4 = 2) {
    this.type = type;
    this.width = width;
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
  /** The value of row `row`; rows that are left out have the value before them. */
  set1(row: number, a: number): void {
    if (this.length !== 0 && this.words[this.length - 1] === a) return;
    this.fill(row);
    this.push1(a);
  }
  set2(row: number, a: number, b: number): void {
    const { words, length } = this;
    if (length !== 0 && words[length - 2] === a && words[length - 1] === b) return;
    this.fill(row);
    this.push2(a, b);
  }
  setNumber(row: number, value: number): void {
    const high = Math.floor(value / 2 ** 32);
    this.set2(row, value - high * 2 ** 32, high);
  }
  fill(rows: number): void {
    const { width } = this;
    const end = rows * width;
    if (this.length >= end) return;
    while (this.words.length < end) this.words = grown(this.words, Uint32Array);
    // Nothing before it: rows of zero.
    const before = this.length - width;
    for (let i = this.length; i < end; i += 1) {
      this.words[i] = before < 0 ? 0 : (this.words[i - width] ?? 0);
    }
    this.length = end;
  }
  /** Appends zeros up to row `rows`. */
  zeros(rows: number): void {
    const end = rows * this.width;
    while (this.words.length < end) this.words = grown(this.words, Uint32Array);
    this.words.fill(0, this.length, end);
    this.length = end;
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
    this.values = new WordColumn(type, type === "UInt64" ? 2 : 1);
  }
  /** The value of row `row`; rows that are left out are NULL. */
  set(row: number, value: number): void {
    if (Number.isNaN(value)) return;
    this.fill(row);
    this.nulls.push(0);
    if (this.wide) this.values.pushNumber(value);
    else this.values.push1(value);
  }
  fill(rows: number): void {
    if (this.nulls.length >= rows) return;
    this.nulls.repeat(rows, 1);
    this.values.zeros(rows);
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

  /**
   * Appends text that has its one-byte length before it, as protobuf and ClickHouse both write it.
   * Answers false, with nothing appended, where the text is no UTF-8.
   */
  pushPrefixed(from: Uint8Array, view: DataView, offset: number, length: number): boolean {
    if (this.length + length > this.bytes.length) this.grow(length);
    const plain = copyText(from, view, offset, length, this.bytes, this.view, this.length);
    if (!plain && !isValid(from, offset + 1, length - 1)) return false;
    this.length += length;
    return true;
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
  fill(): void {
    // Every row is pushed: text hardly ever repeats.
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
