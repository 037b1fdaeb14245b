/**
 * Interned strings: attribute keys and every value with a LowCardinality column get a small number,
 * so that a column of them is an array of numbers and a dictionary costs little per row.
 *
 * Each lies in `bytes` as an attribute's key does on the wire, with tag and length before it and the
 * value's tag behind it, so that one comparison tells an expected key. Number 0 is the empty string.
 * Strings that are no UTF-8 stay findable by their bytes and point to their repaired twin. The table
 * only grows until `clear`, which the owner calls between batches.
 */
import { keyTag, valueOfKeyTag } from "./wire.ts";
import { classifyKey } from "./key-roles.ts";
import { isValid, lengthPrefixBytes, repaired, sameBytes } from "./text.ts";

const textDecoder = new TextDecoder();
const textEncoder = new TextEncoder();

export class Strings {
  bytes = new Uint8Array(0);
  view = new DataView(this.bytes.buffer);
  offsets = new Uint32Array(0);
  lengths = new Uint32Array(0);
  count = 0;
  /** What a string means as an attribute's key; 0 until asked. See `key-roles.ts`. */
  roles = new Uint16Array(0);
  /** The string itself, or its repaired twin. */
  clean = new Uint32Array(0);
  /** Number of times that strings were renumbered. */
  generation = 0;
  /** Scratch for writing dictionaries: position + 1; all 0 between uses. */
  positions = new Uint32Array(0);
  private nextName = new Uint32Array(0);
  private hashes = new Int32Array(0);
  private slots = new Int32Array(0);
  private used = 0;
  private texts: (string | undefined)[] = [];
  private constants = new Map<string, number>();
  private readonly seed: number;

  /** `seed` makes the hash unknown to senders, who could else choose keys that collide. */
  constructor(seed: number) {
    this.seed = seed;
    this.clear();
  }

  clear(): void {
    this.count = 0;
    this.used = 0;
    this.bytes = new Uint8Array(1 << 16);
    this.view = new DataView(this.bytes.buffer);
    this.offsets = new Uint32Array(1024);
    this.lengths = new Uint32Array(1024);
    this.roles = new Uint16Array(1024);
    this.clean = new Uint32Array(1024);
    this.generation += 1;
    this.positions = new Uint32Array(1024);
    this.nextName = new Uint32Array(1024);
    this.hashes = new Int32Array(1024);
    this.slots = new Int32Array(4096).fill(-1);
    this.texts = [];
    this.constants.clear();
    this.intern(this.bytes, this.view, 0, 0);
  }

  /** The number of a span's name that came after `previous`: names follow each other in patterns. */
  afterName(
    previous: number,
    from: Uint8Array,
    view: DataView,
    offset: number,
    length: number,
  ): number {
    const guess = this.nextName[previous] ?? 0;
    if (this.is(guess, view, offset, length)) return guess;
    const id = this.intern(from, view, offset, length);
    this.nextName[previous] = id;
    return id;
  }

  /** Whether the string with this number is the one in these bytes. */
  is(id: number, view: DataView, offset: number, length: number): boolean {
    return this.lengths[id] === length && this.equals(id, view, offset, length);
  }

