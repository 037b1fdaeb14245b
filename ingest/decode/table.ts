/**
 * A table that rows are written to, and the block that comes of them.
 *
 * A row is a handful of 32-bit words in one array: writing a span is some seventy stores side by
 * side, and undoing a request is setting a length. Columns come into being when a block is written.
 * What has no fixed width lies in memory of its own, and the row holds where it begins (text) or how
 * many elements it has (lists, maps).
 */
import { keptBytes, Texts, Words } from "./columns.ts";
import {
  nativeBlock,
  writeElements,
  writeEnds,
  writeIntegers,
  writeLabels,
  writeNullable,
  writeNumbers,
  writeTexts,
  type ByteWriter,
  type NativeColumn,
} from "./native.ts";
import type { Strings } from "./strings.ts";

/** A list column: `at` is the word of a row that counts its elements. */
export interface List<T> {
  readonly at: number;
  readonly items: T;
}
/** A map column: the same, of interned strings and values. */
export interface Pairs<T> {
  readonly at: number;
  readonly keys: Words;
  readonly values: T;
}

const labelType = "LowCardinality(String)";
const versionOfLabels = 1;

/** Behaviour that all tables share; subclasses declare their columns as fields, in order. */
export class Table {
  rows = 0;
  words = new Uint32Array(0);
  /** The same memory: a pair of words at an even place can be a double. */
  doubles = new Float64Array(0);
  /** Words per row. */
  stride = 0;
  /** Texts of rows; a row's 0 is the empty one. */
  readonly texts = new Texts();
  private readonly strings: Strings;
  private readonly held: (Words | Texts)[] = [this.texts];
  private readonly declared: NativeColumn[] = [];
  /** Bytes of a row in a block, beside what is in `held`. */
  private rowBytes = 0;
  private markedRows = 0;
  private readonly ownFields: number;

  constructor(strings: Strings) {
    this.strings = strings;
    this.texts.pushValid(nothing);
    this.ownFields = Object.keys(this).length;
  }

  /** Begins a row, all zeros, and answers where its words are. */
  begin(): number {
    if ((this.rows + 1) * this.stride > this.words.length) this.grow();
    this.rows += 1;
    return (this.rows - 1) * this.stride;
  }
  get columns(): readonly (readonly [name: string, column: NativeColumn])[] {
    const names = Object.keys(this).slice(this.ownFields);
    return this.declared.map((column, i) => [names[i] ?? "", column] as const);
  }
  mark(): void {
    this.markedRows = this.rows;
    for (const each of this.held) each.mark();
  }
  rollback(): void {
    this.words.fill(0, this.markedRows * this.stride, this.rows * this.stride);
    this.rows = this.markedRows;
    for (const each of this.held) each.rollback();
  }
  clear(): void {
    if (this.words.byteLength > keptBytes) this.words = new Uint32Array(0);
    else this.words.fill(0, 0, this.rows * this.stride);
    this.rows = 0;
    for (const each of this.held) each.clear();
    this.texts.pushValid(nothing);
  }
  heldBytes(): number {
    let sum = this.rows * this.stride * 4;
    for (const each of this.held) sum += each.heldBytes();
    return sum;
  }
  block(): Uint8Array {
    let size = this.rows * this.rowBytes + this.declared.length * 512;
    for (const each of this.held) size += each.heldBytes();
    return nativeBlock(this.columns, this, size);
  }

  /** The word where a number of so many bytes begins. */
  protected number(type: string, bytes: 1 | 2 | 4 | 8 | 16): number {
    const at = this.take(bytes > 4 ? bytes / 4 : 1);
    return this.column(at, type, bytes, (out) => writeNumbers(out, this, at, bytes));
  }
  /** A 64-bit integer kept as a double. */
  protected integer(type: string): number {
    const at = this.takeDouble();
    return this.column(at, type, 8, (out) => writeIntegers(out, this, at, 8));
  }
  /** An integer kept as a double; NaN is NULL. */
  protected nullable(type: "UInt64" | "UInt32"): number {
    const at = this.takeDouble();
    const bytes = type === "UInt64" ? 8 : 4;
    return this.column(at, `Nullable(${type})`, 1 + bytes, (out) => {
      writeNullable(out, this, at, bytes);
    });
  }
  /** The number of an interned string. */
  protected label(): number {
    const at = this.take(1);
    return this.column(at, labelType, 1, (out) => {
      out.u64(versionOfLabels);
      writeLabels(out, this.strings, this.words, { at, stride: this.stride, count: this.rows });
    });
  }
  /** Where the text begins in `texts`. */
  protected text(): number {
    const at = this.take(1);
    return this.column(at, "String", 1, (out) => writeTexts(out, this, at, this.texts));
  }
  protected list(type: string, bytes: 1 | 8 | 16): List<Words> {
    const list = { at: this.take(1), items: this.hold(new Words()) };
    return this.column(list, `Array(${type})`, 8, (out) => {
      writeEnds(out, this, list.at, list.items.length);
      writeElements(out, list.items, bytes);
    });
  }
  protected labelList(): List<Words> {
    const list = { at: this.take(1), items: this.hold(new Words()) };
    return this.column(list, `Array(${labelType})`, 8, (out) => {
      out.u64(versionOfLabels);
      writeEnds(out, this, list.at, list.items.length);
      this.writeLabelItems(out, list.items);
    });
  }
  protected textList(): List<Texts> {
    const list = { at: this.take(1), items: this.hold(new Texts()) };
    return this.column(list, "Array(String)", 8, (out) => {
      writeEnds(out, this, list.at, list.items.length);
      out.append(list.items.bytes.subarray(0, list.items.length));
    });
  }
  protected map<T extends Words | Texts>(type: string, values: T): Pairs<T> {
    const map = { at: this.take(1), keys: this.hold(new Words()), values: this.hold(values) };
    return this.column(map, `Map(${labelType}, ${type})`, 8, (out) => {
      out.u64(versionOfLabels);
      writeEnds(out, this, map.at, map.keys.length);
      this.writeLabelItems(out, map.keys);
      if (values instanceof Texts) out.append(values.bytes.subarray(0, values.length));
      else writeElements(out, values, type === "Bool" ? 1 : 8);
    });
  }

  private writeLabelItems(out: ByteWriter, items: Words): void {
    writeLabels(out, this.strings, items.words, { at: 0, stride: 1, count: items.length });
  }
  private column<T>(where: T, type: string, rowBytes: number, write: (out: ByteWriter) => void): T {
    this.rowBytes += rowBytes;
    this.declared.push({ type, write });
    return where;
  }
  private hold<T extends Words | Texts>(memory: T): T {
    this.held.push(memory);
    return memory;
  }
  private take(words: number): number {
    this.stride += words;
    return this.stride - words;
  }
  private takeDouble(): number {
    if (this.stride % 2 === 1) this.stride += 1;
    return this.take(2);
  }
  private grow(): void {
    // Rows of an even number of words keep doubles at even places.
    if (this.stride % 2 === 1) this.stride += 1;
    const wide = new Uint32Array(Math.max(this.words.length * 2, this.stride * firstRows));
    wide.set(this.words);
    this.words = wide;
    this.doubles = new Float64Array(wide.buffer);
  }
}

const firstRows = 64;
const nothing = new Uint8Array(0);
