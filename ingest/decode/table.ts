/**
 * A table that rows are written to, and the block that comes of them.
 *
 * A row is a handful of 32-bit words in one array: writing a span is some seventy stores side by
 * side, and undoing a request is setting a length. Columns come into being when a block is written.
 * What has no fixed width lies in memory of its own, and the row holds where it begins (text) or how
 * many elements it has (lists, maps).
 */
import type { BlockMemory } from "./block-memory.ts";
import { keptBytes, Texts, Words } from "./columns.ts";
import type { Heap } from "./heap.ts";
import { BlockWriter, nativeBlock, type NativeColumn } from "./native-block.ts";
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
  words: Uint32Array;
  /** The same memory: a pair of words at an even place can be a double. */
  doubles: Float64Array = new Float64Array(0);
  /** Words per row. */
  stride = 0;
  /** Texts of rows; a row's 0 is the empty one. */
  readonly texts: Texts;
  /** For the kernel: where rows are, how many, words there is room for. */
  readonly header: Uint32Array;
  private readonly heap: Heap;
  private readonly strings: Strings;
  private readonly held: (Words | Texts)[];
  private readonly declared: NativeColumn[] = [];
  /** Bytes of a row in a block, beside what is in `held`. */
  private rowBytes = 0;
  private markedRows = 0;
  private readonly ownFields: number;

  constructor(strings: Strings) {
    this.strings = strings;
    this.heap = strings.heap;
    this.header = this.heap.header((count) => this.reserve(count));
    this.words = this.heap.uint32(0);
    this.texts = new Texts(this.heap);
    this.held = [this.texts];
    this.texts.pushValid(nothing);
    this.ownFields = Object.keys(this).length;
  }

  /** Where the header is. */
  get at(): number {
    return this.header.byteOffset;
  }
  get rows(): number {
    return this.header[1] ?? 0;
  }
  set rows(rows: number) {
    this.header[1] = rows;
  }
  /** Begins a row, all zeros, and answers where its words are. */
  begin(): number {
    const { rows } = this;
    this.reserve(1);
    this.rows = rows + 1;
    const at = rows * this.stride;
    this.words.fill(0, at, at + this.stride);
    return at;
  }
  /** Makes room for `count` more rows. */
  reserve(count: number): void {
    const needed = (this.rows + count) * this.stride;
    if (needed <= this.words.length) return;
    // Rows of an even number of words keep doubles at even places.
    if (this.stride % 2 === 1) this.stride += 1;
    const words = Math.max(this.words.length * 2, needed + count, this.stride * firstRows);
    this.settle(this.heap.widened(this.words, words));
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
    this.rows = this.markedRows;
    for (const each of this.held) each.rollback();
  }
  clear(): void {
    if (this.words.byteLength > keptBytes) {
      this.heap.release(this.words.byteOffset, this.words.byteLength);
      this.settle(this.heap.uint32(0));
    }
    this.rows = 0;
    for (const each of this.held) each.clear();
    this.texts.pushValid(nothing);
  }
  heldBytes(): number {
    let sum = this.rows * this.stride * 4;
    for (const each of this.held) sum += each.heldBytes();
    return sum;
  }
  block(memory: BlockMemory): Uint8Array {
    let size = this.rows * this.rowBytes + this.declared.length * 512;
    for (const each of this.held) size += each.heldBytes();
    const out = new BlockWriter(this.heap, this.strings, size);
    return nativeBlock(this.columns, this.rows, out, memory);
  }

  /** The word where a number of so many bytes begins. */
  protected number(type: string, bytes: 1 | 2 | 4 | 8 | 16): number {
    const at = this.take(bytes > 4 ? bytes / 4 : 1);
    return this.column(at, type, bytes, (out) => out.numbers(this, at, bytes));
  }
  /** A 64-bit integer kept as a double. */
  protected integer(type: string): number {
    const at = this.takeDouble();
    return this.column(at, type, 8, (out) => out.integers(this, at));
  }
  /** An integer kept as a double; NaN is NULL. */
  protected nullable(type: "UInt64" | "UInt32"): number {
    const at = this.takeDouble();
    const bytes = type === "UInt64" ? 8 : 4;
    return this.column(at, `Nullable(${type})`, 1 + bytes, (out) => out.nullable(this, at, bytes));
  }
  /** The number of an interned string. */
  protected label(): number {
    const at = this.take(1);
    return this.column(at, labelType, 1, (out) => {
      out.u64(versionOfLabels);
      out.labels(this, at);
    });
  }
  /** Where the text begins in `texts`. */
  protected text(): number {
    const at = this.take(1);
    return this.column(at, "String", 1, (out) => out.texts(this, at, this.texts));
  }
  protected list(type: string, bytes: 1 | 8 | 16): List<Words> {
    const list = { at: this.take(1), items: this.hold(new Words(this.heap)) };
    return this.column(list, `Array(${type})`, 8, (out) => {
      out.ends(this, list.at, list.items.length);
      out.elements(list.items, bytes);
    });
  }
  protected labelList(): List<Words> {
    const list = { at: this.take(1), items: this.hold(new Words(this.heap)) };
    return this.column(list, `Array(${labelType})`, 8, (out) => {
      out.u64(versionOfLabels);
      out.ends(this, list.at, list.items.length);
      out.labelElements(list.items);
    });
  }
  protected textList(): List<Texts> {
    const list = { at: this.take(1), items: this.hold(new Texts(this.heap)) };
    return this.column(list, "Array(String)", 8, (out) => {
      out.ends(this, list.at, list.items.length);
      out.textElements(list.items);
    });
  }
  protected textMap(): Pairs<Texts> {
    return this.pairs("String", new Texts(this.heap), (out, values) => out.textElements(values));
  }
  protected map(type: "Int64" | "Float64" | "Bool"): Pairs<Words> {
    return this.pairs(type, new Words(this.heap), (out, values) =>
      out.elements(values, type === "Bool" ? 1 : 8),
    );
  }

  private pairs<T extends Words | Texts>(
    type: string,
    values: T,
    write: (out: BlockWriter, values: T) => void,
  ): Pairs<T> {
    const map = {
      at: this.take(1),
      keys: this.hold(new Words(this.heap)),
      values: this.hold(values),
    };
    return this.column(map, `Map(${labelType}, ${type})`, 8, (out) => {
      out.u64(versionOfLabels);
      out.ends(this, map.at, map.keys.length);
      out.labelElements(map.keys);
      write(out, values);
    });
  }
  private column<T>(
    where: T,
    type: string,
    rowBytes: number,
    write: (out: BlockWriter) => void,
  ): T {
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
  private settle(words: Uint32Array): void {
    this.words = words;
    this.doubles = new Float64Array(words.buffer, words.byteOffset, words.length >> 1);
    this.header[0] = words.byteOffset;
    this.header[2] = words.length;
  }
}

const firstRows = 64;
const nothing = new Uint8Array(0);
