/**
 * Memory that columns grow in: 32-bit words and bytes of text. Both are appended to past a mark and
 * return to it when a request proves malformed.
 *
 * 64-bit values are two words (low, high): BigInt views cost three to seven times as much. Where the
 * memory begins, where what is used of it ends and where it ends itself stands in a header that the
 * compiled kernel reads and writes.
 */
import type { Heap } from "./heap.ts";
import { copyText, cutLength, isValid, repaired } from "./text.ts";

/** What is cleared gives larger memory back: one giant request shall not be held for ever. */
export const keptBytes = 8 * 1024 * 1024;

/** What both kinds have: a header in the decoder's memory. */
abstract class Column {
  abstract length: number;
  readonly header: Uint32Array;
  protected readonly heap: Heap;
  private marked = 0;

  constructor(heap: Heap, grow: (count: number) => void) {
    this.heap = heap;
    this.header = heap.header(grow);
  }

  /** Where the header is. */
  get at(): number {
    return this.header.byteOffset;
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
}

const firstWords = 256;

export class Words extends Column {
  words: Uint32Array;

  get length(): number {
    const { header } = this;
    return ((header[1] ?? 0) - (header[0] ?? 0)) >>> 2;
  }
  set length(length: number) {
    const { header } = this;
    header[1] = (header[0] ?? 0) + length * 4;
  }

  constructor(heap: Heap) {
    super(heap, (count) => this.reserve(count));
    this.words = this.settle(heap.uint32(firstWords));
  }
  push1(a: number): void {
    const at = this.length;
    if (at === this.words.length) this.reserve(1);
    this.words[at] = a;
    this.length = at + 1;
  }
  push2(a: number, b: number): void {
    const at = this.length;
    if (at + 2 > this.words.length) this.reserve(2);
    this.words[at] = a;
    this.words[at + 1] = b;
    this.length = at + 2;
  }
  /** Makes room for `count` more. */
  reserve(count: number): void {
    const { words, length } = this;
    if (length + count <= words.length) return;
    const wide = this.heap.widened(words, Math.max(words.length * 2, length + count));
    this.words = this.settle(wide);
    this.length = length;
  }
  /** Words of the body: ids, times. */
  pushFrom(view: DataView, offset: number, count: number): void {
    for (let i = 0; i < count; i += 1) this.push1(view.getInt32(offset + i * 4, true));
  }
  clear(): void {
    this.length = 0;
    if (this.words.byteLength <= keptBytes) return;
    this.heap.release(this.words.byteOffset, this.words.byteLength);
    this.words = this.settle(this.heap.uint32(firstWords));
  }
  heldBytes(): number {
    return this.length * 4;
  }
  private settle(words: Uint32Array): Uint32Array {
    const { header } = this;
    header[0] = words.byteOffset;
    header[1] = words.byteOffset;
    header[2] = words.byteOffset + words.byteLength;
    return words;
  }
}

/** What pushing text had to do to it, as bits. */
export const textAsIs = 0;
export const textCut = 1;
export const textRepaired = 2;

/** Strings, each after its LEB128 length, as on the wire of protobuf and in ClickHouse's blocks. */
export class Texts extends Column {
  bytes: Uint8Array = none;
  view: DataView = new DataView(none.buffer);

  get length(): number {
    const { header } = this;
    return (header[1] ?? 0) - (header[0] ?? 0);
  }
  set length(length: number) {
    const { header } = this;
    header[1] = (header[0] ?? 0) + length;
  }

  constructor(heap: Heap) {
    super(heap, (count) => this.reserve(count));
    this.settle(firstBytes);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.grow(count);
  }
  /** Appends text, cut at `most` bytes and made valid UTF-8; answers what that took. */
  push(from: Uint8Array, view: DataView, offset: number, length: number, most: number): number {
    let did = textAsIs;
    let size = length;
    if (size > most) {
      did = textCut;
      size = cutLength(from, offset, most);
    }
    const start = this.length;
    this.open(size);
    const plain = copyText(from, view, offset, size, this.bytes, this.view, this.length);
    if (plain || isValid(from, offset, size)) {
      this.length += size;
      return did;
    }
    this.length = start;
    this.pushValid(repaired(from, offset, size));
    return did | textRepaired;
  }

  /** Bytes of the text at `start`, its length included. */
  sizeAt(start: number): number {
    let size = 0;
    let pos = start;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[pos++] ?? 0;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) return pos - start + size;
    }
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

  clear(): void {
    this.length = 0;
    if (this.bytes.length <= keptBytes) return;
    this.heap.release(this.bytes.byteOffset, this.bytes.length);
    this.settle(firstBytes);
  }
  heldBytes(): number {
    return this.length;
  }

  /** Makes room and writes the length. */
  private open(size: number): void {
    this.reserve(size + 8);
    let at = this.length;
    let rest = size;
    for (; rest >= 0x80; rest >>>= 7) this.bytes[at++] = (rest & 0x7f) | 0x80;
    this.bytes[at++] = rest;
    this.length = at;
  }
  private grow(need: number): void {
    const { bytes, length } = this;
    this.settle(Math.max(bytes.length * 2, length + need));
    this.length = length;
    this.heap.kernel.copy(this.bytes.byteOffset, bytes.byteOffset, length);
    this.heap.release(bytes.byteOffset, bytes.length);
  }
  private settle(size: number): void {
    this.bytes = this.heap.uint8(size);
    const { buffer, byteOffset } = this.bytes;
    this.view = new DataView(buffer, byteOffset, size);
    const { header } = this;
    header[0] = byteOffset;
    header[1] = byteOffset;
    header[2] = byteOffset + size;
  }
}

const firstBytes = 1024;
const none = new Uint8Array(0);
