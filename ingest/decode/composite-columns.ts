/**
 * Column builders made of others: LowCardinality dictionaries over interned strings, arrays, maps.
 *
 * A dictionary's positions are 8, 16 or 32 bits wide by its size, chosen when the block is written,
 * so there is no value at which it overflows.
 */
import type { ByteWriter, Column } from "./native.ts";
import type { Strings } from "./strings.ts";

/** Serialisation flags of LowCardinality: the block carries its own keys and replaces the dictionary. */
const hasAdditionalKeys = 1 << 9;
const needsUpdate = 1 << 10;

export class LowCardinalityColumn implements Column {
  readonly type = "LowCardinality(String)";
  /** Interned string of each position in this block's dictionary. */
  entries = new Uint32Array(16);
  entryCount = 0;
  indexes = new Uint32Array(64);
  length = 0;
  /** Position + 1 by interned string. */
  private positions = new Uint32Array(256);
  private readonly strings: Strings;
  private markedLength = 0;
  private markedEntries = 0;

  constructor(strings: Strings) {
    this.strings = strings;
  }

  push(id: number): void {
    if (this.length === this.indexes.length) this.indexes = doubled(this.indexes);
    const position = id < this.positions.length ? (this.positions[id] ?? 0) : 0;
    this.indexes[this.length++] = position === 0 ? this.enter(id) : position - 1;
  }

  /** The value of row `row`; rows that are left out have the value before them. */
  set(row: number, id: number): void {
    const { length } = this;
    if (length !== 0 && this.entries[this.indexes[length - 1] ?? 0] === id) return;
    this.fill(row);
    this.push(id);
  }
  fill(rows: number): void {
    const { length } = this;
    if (length >= rows) return;
    while (this.indexes.length < rows) this.indexes = doubled(this.indexes);
    const last = length === 0 ? this.enter(0) : (this.indexes[length - 1] ?? 0);
    this.indexes.fill(last, length, rows);
    this.length = rows;
  }

  private enter(id: number): number {
    while (id >= this.positions.length) this.positions = doubled(this.positions);
    if (this.entryCount === this.entries.length) this.entries = doubled(this.entries);
    this.entries[this.entryCount++] = id;
    this.positions[id] = this.entryCount;
    return this.entryCount - 1;
  }

  heldBytes(): number {
    return this.length * 2 + this.entryCount * 24;
  }
  mark(): void {
    this.markedLength = this.length;
    this.markedEntries = this.entryCount;
  }
  rollback(): void {
    this.length = this.markedLength;
    this.forget(this.markedEntries);
  }
  clear(): void {
    this.length = 0;
    this.forget(0);
  }
  private forget(from: number): void {
    for (let i = from; i < this.entryCount; i += 1) this.positions[this.entries[i] ?? 0] = 0;
    this.entryCount = from;
  }

  prefix(out: ByteWriter): void {
    out.u64(1);
  }

  data(out: ByteWriter): void {
    if (this.length === 0) return;
    const width = this.entryCount <= 0x100 ? 0 : this.entryCount <= 0x10000 ? 1 : 2;
    out.u64(width | hasAdditionalKeys | needsUpdate);
    out.u64(this.entryCount);
    const { bytes, offsets, lengths } = this.strings;
    for (let i = 0; i < this.entryCount; i += 1) {
      const id = this.entries[i] ?? 0;
      const offset = offsets[id] ?? 0;
      const length = lengths[id] ?? 0;
      out.varint(length);
      out.append(bytes.subarray(offset, offset + length));
    }
    out.u64(this.length);
    const indexes = this.indexes.subarray(0, this.length);
    if (width === 0) out.append(new Uint8Array(indexes));
    else if (width === 1) out.appendArray(new Uint16Array(indexes));
    else out.appendArray(indexes);
  }
}

/** Array(T): push elements into `items`, then `endRow`. */
export class ArrayColumn<T extends Column> implements Column {
  readonly type: string;
  readonly items: T;
  private ends = new Uint32Array(64);
  private rows = 0;
  private count = 0;
  private markedRows = 0;
  private markedCount = 0;

  constructor(items: T) {
    this.items = items;
    this.type = `Array(${items.type})`;
  }
  /** Ends row `row`, which got `count` elements; rows that are left out are empty. */
  endRow(row: number, count: number): void {
    if (count === 0) return;
    this.fill(row);
    if (this.rows === this.ends.length) this.ends = doubled(this.ends);
    this.count += count;
    this.ends[this.rows++] = this.count;
  }
  fill(rows: number): void {
    if (this.rows >= rows) return;
    while (this.ends.length < rows) this.ends = doubled(this.ends);
    this.ends.fill(this.count, this.rows, rows);
    this.rows = rows;
  }
  heldBytes(): number {
    return this.rows * 8 + this.items.heldBytes();
  }
  mark(): void {
    this.markedRows = this.rows;
    this.markedCount = this.count;
    this.items.mark();
  }
  rollback(): void {
    this.rows = this.markedRows;
    this.count = this.markedCount;
    this.items.rollback();
  }
  clear(): void {
    this.rows = 0;
    this.count = 0;
    this.items.clear();
  }
  prefix(out: ByteWriter): void {
    this.items.prefix(out);
  }
  data(out: ByteWriter): void {
    writeEnds(out, this.ends, this.rows);
    this.items.data(out);
  }
}

/** Map(LowCardinality(String), V): push a key and a value each, then `endRow`. */
export class MapColumn<V extends Column> implements Column {
  readonly type: string;
  readonly keys: LowCardinalityColumn;
  readonly values: V;
  private ends = new Uint32Array(64);
  private rows = 0;
  /** Keys in the rows that ended. */
  private count = 0;
  private markedRows = 0;

  constructor(strings: Strings, values: V) {
    this.keys = new LowCardinalityColumn(strings);
    this.values = values;
    this.type = `Map(LowCardinality(String), ${values.type})`;
  }
  /** Ends row `row`; rows that are left out are empty. */
  endRow(row: number): void {
    if (this.keys.length === this.count) return;
    this.fill(row);
    if (this.rows === this.ends.length) this.ends = doubled(this.ends);
    this.count = this.keys.length;
    this.ends[this.rows++] = this.count;
  }
  fill(rows: number): void {
    if (this.rows >= rows) return;
    while (this.ends.length < rows) this.ends = doubled(this.ends);
    this.ends.fill(this.count, this.rows, rows);
    this.rows = rows;
  }
  heldBytes(): number {
    return this.rows * 8 + this.keys.heldBytes() + this.values.heldBytes();
  }
  mark(): void {
    this.markedRows = this.rows;
    this.keys.mark();
    this.values.mark();
  }
  rollback(): void {
    this.rows = this.markedRows;
    this.keys.rollback();
    this.values.rollback();
    this.count = this.keys.length;
  }
  clear(): void {
    this.rows = 0;
    this.count = 0;
    this.keys.clear();
    this.values.clear();
  }
  prefix(out: ByteWriter): void {
    this.keys.prefix(out);
    this.values.prefix(out);
  }
  data(out: ByteWriter): void {
    writeEnds(out, this.ends, this.rows);
    this.keys.data(out);
    this.values.data(out);
  }
}

/** Offsets of arrays are UInt64; ours fit 32 bits. */
function writeEnds(out: ByteWriter, ends: Uint32Array, rows: number): void {
  const wide = new Uint32Array(rows * 2);
  for (let i = 0; i < rows; i += 1) wide[i * 2] = ends[i] ?? 0;
  out.appendArray(wide);
}

function doubled(old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const wide = new Uint32Array(old.length * 2);
  wide.set(old);
  return wide;
}
