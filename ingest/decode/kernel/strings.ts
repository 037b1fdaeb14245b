/**
 * Interned strings as `strings.ts` keeps them: finding one by its bytes. What is new is given its
 * number outside.
 */
import { same } from "./bytes";
import * as layout from "./layout";

export declare function intern(at: usize, length: u32): u32;

export function bytesBase(): usize {
  return load<u32>(layout.strings_bytes);
}

export function lengthOf(id: u32): u32 {
  return load<u32>(<usize>load<u32>(layout.strings_lengths) + ((<usize>id) << 2));
}

export function offsetOf(id: u32): u32 {
  return load<u32>(<usize>load<u32>(layout.strings_offsets) + ((<usize>id) << 2));
}

export function cleanOf(id: u32): u32 {
  return load<u32>(<usize>load<u32>(layout.strings_clean) + ((<usize>id) << 2));
}

/** What the string means as a key (`key-roles.ts`); 0 where nobody asked yet. */
export function roleOf(id: u32): u32 {
  return load<u32>(<usize>load<u32>(layout.strings_roles) + ((<usize>id) << 2));
}

/** Whether the string with this number is the one in these bytes. */
export function isString(id: u32, at: usize, length: u32): bool {
  return lengthOf(id) == length && same(bytesBase() + offsetOf(id), at, length);
}

/** The number of the string in these bytes, -1 where it has none. */
export function find(at: usize, length: u32): i32 {
  const hash = hashOf(at, length);
  const mask = load<u32>(layout.strings_mask);
  const slots: usize = load<u32>(layout.strings_slots);
  const hashes: usize = load<u32>(layout.strings_hashes);
  let slot = hash & mask;
  let id = load<u32>(slots + ((<usize>slot) << 2));
  while (id != 0) {
    if (load<u32>(hashes + ((<usize>(id - 1)) << 2)) == hash && isString(id - 1, at, length)) break;
    slot = (slot + 1) & mask;
    id = load<u32>(slots + ((<usize>slot) << 2));
  }
  return <i32>id - 1;
}

/** The number of the string in these bytes. */
export function numberOf(at: usize, length: u32): u32 {
  const known = find(at, length);
  return known >= 0 ? <u32>known : intern(at, length);
}

/** The same as `hashBytes` in `strings.ts`. */
function hashOf(at: usize, length: u32): u32 {
  let hash: u32 = (length ^ load<u32>(layout.strings_seed)) * 0x9e3779b9;
  let i: u32 = 0;
  for (; i + 4 <= length; i += 4) {
    hash = (hash ^ load<u32>(at + i)) * 0xcc9e2d51;
    hash = rotl<u32>(hash, 15);
  }
  for (; i < length; i += 1) {
    hash = (hash ^ load<u8>(at + i)) * 0x1b873593;
    hash = rotl<u32>(hash, 13);
  }
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  return hash ^ (hash >> 13);
}
