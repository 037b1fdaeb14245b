/**
 * A span's events: time, name, and attributes as JSON text, as `events.ts` and `any-value.ts` write
 * them. Doubles, nested values and whatever may be content are left to those.
 */
import { isUtf8 } from "./bytes";
import * as layout from "./layout";
import { noteOf } from "./normalize";
import { pushLong, pushWord, roomFor, setEnd } from "./pools";
import * as scan from "./scan";
import { cleanOf, numberOf, roleOf } from "./strings";

/** Where the JSON text goes, and how far it came. */
let out: usize = 0;

export function event(at: usize, limit: usize): bool {
  // A byte becomes six at most (\u0000), and a number is shorter than 21; no event is larger.
  if (limit - at > layout.eventBytes) return false;
  const header: usize = load<u32>(layout.state_eventAttrs);
  const begin = roomFor(header, <u32>(limit - at) * 12 + 64);
  // A length of one byte is hoped for.
  out = begin + 1;
  store<u8>(out++, 0x7b);
  let time: u64 = 0;
  let name: u32 = 0;
  while (at < limit) {
    const tag = load<u8>(at);
    if (tag == 0x09) {
      if (at + 9 > limit) return false;
      time = load<u64>(at + 1);
      at += 9;
    } else if (tag == 0x20 && at + 2 <= limit && load<u8>(at + 1) < 0x80) {
      at += 2;
    } else if (tag == 0x12 || tag == 0x1a) {
      const next = scan.block(at + 1, limit);
      if (next == 0) return false;
      const start = scan.startOfBlock();
      if (tag == 0x12) {
        if (next - start > layout.labelBytes) return false;
        name = next == start ? 0 : numberOf(start, <u32>(next - start));
        if (cleanOf(name) != name) return false;
      } else if (!member(start, next, out == begin + 2)) return false;
      at = next;
    } else return false;
  }
  if (((noteOf(name) >> layout.note_contentEvent) & 1) != 0) return false;
  store<u8>(out++, 0x7d);
  finish(header, begin);
  pushLong(load<u32>(layout.state_eventTime), time);
  pushWord(load<u32>(layout.state_eventName), name);
  return true;
}

/** Puts the length before the text, which may have to move for it. */
function finish(header: usize, begin: usize): void {
  const length = out - begin - 1;
  let to = begin;
  if (length >= 0x80) {
    const prefix: usize = length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
    memory.copy(begin + prefix, begin + 1, length);
    let rest = length;
    for (; rest >= 0x80; rest >>= 7) store<u8>(to++, <u8>(rest & 0x7f) | 0x80);
    store<u8>(to++, <u8>rest);
    setEnd(header, begin + prefix + length);
    return;
  }
  store<u8>(to, <u8>length);
  setEnd(header, begin + 1 + length);
}

/** One `"key":value`. */
function member(at: usize, limit: usize, isFirst: bool): bool {
  if (at + 2 > limit || load<u8>(at) != 0x0a) return false;
  const value = scan.block(at + 1, limit);
  if (value == 0 || value + 2 > limit || load<u8>(value) != 0x12) return false;
  const key = scan.startOfBlock();
  const length = <u32>(value - key);
  if (length > layout.keyBytes) return false;
  const role = roleOf(numberOf(key, length));
  if (role == 0 || (role & layout.role_content) != 0) return false;
  if (!isFirst) store<u8>(out++, 0x2c);
  if (!text(key, length)) return false;
  store<u8>(out++, 0x3a);
  if (scan.block(value + 1, limit) != limit) return false;
  const inner = scan.startOfBlock();
  if (inner + 2 > limit) return false;
  const tag = load<u8>(inner);
  if (tag == 0x0a) {
    if (scan.block(inner + 1, limit) != limit) return false;
    const start = scan.startOfBlock();
    return limit - start <= layout.attributeBytes && text(start, <u32>(limit - start));
  }
  if (tag == 0x18) return int(inner + 1, limit);
  if (tag != 0x10 || inner + 2 != limit) return false;
  const isTrue = load<u8>(inner, 1);
  if (isTrue == 1) {
    store<u32>(out, 0x65757274);
    out += 4;
  } else if (isTrue == 0) {
    store<u32>(out, 0x736c6166);
    store<u8>(out + 4, 0x65);
    out += 5;
  }
  return isTrue < 2;
}

/** A whole number of up to 49 bits, not negative. */
function int(at: usize, limit: usize): bool {
  let value: u64 = 0;
  let shift: u64 = 0;
  for (; at < limit && shift < 49; shift += 7) {
    const byte = <u64>load<u8>(at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (at != limit) return false;
      digits(value);
      return true;
    }
  }
  return false;
}

function digits(value: u64): void {
  let count: usize = 1;
  for (let rest = value; rest >= 10; rest /= 10) count += 1;
  out += count;
  let to = out;
  do {
    to -= 1;
    store<u8>(to, 0x30 + <u8>(value % 10));
    value /= 10;
  } while (value != 0);
}

/** A JSON string; false where it is no UTF-8. */
function text(at: usize, length: u32): bool {
  store<u8>(out++, 0x22);
  const end = at + length;
  let seen: u32 = 0;
  for (let from = at; from < end; from += 1) {
    const byte = <u32>load<u8>(from);
    seen |= byte;
    if (byte == 0x22 || byte == 0x5c) {
      store<u16>(out, 0x5c | (byte << 8));
      out += 2;
    } else if (byte >= 0x20) store<u8>(out++, byte);
    else if (!control(byte)) return false;
  }
  store<u8>(out++, 0x22);
  return seen < 0x80 || isUtf8(at, length);
}

/** Line feeds and tabs; other control characters are rare. */
function control(byte: u32): bool {
  const letter: u32 = byte == 0x0a ? 0x6e : byte == 0x09 ? 0x74 : byte == 0x0d ? 0x72 : 0;
  if (letter == 0) return false;
  store<u16>(out, 0x5c | (letter << 8));
  out += 2;
  return true;
}
