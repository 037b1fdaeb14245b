/**
 * Random numbers for ids: xoshiro128**, seeded from the system's generator. An id needs no secrecy,
 * only never to meet another; crypto.getRandomValues would cost more than the rest of a span.
 *
 * Algorithm: Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators" (public domain).
 */
import { randomBytes } from "node:crypto";

const seed = new Uint32Array(new Uint8Array(randomBytes(16)).buffer);
let a = (seed[0] ?? 0) | 1;
let b = seed[1] ?? 0;
let c = seed[2] ?? 0;
let d = seed[3] ?? 0;

/** 32 random bits, as a signed number: V8 keeps those without allocating. */
export function random32(): number {
  const scrambled = Math.imul(b, 5);
  const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
  const shifted = b << 9;
  c ^= a;
  d ^= b;
  b ^= c;
  a ^= d;
  c ^= shifted;
  d = (d << 11) | (d >>> 21);
  return result | 0;
}

/** Eight hex digits of a word. */
export function hex32(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

const traceIdForm = /^[0-9a-f]{32}$/;
const spanIdForm = /^[0-9a-f]{16}$/;

/** Whether both ids have the right form and are not all zero. */
export function isValidContext(traceId: unknown, spanId: unknown): boolean {
  return (
    typeof traceId === "string" &&
    typeof spanId === "string" &&
    traceIdForm.test(traceId) &&
    spanIdForm.test(spanId) &&
    !/^0+$/.test(traceId) &&
    !/^0+$/.test(spanId)
  );
}

/** The word at `index` (of 8 hex digits each) of an id, signed. */
export function word(id: string, index: number): number {
  return Number.parseInt(id.slice(index * 8, index * 8 + 8), 16) | 0;
}
