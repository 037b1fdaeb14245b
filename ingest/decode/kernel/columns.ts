/**
 * Columns of a Native block out of rows of words. `from` is the first row's word, rows are `stride`
 * bytes apart. The room at `to` is the caller's business, with 16 bytes to spare.
 */
import { copyShort } from "./bytes";

/** One number a row, of 1, 2, 4, 8 or 16 bytes. */
export function numbers(to: usize, from: usize, stride: usize, rows: i32, bytes: i32): void {
  if (bytes == 1) {
    for (let i = 0; i < rows; i += 1, from += stride, to += 1) store<u8>(to, load<u8>(from));
  } else if (bytes == 2) {
    for (let i = 0; i < rows; i += 1, from += stride, to += 2) store<u16>(to, load<u16>(from));
  } else if (bytes == 4) {
    for (let i = 0; i < rows; i += 1, from += stride, to += 4) store<u32>(to, load<u32>(from));
  } else if (bytes == 8) {
    for (let i = 0; i < rows; i += 1, from += stride, to += 8) store<u64>(to, load<u64>(from));
  } else {
    for (let i = 0; i < rows; i += 1, from += stride, to += 16) {
      v128.store(to, v128.load(from));
    }
  }
}

/** One integer a row that is kept as a double; NaN is written as 0. */
export function integers(to: usize, from: usize, stride: usize, rows: i32, bytes: i32): void {
  if (bytes == 4) {
    for (let i = 0; i < rows; i += 1, from += stride, to += 4) {
      store<u32>(to, <u32>(<i64>load<f64>(from)));
    }
  } else {
    for (let i = 0; i < rows; i += 1, from += stride, to += 8) {
      store<i64>(to, <i64>load<f64>(from));
    }
  }
}

/** One byte a row: 1 where the double is NaN. */
export function nulls(to: usize, from: usize, stride: usize, rows: i32): void {
  for (let i = 0; i < rows; i += 1, from += stride, to += 1) {
    const value = load<f64>(from);
    store<u8>(to, value != value ? 1 : 0);
  }
}

/** Ends of lists, of which a row has the length. */
export function ends(to: usize, from: usize, stride: usize, rows: i32): void {
  let end: u64 = 0;
  for (let i = 0; i < rows; i += 1, from += stride, to += 8) {
    end += load<u32>(from);
    store<u64>(to, end);
  }
}

/** One text a row: where it begins behind `base`, 0 for the empty one. */
export function texts(to: usize, from: usize, stride: usize, rows: i32, base: usize): usize {
  for (let i = 0; i < rows; i += 1, from += stride) {
    const at: usize = load<u32>(from);
    if (at == 0) {
      store<u8>(to, 0);
      to += 1;
      continue;
    }
    const size = prefixed(base + at);
    copyShort(to, base + at, size);
    to += size;
  }
  return to;
}

/** Bytes of the text at `at`, its LEB128 length included. */
export function prefixed(at: usize): usize {
  let pos = at;
  let shift: usize = 0;
  let byte: usize = load<u8>(pos++);
  let size = byte & 0x7f;
  while (byte >= 0x80) {
    shift += 7;
    byte = load<u8>(pos++);
    size |= (byte & 0x7f) << shift;
  }
  return pos - at + size;
}
