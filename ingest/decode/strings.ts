/**
 * Interned strings: attribute keys and every value with a LowCardinality column get a small number,
 * so that a column of them is an array of numbers and a dictionary costs little per row.
 *
 * Each lies in `bytes` as an attribute's key does on the wire, with tag and length before it and the
 * value's tag behind it, so that one comparison tells an expected key. Number 0 is the empty string.
 * Strings that are no UTF-8 stay findable by their bytes and point to their repaired twin. The table
 * only grows until `clear`, which the owner calls between batches.
 */
import { Heap } from "./heap.ts";
import { classifyKey } from "./key-roles.ts";
import { stringsAt, stringsFields } from "./memory-map.ts";
import { isValid, repaired, sameBytes } from "./text.ts";
import { keyTag, valueOfKeyTag } from "./wire.ts";

const textDecoder = new TextDecoder();
const textEncoder = new TextEncoder();

const firstIds = 1024;
const firstBytes = 1 << 16;
const firstSlots = 4096;

export class Strings {
  readonly heap: Heap;
  bytes: Uint8Array;
  view: DataView;
  offsets: Uint32Array;
  lengths: Uint32Array;
  count = 0;
  /** What a string means as an attribute's key; 0 until asked. See `key-roles.ts`. */
  roles: Uint32Array;
  /** The string itself, or its repaired twin. */
  clean: Uint32Array;
  /** Scratch of the kernel's dictionaries: position + 1; all 0 between uses. */
  private positions: Uint32Array;
  private hashes: Uint32Array;
  /** Open addressing: number + 1, 0 where free. */
  private slots: Uint32Array;
  private used = 0;
  private texts: (string | undefined)[] = [];
  private constants = new Map<string, number>();
  private readonly seed: number;

  /** `seed` makes the hash unknown to senders, who could else choose keys that collide. */
  constructor(seed: number, heap = new Heap()) {
    this.seed = seed;
    this.heap = heap;
    this.bytes = heap.uint8(firstBytes);
    this.view = viewOf(this.bytes);
    this.offsets = heap.uint32(firstIds);
    this.lengths = heap.uint32(firstIds);
    this.roles = heap.uint32(firstIds);
    this.clean = heap.uint32(firstIds);
    this.positions = heap.uint32(firstIds);
    this.hashes = heap.uint32(firstIds);
    this.slots = heap.uint32(firstSlots);
    this.intern(this.bytes, this.view, 0, 0);
    this.publish();
    heap.onIntern((at, length) => this.intern(heap.bytes, heap.view, at, length));
  }

  clear(): void {
    this.count = 0;
    this.used = 0;
    this.roles.fill(0);
    this.slots.fill(0);
    this.texts = [];
    this.constants.clear();
    this.intern(this.bytes, this.view, 0, 0);
  }

  /** Whether the string with this number is the one in these bytes. */
  is(id: number, view: DataView, offset: number, length: number): boolean {
    return this.lengths[id] === length && this.equals(id, view, offset, length);
  }

  intern(from: Uint8Array, view: DataView, offset: number, length: number): number {
    const hash = hashBytes(this.seed, from, view, offset, length) >>> 0;
    const mask = this.slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const id = (this.slots[slot] ?? 0) - 1;
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
    this.roles[id] = 0;
    this.clean[id] = id;
    this.used += length;
    this.bytes[this.used++] = valueOfKeyTag;
    this.slots[slot] = id + 1;
    if (this.count * 2 > this.slots.length) this.rehash();
    if (!isValid(from, offset, length)) {
      const text = repaired(from, offset, length);
      const twin = this.intern(text, new DataView(text.buffer), 0, text.length);
      // Only now: `clean` may have moved meanwhile.
      this.clean[id] = twin;
    }
    return id;
  }

  private rehash(): void {
    const { slots, heap } = this;
    this.slots = heap.uint32(slots.length * 2);
    heap.release(slots.byteOffset, slots.byteLength);
    const mask = this.slots.length - 1;
    for (let id = 0; id < this.count; id += 1) {
      let slot = (this.hashes[id] ?? 0) & mask;
      while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
      this.slots[slot] = id + 1;
    }
    this.publish();
  }

  private growIds(): void {
    const count = this.offsets.length * 2;
    const grow = (old: Uint32Array): Uint32Array => this.heap.widened(old, count);
    this.offsets = grow(this.offsets);
    this.lengths = grow(this.lengths);
    this.roles = grow(this.roles);
    this.clean = grow(this.clean);
    this.positions = grow(this.positions);
    this.hashes = grow(this.hashes);
    this.publish();
  }

  private growBytes(): void {
    const { bytes, heap } = this;
    this.bytes = heap.uint8(bytes.length * 2);
    this.view = viewOf(this.bytes);
    heap.kernel.copy(this.bytes.byteOffset, bytes.byteOffset, bytes.length);
    heap.release(bytes.byteOffset, bytes.length);
    this.publish();
  }

  /** Tells the kernel where everything is now. */
  private publish(): void {
    const { heap, slots } = this;
    const places = {
      bytes: this.bytes.byteOffset,
      offsets: this.offsets.byteOffset,
      lengths: this.lengths.byteOffset,
      roles: this.roles.byteOffset,
      clean: this.clean.byteOffset,
      hashes: this.hashes.byteOffset,
      slots: slots.byteOffset,
      mask: slots.length - 1,
      seed: this.seed,
      positions: this.positions.byteOffset,
    };
    stringsFields.forEach((field, i) => (heap.words[stringsAt / 4 + i] = places[field]));
  }
}

function viewOf({ buffer, byteOffset, length }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, length);
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
