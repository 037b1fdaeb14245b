/**
 * The protobuf wire format, as much as pod-resources needs: walks a message's fields without copying.
 * Unknown fields are skipped, a cut-off message throws `WireError`.
 */

export class WireError extends Error {}

export interface Field {
  readonly number: number;
  /** Of a length-delimited field: its bytes. */
  readonly bytes: Uint8Array;
  /** Of a varint field. Device and claim messages carry small numbers only (NUMA ids). */
  readonly varint: bigint;
}

const empty = new Uint8Array(0);

/** Calls `visit` for each field, in the order of the bytes. */
export function readFields(message: Uint8Array, visit: (field: Field) => void): void {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at];
      if (byte === undefined) throw new WireError("the message ends inside a number");
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new WireError("a number is longer than ten bytes");
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at) throw new WireError("the message ends inside a field");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    switch (tag & 7) {
      case 0:
        visit({ number, bytes: empty, varint: varint() });
        break;
      case 1:
        take(8);
        break;
      case 2:
        visit({ number, bytes: take(Number(varint())), varint: 0n });
        break;
      case 5:
        take(4);
        break;
      default:
        throw new WireError(`wire type ${tag & 7} does not exist`);
    }
  }
}

const decoder = new TextDecoder();
export function text(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** A message of string fields, for requests. */
export function writeStrings(
  fields: readonly (readonly [number: number, value: string])[],
): Buffer {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    const bytes = Buffer.from(value);
    const header = [(number << 3) | 2];
    for (let length = bytes.length; ; length >>>= 7) {
      header.push(length >= 0x80 ? (length & 0x7f) | 0x80 : length);
      if (length < 0x80) break;
    }
    parts.push(Uint8Array.from(header), bytes);
  }
  return Buffer.concat(parts);
}
