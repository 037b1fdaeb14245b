/**
 * A reader of protobuf's wire format for messages that come seldom: metrics, some hundred points
 * every few seconds. Spans have a reader of their own that makes no object per field (`decode/`).
 */

export interface Field {
  number: number;
  /** 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32. */
  wire: number;
  /** Wire types 0, 1, 5: the bits as an unsigned integer. */
  bits: bigint;
  /** Wire type 2: where the content lies. */
  start: number;
  end: number;
}

export class MalformedError extends Error {}

/** The fields of the message at [start, end), in order. Throws MalformedError. */
export function* fieldsOf(bytes: Buffer, start: number, end: number): Generator<Field> {
  let at = start;
  while (at < end) {
    const tag = varint(bytes, at, end);
    at = tag.next;
    const number = Number(tag.value >> 3n);
    const wire = Number(tag.value & 7n);
    if (number === 0) throw new MalformedError("a field with number 0");
    const field: Field = { number, wire, bits: 0n, start: 0, end: 0 };
    if (wire === 0) {
      const value = varint(bytes, at, end);
      field.bits = value.value;
      at = value.next;
    } else if (wire === 1 || wire === 5) {
      const size = wire === 1 ? 8 : 4;
      if (at + size > end) throw new MalformedError("a fixed-width field is cut off");
      field.bits = wire === 1 ? bytes.readBigUInt64LE(at) : BigInt(bytes.readUInt32LE(at));
      at += size;
    } else if (wire === 2) {
      const length = varint(bytes, at, end);
      at = length.next;
      if (length.value > BigInt(end - at)) throw new MalformedError("a length points past the end");
      field.start = at;
      field.end = at + Number(length.value);
      at = field.end;
    } else {
      throw new MalformedError(`wire type ${wire}`);
    }
    yield field;
  }
}

function varint(bytes: Buffer, start: number, end: number): { value: bigint; next: number } {
  let value = 0n;
  let shift = 0n;
  for (let at = start; at < end && at < start + 10; at += 1) {
    const byte = bytes[at] ?? 0;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), next: at + 1 };
    shift += 7n;
  }
  throw new MalformedError("a varint does not end");
}

const float = new DataView(new ArrayBuffer(8));

export function doubleFrom(bits: bigint): number {
  float.setBigUint64(0, bits);
  return float.getFloat64(0);
}

export const signedFrom = (bits: bigint): bigint => BigInt.asIntN(64, bits);

/** Packed or single: proto3 senders may do either. */
export function fixed64s(bytes: Buffer, field: Field): bigint[] {
  if (field.wire === 1) return [field.bits];
  const values: bigint[] = [];
  for (let at = field.start; at + 8 <= field.end; at += 8) values.push(bytes.readBigUInt64LE(at));
  return values;
}
