/**
 * The form of an API key: `axk_<id>_<secret>_<crc>`, base62 parts.
 *
 * The checksum (CRC-32 of all that stands before it) tells a mistyped key from an unknown one
 * without asking a store. Only SHA-256 of the secret is ever kept: the secret has 256 bits of
 * entropy, so a slow hash would add nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

export interface ParsedKey {
  id: string;
  secret: string;
}

/** 12 × log2(62) = 71 bits: no two keys share an id. */
const idLength = 12;
/** 43 × log2(62) = 256 bits. */
const secretLength = 43;
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const pattern = /^(axk_([0-9A-Za-z]{10,32})_([0-9A-Za-z]{32,64}))_([0-9A-Za-z]{6})$/;

/** A new key. `key` is shown once and never kept. */
export function generateKey(): { id: string; key: string; secretSha256: Buffer } {
  const id = randomBase62(idLength);
  const secret = randomBase62(secretLength);
  const body = `axk_${id}_${secret}`;
  return { id, key: `${body}_${checksum(body)}`, secretSha256: sha256(secret) };
}

/** Undefined when the text is not a whole key: cut off, mistyped, or something else. */
export function parseKey(text: string): ParsedKey | undefined {
  const [, body, id, secret, crc] = pattern.exec(text) ?? [];
  if (body === undefined || id === undefined || secret === undefined) return undefined;
  return checksum(body) === crc ? { id, secret } : undefined;
}

export const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

/** 62^6 > 2^32: six digits hold every CRC-32. */
function checksum(body: string): string {
  let rest = crc32(body);
  let text = "";
  for (let digit = 0; digit < 6; digit += 1) {
    text = alphabet.charAt(rest % 62) + text;
    rest = Math.floor(rest / 62);
  }
  return text;
}

function randomBase62(length: number): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      // 248 = 4 × 62: dropping the rest keeps every digit equally likely.
      if (byte < 248 && text.length < length) text += alphabet.charAt(byte % 62);
    }
  }
  return text;
}
