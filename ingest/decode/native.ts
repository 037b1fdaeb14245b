/**
 * ClickHouse's Native format: one block of named, typed columns, as `INSERT … FORMAT Native` takes it
 * over HTTP (protocol revision 0: no block info, no serialisation kinds).
 *
 * Rows come as 32-bit words, row after row (`tables.ts`); here columns are picked out of them. A
 * position of a LowCardinality dictionary is 8, 16 or 32 bits wide by the dictionary's size, so there
 * is no value at which it overflows.
 */
import type { Texts, Words } from "./columns.ts";
import type { Strings } from "./strings.ts";
import { copyText, lengthPrefixBytes } from "./text.ts";

/** Rows of words: `stride` words each. */
export interface Rows {
  words: Uint32Array;
  doubles: Float64Array;
  stride: number;
  rows: number;
}

export interface NativeColumn {
  /** The type's name as ClickHouse parses it. */
  readonly type: string;
  write(out: ByteWriter): void;
}

export function nativeBlock(
  columns: readonly (readonly [name: string, column: NativeColumn])[],
  rows: Rows,
  size: number,
): Uint8Array {
  const out = new ByteWriter(size);
  out.varint(columns.length);
  out.varint(rows.rows);
  for (const [name, column] of columns) {
    out.text(name);
    out.text(column.type);
    if (rows.rows > 0) column.write(out);
  }
  return out.finish();
}

/** One number a row, of 1, 2, 4, 8 or 16 bytes. */
export function writeNumbers(out: ByteWriter, from: Rows, at: number, bytes: number): void {
  const { words, stride, rows } = from;
  out.reserve(rows * bytes);
  const { view } = out;
  let to = out.length;
  const end = at + rows * stride;
  if (bytes === 1) {
    const { bytes: target } = out;
    for (let i = at; i < end; i += stride) target[to++] = words[i] ?? 0;
  } else if (bytes === 2) {
    for (let i = at; i < end; i += stride, to += 2) view.setUint16(to, words[i] ?? 0, true);
  } else if (bytes === 4) {
    for (let i = at; i < end; i += stride, to += 4) view.setUint32(to, words[i] ?? 0, true);
  } else {
    for (let i = at; i < end; i += stride) {
      view.setUint32(to, words[i] ?? 0, true);
      view.setUint32(to + 4, words[i + 1] ?? 0, true);
      if (bytes === 16) {
        view.setUint32(to + 8, words[i + 2] ?? 0, true);
        view.setUint32(to + 12, words[i + 3] ?? 0, true);
      }
      to += bytes;
    }
  }
  out.length = to;
}

/** One integer a row that is kept as a double; NaN is written as 0. */
export function writeIntegers(out: ByteWriter, from: Rows, at: number, bytes: number): void {
  const { doubles, stride, rows } = from;
  out.reserve(rows * bytes);
  const { view } = out;
  const step = stride >> 1;
  let to = out.length;
  for (let i = at >> 1, row = 0; row < rows; i += step, row += 1, to += bytes) {
    const value = doubles[i] ?? 0;
    const high = bytes === 4 ? 0 : Math.floor(value / 2 ** 32);
    view.setUint32(to, value - high * 2 ** 32, true);
    if (bytes === 8) view.setUint32(to + 4, high, true);
  }
  out.length = to;
}

/** One integer a row that is kept as a double; NaN is NULL. */
export function writeNullable(out: ByteWriter, from: Rows, at: number, bytes: number): void {
  const { doubles, stride, rows } = from;
  out.reserve(rows);
  const { bytes: target } = out;
  const step = stride >> 1;
  let to = out.length;
  let nulls = 0;
  for (let i = at >> 1, row = 0; row < rows; i += step, row += 1) {
    const isNull = Number.isNaN(doubles[i] ?? NaN);
    target[to++] = isNull ? 1 : 0;
    if (isNull) nulls += 1;
  }
  out.length = to;
  // Most columns are of engines that did not send any of these spans.
  if (nulls === rows) out.zeros(rows * bytes);
  else writeIntegers(out, from, at, bytes);
}

