/**
 * Writing of protobuf messages, as much as the stream needs: numbers, text and bytes.
 */

/** Field number and value: a non-negative integer below 2^53, text or bytes; undefined is left out. */
export type ProtobufField = readonly [number, number | string | Uint8Array | undefined];

export function writeProtobuf(fields: readonly ProtobufField[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (value === undefined) continue;
    if (typeof value === "number") {
      parts.push(Uint8Array.from([...varint(number * 8), ...varint(value)]));
      continue;
    }
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    parts.push(Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes);
  }
  return Buffer.concat(parts);
}

/** LEB128. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}
