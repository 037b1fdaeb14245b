/**
 * A growing buffer that writes protobuf: varints, fixed-width numbers, length-delimited fields.
 * Used for attribute values in the program's thread (rarely) and for everything in the exporter's.
 * A state machine of one number, the position; it knows nothing of messages.
 */
export class Bytes {
  buffer: Buffer;
  at = 0;

  constructor(size: number) {
    this.buffer = Buffer.allocUnsafeSlow(size);
  }

  /** Room for `size` more bytes. */
  ensure(size: number): void {
    if (this.at + size <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + size));
    larger.set(this.buffer.subarray(0, this.at));
    this.buffer = larger;
  }

  byte(value: number): void {
    this.ensure(1);
    this.buffer[this.at++] = value;
  }

  /** An unsigned number of at most 32 bits. */
  varint(value: number): void {
    this.ensure(5);
    let left = value >>> 0;
    while (left > 0x7f) {
      this.buffer[this.at++] = (left & 0x7f) | 0x80;
      left >>>= 7;
    }
    this.buffer[this.at++] = left;
  }

  /** A 64-bit number as two's complement halves. */
  varint64(high: number, low: number): void {
    this.ensure(10);
    let upper = high >>> 0;
    let lower = low >>> 0;
    while (upper > 0 || lower > 0x7f) {
      this.buffer[this.at++] = (lower & 0x7f) | 0x80;
      lower = ((lower >>> 7) | (upper << 25)) >>> 0;
      upper >>>= 7;
    }
    this.buffer[this.at++] = lower;
  }

  /** A safe integer, negative ones as protobuf's int64 has them. */
  integer(value: number): void {
    this.varint64(Math.floor(value / 0x1_0000_0000), value >>> 0);
  }

  fixed32(value: number): void {
    this.ensure(4);
    this.at = this.buffer.writeUInt32LE(value >>> 0, this.at);
  }

  fixed64(high: number, low: number): void {
    this.fixed32(low);
    this.fixed32(high);
  }

  double(value: number): void {
    this.ensure(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  raw(data: Uint8Array): void {
    this.ensure(data.length);
    this.buffer.set(data, this.at);
    this.at += data.length;
  }

  /** A length-delimited field; `tag` is the finished tag byte (number × 8 + 2). */
  field(tag: number, data: Uint8Array): void {
    this.byte(tag);
    this.varint(data.length);
    this.raw(data);
  }

  /** A length-delimited field whose content `write` writes. Content is moved where its length is long. */
  nested(tag: number, write: () => void): void {
    this.byte(tag);
    this.byte(0);
    const start = this.at;
    write();
    const size = this.at - start;
    const extra = sizeOfVarint(size) - 1;
    this.ensure(extra);
    if (extra > 0) this.buffer.copyWithin(start + extra, start, this.at);
    const end = this.at + extra;
    this.at = start - 1;
    this.varint(size);
    this.at = end;
  }

  /** A string field of at most `most` bytes, never ending inside a character. */
  text(tag: number, text: string, most: number): void {
    const room = Math.min(text.length * 3, most);
    this.byte(tag);
    this.ensure(room + 10);
    const start = this.at + 5;
    const size = this.buffer.write(text, start, room, "utf8");
    this.varint(size);
    this.buffer.copyWithin(this.at, start, start + size);
    this.at += size;
  }

  /** What was written so far: a view that the next write may overwrite. */
  written(): Buffer {
    return this.buffer.subarray(0, this.at);
  }

  /** A copy of what was written. */
  copy(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.buffer, 0, this.at);
  }
}

function sizeOfVarint(value: number): number {
  let size = 1;
  for (let left = value >>> 0; left > 0x7f; left >>>= 7) size += 1;
  return size;
}