/** One text a row: where it begins in `texts`; most are empty. */
export function writeTexts(out: ByteWriter, from: Rows, at: number, texts: Texts): void {
  const { words, stride, rows } = from;
  out.reserve(rows + texts.length);
  const { bytes: to, view: toView } = out;
  let { length } = out;
  for (let i = at, row = 0; row < rows; i += stride, row += 1) {
    const start = words[i] ?? 0;
    if (start === 0) {
      to[length++] = 0;
      continue;
    }
    const size = texts.sizeAt(start);
    copyText(texts.bytes, texts.view, start, size, to, toView, length);
    length += size;
  }
  out.length = length;
}

/** Ends of lists: a row has how many elements it holds; `elements` in all. */
export function writeEnds(out: ByteWriter, from: Rows, at: number, elements: number): void {
  const { words, stride, rows } = from;
  if (elements === 0) {
    out.zeros(rows * 8);
    return;
  }
  out.reserve(rows * 8);
  const { view } = out;
  let to = out.length;
  let end = 0;
  for (let i = at, row = 0; row < rows; i += stride, row += 1, to += 8) {
    end += words[i] ?? 0;
    view.setUint32(to, end, true);
    view.setUint32(to + 4, 0, true);
  }
  out.length = to;
}

/** Elements of all lists, of 1, 4, 8 or 16 bytes. */
export function writeElements(out: ByteWriter, from: Words, bytes: number): void {
  const words = from.words.subarray(0, from.length);
  if (bytes === 1) out.append(new Uint8Array(words));
  else out.appendArray(words);
}

/** Serialisation flags of LowCardinality: the block carries its own keys and replaces the dictionary. */
const hasAdditionalKeys = 1 << 9;
const needsUpdate = 1 << 10;

/** `count` interned strings, one every `stride` words from `at` on, as a dictionary and positions in it. */
export function writeLabels(
  out: ByteWriter,
  strings: Strings,
  words: Uint32Array,
  { at, stride, count }: { at: number; stride: number; count: number },
): void {
  if (count === 0) return;
  const { positions } = strings;
  const entries: number[] = [];
  const end = at + count * stride;
  for (let i = at, last = -1; i < end; i += stride) {
    const id = words[i] ?? 0;
    if (id === last) continue;
    last = id;
    if (positions[id] === 0) positions[id] = entries.push(id);
  }
  const width = entries.length <= 0x100 ? 0 : entries.length <= 0x10000 ? 1 : 2;
  out.u64(width | hasAdditionalKeys | needsUpdate);
  out.u64(entries.length);
  for (const id of entries) out.append(strings.prefixed(id));
  out.u64(count);
  if (entries.length === 1) out.zeros(count);
  else writePositions(out, positions, words, { at, stride, end, width });
  for (const id of entries) positions[id] = 0;
}

function writePositions(
  out: ByteWriter,
  positions: Uint32Array,
  words: Uint32Array,
  { at, stride, end, width }: { at: number; stride: number; end: number; width: number },
): void {
  out.reserve(((end - at) / stride) << width);
  const { bytes, view } = out;
  let to = out.length;
  for (let i = at; i < end; i += stride, to += 1 << width) {
    const position = (positions[words[i] ?? 0] ?? 0) - 1;
    if (width === 0) bytes[to] = position;
    else if (width === 1) view.setUint16(to, position, true);
    else view.setUint32(to, position, true);
  }
  out.length = to;
}

const encoder = new TextEncoder();

export class ByteWriter {
  bytes: Uint8Array<ArrayBuffer>;
  view: DataView;
  length = 0;

  constructor(capacity: number) {
    this.bytes = uncleared(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const wide = uncleared(Math.max(this.bytes.length * 2, this.length + count));
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

  zeros(count: number): void {
    this.reserve(count);
    this.bytes.fill(0, this.length, this.length + count);
    this.length += count;
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** The elements of a typed array as little-endian bytes. */
  appendArray(array: Uint16Array | Uint32Array): void {
    this.append(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Memory of its own, not zeroed: what is handed out of it has been written. */
function uncleared(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
}
