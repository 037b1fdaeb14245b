/**
 * Memory that columns grow in: 32-bit words and bytes of text. Both are appended to past a mark and
 * return to it when a request proves malformed.
 *
 * 64-bit values are two words (low, high): BigInt views cost three to seven times as much.
 */
import { copyText, cutLength, isValid, repaired } from "./text.ts";

/** What is cleared gives larger memory back: one giant request shall not be held for ever. */
export const keptBytes = 8 * 1024 * 1024;

export class Words {
  words = new Uint32Array(256);
  length = 0;
  private marked = 0;

  push1(a: number): void {
    if (this.length === this.words.length) this.grow();
    this.words[this.length++] = a;
  }
  push2(a: number, b: number): void {
    const at = this.length;
    if (at + 2 > this.words.length) this.grow();
    this.words[at] = a;
    this.words[at + 1] = b;
    this.length = at + 2;
  }
  /** Makes room for `count` more. */
  reserve(count: number): void {
    while (this.length + count > this.words.length) this.grow();
  }
  /** Words of the body: ids, times. */
  pushFrom(view: DataView, offset: number, count: number): void {
    for (let i = 0; i < count; i += 1) this.push1(view.getInt32(offset + i * 4, true));
  }
  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
    if (this.words.byteLength > keptBytes) this.words = new Uint32Array(256);
  }
  heldBytes(): number {
    return this.length * 4;
  }
  private grow(): void {
    const wide = new Uint32Array(this.words.length * 2);
    wide.set(this.words);
    this.words = wide;
  }
}

/** What pushing text had to do to it, as bits. */
export const textAsIs = 0;
export const textCut = 1;
export const textRepaired = 2;

/** Strings, each after its LEB128 length, as on the wire of protobuf and in ClickHouse's blocks. */
export class Texts {
  bytes = new Uint8Array(1024);
  view = new DataView(this.bytes.buffer);
  length = 0;
  private marked = 0;

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

  mark(): void {
    this.marked = this.length;
  }
  rollback(): void {
    this.length = this.marked;
  }
  clear(): void {
    this.length = 0;
    if (this.bytes.length <= keptBytes) return;
    this.bytes = new Uint8Array(1024);
    this.view = new DataView(this.bytes.buffer);
  }
  heldBytes(): number {
    return this.length;
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
}
