/**
 * A 64-bit hash of bytes as two 32-bit halves, the same in every process and on every machine: it
 * names resources in `spans.resource_fp`. Not meant against adversaries; it is salted by tenant, so
 * that a sender who makes collisions meets only their own resources.
 */
export interface Hash64 {
  lo: number;
  hi: number;
}

export function hash64(bytes: Uint8Array, start: number, end: number, salt: number): Hash64 {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let a = (0x9e3779b9 ^ salt) | 0;
  let b = (0x85ebca6b ^ Math.imul(salt, 0x27d4eb2f)) | 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    const word = view.getUint32(i, true);
    a = Math.imul(a ^ word, 0xcc9e2d51);
    a = (a << 15) | (a >>> 17);
    b = Math.imul((b ^ a) + word, 0x1b873593);
    b = (b << 13) | (b >>> 19);
  }
  for (; i < end; i += 1) {
    a = Math.imul(a ^ (bytes[i] ?? 0), 0x85ebca77);
    b = Math.imul((b ^ a) + (bytes[i] ?? 0), 0xc2b2ae3d);
  }
  a ^= end - start;
  b ^= a;
  return { lo: mixed(a ^ mixed(b)) >>> 0, hi: mixed(b + Math.imul(a, 0x9e3779b1)) >>> 0 };
}

function mixed(value: number): number {
  let word = value | 0;
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}
