/**
 * Columns that grow (`columns.ts`): appending to them by their header, which says where their memory
 * begins, where what is used of it ends, and where it ends itself.
 */
import { copyShort, isUtf8 } from "./bytes";

/** Asks the column's owner for room for so many more words or bytes. */
export declare function grow(header: usize, count: u32): void;

export function endOf(header: usize): usize {
  return load<u32>(header, 4);
}

export function setEnd(header: usize, end: usize): void {
  store<u32>(header, <u32>end, 4);
}

export function lengthOfPool(header: usize): u32 {
  return load<u32>(header, 4) - load<u32>(header);
}

export function setLength(header: usize, length: u32): void {
  store<u32>(header, load<u32>(header) + length, 4);
}

export function pushWord(header: usize, word: u32): void {
  let end = endOf(header);
  if (end + 4 > <usize>load<u32>(header, 8)) {
    grow(header, 1);
    end = endOf(header);
  }
  store<u32>(end, word);
  setEnd(header, end + 4);
}

export function pushLong(header: usize, long: u64): void {
  let end = endOf(header);
  if (end + 8 > <usize>load<u32>(header, 8)) {
    grow(header, 2);
    end = endOf(header);
  }
  store<u64>(end, long);
  setEnd(header, end + 8);
}

/** Where so many bytes can be written. */
export function roomFor(header: usize, bytes: u32): usize {
  const end = endOf(header);
  if (end + bytes <= <usize>load<u32>(header, 8)) return end;
  grow(header, bytes);
  return endOf(header);
}

/** Appends a text with the length before it; false where it is no UTF-8. */
export function pushText(header: usize, at: usize, length: u32): bool {
  let to = roomFor(header, length + 8);
  let rest = length;
  for (; rest >= 0x80; rest >>= 7) store<u8>(to++, (rest & 0x7f) | 0x80);
  store<u8>(to++, rest);
  if (!copyShort(to, at, length) && !isUtf8(at, length)) return false;
  setEnd(header, to + length);
  return true;
}