  intern(from: Uint8Array, view: DataView, offset: number, length: number): number {
    const hash = hashBytes(this.seed, from, view, offset, length);
    const mask = this.slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = this.slots[slot] ?? -1;
      if (id === -1) return this.add(from, offset, length, hash, slot);
      if (
        this.hashes[id] === hash &&
        this.lengths[id] === length &&
        this.equals(id, view, offset, length)
      ) {
        return id;
      }
    }
  }

  /** The number of a word of our own. */
  constant(text: string): number {
    const known = this.constants.get(text);
    if (known !== undefined) return known;
    const bytes = textEncoder.encode(text);
    const id = this.intern(bytes, new DataView(bytes.buffer), 0, bytes.length);
    this.constants.set(text, id);
    return id;
  }

  text(id: number): string {
    const known = this.texts[id];
    if (known !== undefined) return known;
    const offset = this.offsets[id] ?? 0;
    const text = textDecoder.decode(this.bytes.subarray(offset, offset + (this.lengths[id] ?? 0)));
    this.texts[id] = text;
    return text;
  }

  /** The string with its LEB128 length before it. */
  prefixed(id: number): Uint8Array {
    const offset = this.offsets[id] ?? 0;
    const length = this.lengths[id] ?? 0;
    return this.bytes.subarray(offset - lengthPrefixBytes(length), offset + length);
  }

  /** Where the string lies with a key's tags around it. */
  place(id: number): number {
    return (this.offsets[id] ?? 0) - 2;
  }

  role(id: number): number {
    const role = this.roles[id] ?? 0;
    if (role !== 0) return role;
    const classified = classifyKey(this.text(id));
    this.roles[id] = classified;
    return classified;
  }

  private equals(id: number, view: DataView, offset: number, length: number): boolean {
    return sameBytes(this.view, this.offsets[id] ?? 0, view, offset, length);
  }

  private add(
    from: Uint8Array,
    offset: number,
    length: number,
    hash: number,
    slot: number,
  ): number {
    if (this.count === this.offsets.length) this.growIds();
    while (this.used + length + 8 > this.bytes.length) this.growBytes();
    const id = this.count++;
    this.bytes[this.used++] = keyTag;
    for (let rest = length; ; rest >>>= 7) {
      this.bytes[this.used++] = rest < 0x80 ? rest : (rest & 0x7f) | 0x80;
      if (rest < 0x80) break;
    }
    this.bytes.set(from.subarray(offset, offset + length), this.used);
    this.offsets[id] = this.used;
    this.lengths[id] = length;
    this.hashes[id] = hash;
    this.nextName[id] = 0;
    this.roles[id] = 0;
    this.clean[id] = id;
    this.used += length;
    this.bytes[this.used++] = valueOfKeyTag;
    this.slots[slot] = id;
    if (this.count * 2 > this.slots.length) this.rehash();
    if (!isValid(from, offset, length)) {
      const text = repaired(from, offset, length);
      this.clean[id] = this.intern(text, new DataView(text.buffer), 0, text.length);
    }
    return id;
  }

  private rehash(): void {
    this.slots = new Int32Array(this.slots.length * 2).fill(-1);
    const mask = this.slots.length - 1;
    for (let id = 0; id < this.count; id += 1) {
      let slot = (this.hashes[id] ?? 0) & mask;
      while (this.slots[slot] !== -1) slot = (slot + 1) & mask;
      this.slots[slot] = id;
    }
  }

  private growIds(): void {
    const grow = (old: Uint32Array): Uint32Array<ArrayBuffer> => {
      const wide = new Uint32Array(old.length * 2);
      wide.set(old);
      return wide;
    };
    this.offsets = grow(this.offsets);
    this.lengths = grow(this.lengths);
    this.nextName = grow(this.nextName);
    this.clean = grow(this.clean);
    this.positions = grow(this.positions);
    const roles = new Uint16Array(this.roles.length * 2);
    roles.set(this.roles);
    this.roles = roles;
    const hashes = new Int32Array(this.hashes.length * 2);
    hashes.set(this.hashes);
    this.hashes = hashes;
  }

  private growBytes(): void {
    const bytes = new Uint8Array(this.bytes.length * 2);
    bytes.set(this.bytes);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}

/** Multiply and rotate over words; its low bits are spread well enough for a half-empty table. */
function hashBytes(
  seed: number,
  bytes: Uint8Array,
  view: DataView,
  offset: number,
  length: number,
): number {
  let hash = Math.imul(length ^ seed, -1640531527);
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    hash = Math.imul(hash ^ view.getUint32(offset + i, true), -862048943);
    hash = (hash << 15) | (hash >>> 17);
  }
  for (; i < length; i += 1) {
    hash = Math.imul(hash ^ (bytes[offset + i] ?? 0), 461845907);
    hash = (hash << 13) | (hash >>> 19);
  }
  hash = Math.imul(hash ^ (hash >>> 16), -2048144789);
  return hash ^ (hash >>> 13);
}
