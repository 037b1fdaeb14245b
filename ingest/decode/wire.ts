/**
 * A cursor over protobuf wire bytes with every bound checked. It knows varints, tags and how to skip
 * what nobody asked for, groups included; it knows no message.
 *
 * Malformed bytes throw `Malformed`, which `trace-decoder.ts` catches at the edge of a request and
 * turns into an outcome: inside a request it is the only way out of five nested loops.
 */
import { nesting } from "./limits.ts";

export class Malformed extends Error {}

/** Wire types of the protobuf encoding. */
export const wireType = { varint: 0, fixed64: 1, bytes: 2, startGroup: 3, endGroup: 4, fixed32: 5 };

/** Fields of KeyValue as tags (field << 3 | wire type). */
export const keyTag = 0x0a;
export const valueOfKeyTag = 0x12;

export class Wire {
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(this.bytes.buffer);
  pos = 0;
  /** Bounds of the last length-delimited field; words of the last 64-bit value. */
  start = 0;
  end = 0;
  lo = 0;
  hi = 0;

  open(bytes: Uint8Array): void {
    // A plain Uint8Array also over a Buffer: one kind of array keeps every access in one shape.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pos = 0;
  }

  /** Lets go of the body, so that nothing keeps it alive between requests. */
  close(): void {
    this.open(new Uint8Array(0));
  }

  /** The next tag (field << 3 | wire type); `limit` is the end of the enclosing message. */
  tag(limit: number): number {
    const tag = this.varint32(limit);
    if (tag >>> 3 === 0) throw new Malformed("field number 0");
    return tag;
  }

  /** Low 32 bits of a varint of at most ten bytes, unsigned. */
  varint32(limit: number): number {
    const { bytes } = this;
    let { pos } = this;
    if (pos < limit) {
      const first = bytes[pos] ?? 0;
      if (first < 0x80) {
        this.pos = pos + 1;
        return first;
      }
    }
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= limit) throw new Malformed("truncated varint");
      const byte = bytes[pos++] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        this.pos = pos;
        return value >>> 0;
      }
    }
    throw new Malformed("varint longer than ten bytes");
  }

  /** Reads a varint into `lo` and `hi`. */
  varint64(limit: number): void {
    const { bytes } = this;
    let { pos } = this;
    let lo = 0;
    let hi = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (pos >= limit) throw new Malformed("truncated varint");
      const byte = bytes[pos++] ?? 0;
      const part = byte & 0x7f;
      if (shift < 28) lo |= part << shift;
      else if (shift === 28) {
        lo |= part << 28;
        hi |= part >>> 4;
      } else if (shift < 67) hi |= part << (shift - 32);
      if (byte < 0x80) {
        this.pos = pos;
        this.lo = lo >>> 0;
        this.hi = hi >>> 0;
        return;
      }
    }
    throw new Malformed("varint longer than ten bytes");
  }

  /** Reads eight bytes into `lo` and `hi`. */
  fixed64(limit: number): void {
    const { pos } = this;
    if (pos + 8 > limit) throw new Malformed("truncated fixed64");
    this.lo = this.view.getUint32(pos, true);
    this.hi = this.view.getUint32(pos + 4, true);
    this.pos = pos + 8;
  }

  /** Reads a length and steps over its bytes; their bounds are in `start` and `end`. */
  block(limit: number): void {
    const length = this.varint32(limit);
    if (length > limit - this.pos) throw new Malformed("length beyond the end");
    this.start = this.pos;
    this.end = this.pos += length;
  }

  skip(tag: number, limit: number, depth = 0): void {
    switch (tag & 7) {
      case wireType.varint:
        this.varint32(limit);
        return;
      case wireType.fixed64:
        this.step(8, limit);
        return;
      case wireType.bytes:
        this.block(limit);
        return;
      case wireType.startGroup:
        this.skipGroup(tag, limit, depth + 1);
        return;
      case wireType.fixed32:
        this.step(4, limit);
        return;
      default:
        throw new Malformed(`wire type ${tag & 7}`);
    }
  }

  private step(count: number, limit: number): void {
    if (count > limit - this.pos) throw new Malformed("truncated field");
    this.pos += count;
  }

  private skipGroup(opening: number, limit: number, depth: number): void {
    if (depth > nesting) throw new Malformed("groups nested too deep");
    for (;;) {
      const tag = this.tag(limit);
      if ((tag & 7) === wireType.endGroup) {
        if (tag >>> 3 !== opening >>> 3) throw new Malformed("group ends with another number");
        return;
      }
      this.skip(tag, limit, depth);
    }
  }
}
