/**
 * ClickHouse's Native format: one block of named, typed columns, as `INSERT … FORMAT Native` takes it
 * over HTTP (protocol revision 0: no block info, no serialisation kinds).
 *
 * A column first writes what its type keeps once a block (`prefix`: the version of a LowCardinality
 * dictionary), then its data.
 */
import { lengthPrefixBytes } from "./text.ts";

export interface Column {
  /** The type's name as ClickHouse parses it. */
  readonly type: string;
  /** Bytes the data would take about; exact enough to size a block at once. */
  heldBytes(): number;
  /** Appends what a row has that was left out, until there are `rows`. */
  fill(rows: number): void;
  /** Remembers the present length; `rollback` returns to it, forgetting what came after. */
  mark(): void;
  rollback(): void;
  clear(): void;
  prefix(out: ByteWriter): void;
  data(out: ByteWriter): void;
}

export interface NamedColumn {
  readonly name: string;
  readonly column: Column;
}

export function nativeBlock(columns: readonly NamedColumn[], rows: number): Uint8Array {
  const out = new ByteWriter(
    columns.reduce((sum, { column }) => sum + column.heldBytes() + 96, 64),
  );
  out.varint(columns.length);
  out.varint(rows);
  for (const { name, column } of columns) {
    out.text(name);
    out.text(column.type);
    if (rows === 0) continue;
    column.prefix(out);
    column.data(out);
  }
  return out.finish();
}

const encoder = new TextEncoder();

export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const wide = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
    wide.set(this.bytes.subarray(0, this.length));
    this.bytes = wide;
    this.view = new DataView(wide.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  varint(value: number): void {
    this.reserve(lengthPrefixBytes(value));
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.bytes[this.length++] = (rest & 0x7f) | 0x80;
    this.bytes[this.length++] = rest;
  }

  /** A 64-bit integer that fits a double. */
  u64(value: number): void {
    this.reserve(8);
    this.view.setUint32(this.length, value % 2 ** 32, true);
    this.view.setUint32(this.length + 4, Math.floor(value / 2 ** 32), true);
    this.length += 8;
  }

  text(value: string): void {
    const bytes = encoder.encode(value);
    this.varint(bytes.length);
    this.append(bytes);
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** The elements of a typed array as little-endian bytes. */
  appendArray(array: Uint8Array | Uint16Array | Uint32Array | Float64Array): void {
    this.append(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}
