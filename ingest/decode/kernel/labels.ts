/**
 * LowCardinality columns: interned strings as a dictionary of those that occur and positions in it.
 */
import { copyShort } from "./bytes";
import * as layout from "./layout";
import { bytesBase, lengthOf, offsetOf } from "./strings";

/** Serialisation flags: the block carries its own keys and replaces the dictionary. */
const hasAdditionalKeys: u64 = 1 << 9;
const needsUpdate: u64 = 1 << 10;

/**
 * Lists the distinct strings at `entries`, each once, and answers how many there are. Their positions
 * are written to `narrow`, a byte each: they count where there are no more than 256.
 */
export function collect(
  entries: usize,
  from: usize,
  stride: usize,
  count: i32,
  narrow: usize,
): i32 {
  const positions: usize = load<u32>(layout.strings_positions);
  let distinct = 0;
  let last: u32 = u32.MAX_VALUE;
  let position: u32 = 0;
  for (let i = 0; i < count; i += 1, from += stride, narrow += 1) {
    const id = load<u32>(from);
    if (id != last) {
      last = id;
      const place = positions + ((<usize>id) << 2);
      position = load<u32>(place);
      if (position == 0) {
        store<u32>(entries + ((<usize>distinct) << 2), id);
        distinct += 1;
        position = distinct;
        store<u32>(place, position);
      }
    }
    store<u8>(narrow, position - 1);
  }
  return distinct;
}

export function dictionaryBytes(entries: usize, count: i32): u32 {
  let sum: u32 = 0;
  for (let i = 0; i < count; i += 1) sum += lengthOf(load<u32>(entries + ((<usize>i) << 2))) + 5;
  return sum;
}

/** Writes flags, dictionary and positions; answers where they end. */
export function labels(
  to: usize,
  entries: usize,
  distinct: i32,
  from: usize,
  stride: usize,
  count: i32,
  narrow: usize,
): usize {
  const width: u64 = distinct <= 0x100 ? 0 : distinct <= 0x10000 ? 1 : 2;
  store<u64>(to, width | hasAdditionalKeys | needsUpdate);
  store<u64>(to, distinct, 8);
  to += 16;
  const bytes = bytesBase();
  for (let i = 0; i < distinct; i += 1) {
    const id = load<u32>(entries + ((<usize>i) << 2));
    const length = lengthOf(id);
    // The string lies behind its length already.
    const prefix: u32 = length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
    copyShort(to, bytes + offsetOf(id) - prefix, length + prefix);
    to += length + prefix;
  }
  store<u64>(to, count);
  to += 8;
  const positions: usize = load<u32>(layout.strings_positions);
  if (width == 0) memory.copy(to, narrow, count);
  else writePositions(to, positions, from, stride, count, <u32>width);
  for (let i = 0; i < distinct; i += 1) {
    store<u32>(positions + ((<usize>load<u32>(entries + ((<usize>i) << 2))) << 2), 0);
  }
  return to + ((<usize>count) << (<usize>width));
}

function writePositions(
  to: usize,
  positions: usize,
  from: usize,
  stride: usize,
  count: i32,
  width: u32,
): void {
  if (width == 0) {
    for (let i = 0; i < count; i += 1, from += stride, to += 1) {
      store<u8>(to, load<u32>(positions + ((<usize>load<u32>(from)) << 2)) - 1);
    }
  } else if (width == 1) {
    for (let i = 0; i < count; i += 1, from += stride, to += 2) {
      store<u16>(to, load<u32>(positions + ((<usize>load<u32>(from)) << 2)) - 1);
    }
  } else {
    for (let i = 0; i < count; i += 1, from += stride, to += 4) {
      store<u32>(to, load<u32>(positions + ((<usize>load<u32>(from)) << 2)) - 1);
    }
  }
}
