/**
 * Bytes that are written one after the other, as ClickHouse's Native format and protobuf want them:
 * varints, 64-bit integers, text behind its length.
 */
import { lengthPrefixBytes } from "./text.ts";

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
  appendArray(array: Uint32Array): void {
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
