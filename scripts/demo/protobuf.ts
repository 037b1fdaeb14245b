/**
 * A protobuf writer for the few field types that OTLP uses.
 *
 * A nested message is written first and its length put in front afterwards; five bytes are kept
 * free for the length, as a padded varint, so nothing has to be moved.
 */
export interface Writer {
  message(field: number, write: () => void): void;
  /** Left out when empty, unless `always`: an attribute value that is empty is still a value. */
  string(field: number, value: string, always?: boolean): void;
  /** Hex digits as bytes; left out when empty. */
  hex(field: number, value: string): void;
  /** A varint, up to 2^53. Left out when 0, unless `always`. */
  uint(field: number, value: number, always?: boolean): void;
  double(field: number, value: number): void;
  /** Whole number in 8 bytes. */
  sfixed64(field: number, value: number): void;
  /** Epoch milliseconds as fixed64 nanoseconds; a double holds them to about 0.25 µs. */
  nanos(field: number, ms: number): void;
  finish(): Uint8Array;
}

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const lengthBytes = 5;

export function createWriter(): Writer {
  let buffer = Buffer.allocUnsafe(64 * 1024);
  let at = 0;
  const room = (bytes: number): void => {
    if (at + bytes <= buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + bytes));
    buffer.copy(larger, 0, 0, at);
    buffer = larger;
  };
  const writeVarint = (value: number): void => {
    let rest = value;
    while (rest >= 0x80) {
      buffer[at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    buffer[at++] = rest;
  };
  /** A tag and room for `bytes` more; tags and varints take at most 10 bytes each. */
  const tag = (field: number, type: number, bytes: number): void => {
    room(bytes + 20);
    writeVarint(field * 8 + type);
  };
  const writeFixed64 = (field: number, value: number): void => {
    tag(field, fixed64, 8);
    at = buffer.writeUInt32LE(((value % 4_294_967_296) + 4_294_967_296) % 4_294_967_296, at);
    at = buffer.writeInt32LE(Math.floor(value / 4_294_967_296), at);
  };
  return {
    message: (field, write) => {
      tag(field, lengthDelimited, lengthBytes);
      const lengthAt = at;
      at += lengthBytes;
      write();
      let length = at - lengthAt - lengthBytes;
      for (let byte = 0; byte < lengthBytes - 1; byte++) {
        buffer[lengthAt + byte] = (length & 0x7f) | 0x80;
        length >>>= 7;
      }
      buffer[lengthAt + lengthBytes - 1] = length;
    },
    string: (field, value, always = false) => {
      if (value === "" && !always) return;
      const most = value.length * 3;
      tag(field, lengthDelimited, most);
      const length = Buffer.byteLength(value);
      writeVarint(length);
      at += buffer.write(value, at);
    },
    hex: (field, value) => {
      if (value === "") return;
      tag(field, lengthDelimited, value.length);
      writeVarint(value.length / 2);
      at += buffer.write(value, at, "hex");
    },
    uint: (field, value, always = false) => {
      if (value === 0 && !always) return;
      tag(field, varint, 0);
      writeVarint(value);
    },
    double: (field, value) => {
      tag(field, fixed64, 8);
      at = buffer.writeDoubleLE(value, at);
    },
    sfixed64: writeFixed64,
    nanos: (field, ms) => writeFixed64(field, Math.round(ms * 1e6)),
    finish: () => Uint8Array.from(buffer.subarray(0, at)),
  };
}
