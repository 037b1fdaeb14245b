/**
 * Copying and comparing ranges of memory. Short ranges are the rule, so both go in whole words of 8
 * or 16 bytes, the last of which overlaps the one before; nothing beyond a range is touched.
 */

export function copy(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}

export function clear(at: usize, bytes: usize): void {
  memory.fill(at, 0, bytes);
}

/** Copies a range that the other does not overlap; answers whether every byte of it is ASCII. */
export function copyShort(to: usize, from: usize, length: usize): bool {
  if (length >= 16) {
    const last: usize = length - 16;
    let all = v128.load(from + last);
    v128.store(to + last, all);
    for (let i: usize = 0; i < last; i += 16) {
      const word = v128.load(from + i);
      all = v128.or(all, word);
      v128.store(to + i, word);
    }
    return i8x16.bitmask(all) == 0;
  }
  if (length >= 8) {
    const last: usize = length - 8;
    const head = load<u64>(from);
    const tail = load<u64>(from + last);
    store<u64>(to, head);
    store<u64>(to + last, tail);
    return ((head | tail) & 0x8080808080808080) == 0;
  }
  if (length >= 4) {
    const last: usize = length - 4;
    const head = load<u32>(from);
    const tail = load<u32>(from + last);
    store<u32>(to, head);
    store<u32>(to + last, tail);
    return ((head | tail) & 0x80808080) == 0;
  }
  let all: u32 = 0;
  for (let i: usize = 0; i < length; i += 1) {
    const byte = load<u8>(from + i);
    all |= byte;
    store<u8>(to + i, <u8>byte);
  }
  return all < 0x80;
}

export function same(left: usize, right: usize, length: usize): bool {
  if (length >= 16) {
    const last: usize = length - 16;
    let differs = v128.xor(v128.load(left + last), v128.load(right + last));
    for (let i: usize = 0; i < last; i += 16) {
      differs = v128.or(differs, v128.xor(v128.load(left + i), v128.load(right + i)));
    }
    return !v128.any_true(differs);
  }
  if (length >= 8) {
    const last: usize = length - 8;
    const head = load<u64>(left) ^ load<u64>(right);
    return (head | (load<u64>(left + last) ^ load<u64>(right + last))) == 0;
  }
  if (length >= 4) {
    const last: usize = length - 4;
    const head = load<u32>(left) ^ load<u32>(right);
    return (head | (load<u32>(left + last) ^ load<u32>(right + last))) == 0;
  }
  for (let i: usize = 0; i < length; i += 1) {
    if (load<u8>(left + i) != load<u8>(right + i)) return false;
  }
  return true;
}

/** Whether the range is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. */
export function isUtf8(at: usize, length: usize): bool {
  const end = at + length;
  while (at < end) {
    const first = load<u8>(at);
    if (first < 0x80) {
      at += 1;
      continue;
    }
    let least: u32 = 0x80;
    let most: u32 = 0xbf;
    let rest: usize = 1;
    if (first < 0xc2 || first > 0xf4) return false;
    if (first >= 0xf0) {
      rest = 3;
      if (first == 0xf0) least = 0x90;
      else if (first == 0xf4) most = 0x8f;
    } else if (first >= 0xe0) {
      rest = 2;
      if (first == 0xe0) least = 0xa0;
      else if (first == 0xed) most = 0x9f;
    }
    if (at + rest >= end) return false;
    const second = load<u8>(at + 1);
    if (second < least || second > most) return false;
    for (let i: usize = 2; i <= rest; i += 1) {
      if ((load<u8>(at + i) & 0xc0) != 0x80) return false;
    }
    at += rest + 1;
  }
  return true;
}
