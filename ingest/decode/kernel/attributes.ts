/**
 * Attributes of a span: those whose keys follow each other as in spans before (`paths.ts`), with any
 * scalar or a list that is the one before. They make up most of decoding.
 *
 * What is otherwise is left to `attributes.ts`, which knows everything; nothing is stored of it here.
 */
import { copyShort, isUtf8, same } from "./bytes";
import * as layout from "./layout";
import { endOf, pushLong, pushText, pushWord, roomFor, setEnd } from "./pools";
import * as said from "./said";
import { bytesBase, cleanOf, find, isString, numberOf } from "./strings";

/**
 * Of `left` attributes from `pos` up to `end`, stores those that are as expected and answers how many
 * are left; where the next one begins is in the state.
 */
export function attributes(pos: usize, end: usize, left: i32): i32 {
  let path: usize = load<u32>(layout.state_path);
  // Heads are read as a whole; memory goes on behind the body.
  while (left > 0 && pos + 2 < end && load<u8>(pos) == 0x4a && path != 0) {
    let at = pos + 1;
    let size: usize = load<u8>(at++);
    if (size >= 0x80) {
      const second = <usize>load<u8>(at++);
      size = (size & 0x7f) | (second << 7);
      if (second >= 0x80) {
        const third = <usize>load<u8>(at++);
        if (third >= 0x80) break;
        size = (size & 0x3fff) | (third << 14);
      }
    }
    const next = at + size;
    if (next > end) break;
    let node: usize = load<u32>(path);
    let length: usize = node == 0 ? 0 : <usize>load<u32>(node, layout.node_length);
    if (
      node == 0 ||
      at + length > next ||
      !isKey(bytesBase() + load<u32>(node, layout.node_place), at, length)
    ) {
      node = otherwise(path, at, next);
      if (node == 0) break;
      length = load<u32>(node, layout.node_length);
    }
    if (!attribute(node, at + length, next)) break;
    path = node;
    pos = next;
    left -= 1;
  }
  store<u32>(layout.state_path, <u32>path);
  store<u32>(layout.state_pos, <u32>pos);
  return left;
}

/** Whether a key is the expected one; most are of 16 to 48 bytes, in three words that overlap. */
function isKey(key: usize, at: usize, length: usize): bool {
  if (length < 16 || length > 48) return same(key, at, length);
  const last = length - 16;
  const middle = min<usize>(16, last);
  return !v128.any_true(
    v128.or(
      v128.xor(v128.load(key), v128.load(at)),
      v128.or(
        v128.xor(v128.load(key + middle), v128.load(at + middle)),
        v128.xor(v128.load(key + last), v128.load(at + last)),
      ),
    ),
  );
}

/** Where the key at `at` leads, if it ever came here; 0 for unknown. */
function otherwise(path: usize, at: usize, next: usize): usize {
  const length = <u32>load<u8>(at, 1);
  if (load<u8>(at) != 0x0a || length >= 0x80 || at + length + 3 > next) return 0;
  if (load<u8>(at + 2 + length) != 0x12) return 0;
  const key = find(at + 2, length);
  return key < 0 || cleanOf(key) != <u32>key ? 0 : follow(path, key);
}

/** Where `key` leads from `path`, which is expected from now on; 0 where it never came. */
export function follow(path: usize, key: u32): usize {
  const next: usize = load<u32>(path);
  if (next != 0 && load<u32>(next, layout.node_key) == key) return next;
  const mask = load<u32>(layout.state_stepsMask);
  const steps: usize = load<u32>(layout.state_steps);
  for (let slot = stepHash(<u32>path, key) & mask; ; slot = (slot + 1) & mask) {
    const step = steps + <usize>slot * 12;
    const from = load<u32>(step);
    if (from == 0) break;
    if (from == <u32>path && load<u32>(step, 4) == key) {
      const node = load<u32>(step, 8);
      store<u32>(path, node);
      return node;
    }
  }
  return 0;
}

/** Remembers that `key` leads from `path` to `node`; there is room. */
export function learn(path: usize, key: u32, node: usize): void {
  const mask = load<u32>(layout.state_stepsMask);
  const steps: usize = load<u32>(layout.state_steps);
  let slot = stepHash(<u32>path, key) & mask;
  while (load<u32>(steps + <usize>slot * 12) != 0) slot = (slot + 1) & mask;
  const step = steps + <usize>slot * 12;
  store<u32>(step, <u32>path);
  store<u32>(step, key, 4);
  store<u32>(step, <u32>node, 8);
  store<u32>(path, <u32>node);
}

function stepHash(path: u32, key: u32): u32 {
  let hash = (path ^ load<u32>(layout.strings_seed)) * 0x9e3779b1;
  hash = (hash ^ (hash >> 15) ^ key) * 0x85ebca6b;
  return hash ^ (hash >> 13);
}

/** Stores the value whose length is at `at` under the node's key; false where it is no usual one. */
function attribute(node: usize, at: usize, next: usize): bool {
  let size: usize = load<u8>(at++);
  if (size >= 0x80) {
    const second = <usize>load<u8>(at++);
    size = (size & 0x7f) | (second << 7);
    if (second >= 0x80) {
      const third = <usize>load<u8>(at++);
      if (third >= 0x80) return false;
      size = (size & 0x3fff) | (third << 14);
    }
  }
  if (at + size != next || size == 0) return false;
  const tag = load<u8>(at);
  const flags = load<u32>(node, layout.node_flags);
  if ((flags & layout.node_isContent) != 0) return content(node, tag, at + 1, next);
  if (tag == 0x0a) return text(node, at + 1, next);
  if (tag == 0x18) return int(node, at + 1, next);
  if (tag == 0x21) return size == 9 && double(node, at + 1);
  if (tag == 0x10) return bool_(node, at + 1, next);
  return tag == 0x2a && list(node, at, next);
}

function keyOf(node: usize): u32 {
  return load<u32>(node, layout.node_key);
}
/** Row of the alias table + 1; 0 for none. */
function meaningOf(node: usize): u32 {
  return load<u32>(node, layout.node_meaning);
}

/** Where the text behind the length at `at` begins if it reaches to `next`, else 0. */
function textStart(at: usize, next: usize): usize {
  let size: usize = load<u8>(at++);
  if (size >= 0x80) {
    const second = <usize>load<u8>(at++);
    size = (size & 0x7f) | (second << 7);
    if (second == 0) return 0;
    if (second >= 0x80) {
      const third = <usize>load<u8>(at++);
      if (third == 0 || third >= 0x80) return 0;
      size = (size & 0x3fff) | (third << 14);
    }
  }
  return at + size == next ? at : 0;
}

function text(node: usize, at: usize, next: usize): bool {
  const start = textStart(at, next);
  if (start == 0 || next - start > layout.attributeBytes) return false;
  const header = layout.state_strValues;
  const to = roomFor(load<u32>(header), <u32>(next - at) + 16);
  // The length stands before the text as ClickHouse wants it: both are copied as they are.
  if (!copyShort(to, at, next - at) && !isUtf8(start, next - start)) return false;
  const meaning = meaningOf(node);
  if (meaning != 0 && !mean(meaning - 1, start, next)) return false;
  setEnd(load<u32>(header), to + (next - at));
  pushWord(load<u32>(layout.state_strKeys), keyOf(node));
  return true;
}

/** Tells what a text means under its row of the alias table; false where that takes more. */
function mean(rank: u32, start: usize, end: usize): bool {
  const flags = said.flagsOf(rank);
  const length = <u32>(end - start);
  if ((flags & layout.isLabel) != 0) {
    if (length > layout.labelBytes) return false;
    const id = length == 0 ? 0 : labelOf(rank, start, length);
    said.sayLabel(rank, id);
    return true;
  }
  const unit = said.unitOf(rank);
  if ((flags & layout.isQuantity) != 0 || unit == layout.unit_iso) return false;
  said.sayEvidence(rank);
  if (unit == layout.unit_id) {
    said.sayPlace(rank, <u32>(start - load<u32>(layout.state_body)), length);
  }
  return true;
}

/** Most labels are one of the few that the same key had lately. */
export function labelOf(rank: u32, at: usize, length: u32): u32 {
  const tail: u32 = length < 4 ? load<u8>(at + length - 1) : load<u32>(at + length - 4);
  const slot = (rank << 5) + (((tail ^ length) * 0x9e3779b1) >> 27);
  const place = layout.lastLabels + ((<usize>slot) << 2);
  const guess = load<u32>(place);
  if (isString(guess, at, length)) return guess;
  const id = cleanOf(numberOf(at, length));
  store<u32>(place, id);
  return id;
}

function int(node: usize, at: usize, next: usize): bool {
  const size = next - at;
  let value: u64 = load<u64>(at);
  if (size == 1) {
    if (value & 0x80) return false;
    value &= 0x7f;
  } else if (size <= 8) {
    // All bytes but the last go on; then their 7 bits are pushed together, in pairs, fours, eights.
    const ends = (~value & 0x8080808080808080) << ((8 - size) << 3);
    if (ends != 0x8000000000000000 || size == 0) return false;
    value = (value << ((8 - size) << 3)) >> ((8 - size) << 3);
    value = (value & 0x007f007f007f007f) | ((value & 0x7f007f007f007f00) >> 1);
    value = (value & 0x00003fff00003fff) | ((value & 0x3fff00003fff0000) >> 2);
    value = (value & 0x000000000fffffff) | ((value & 0x0fffffff00000000) >> 4);
  } else {
    value = longVarint(at, next);
    if (load<u32>(layout.state_failed) != 0) return false;
  }
  pushWord(load<u32>(layout.state_intKeys), keyOf(node));
  pushLong(load<u32>(layout.state_intValues), value);
  const meaning = meaningOf(node);
  if (meaning == 0) return true;
  const double = <f64>(<i64>value);
  if ((said.flagsOf(meaning - 1) & layout.isOrdinals) != 0) said.sayOrdinal(double);
  else said.sayNumber(meaning - 1, double);
  return true;
}

/** A varint of 9 or 10 bytes that ends at `next`; the state says whether it does. */
function longVarint(at: usize, next: usize): u64 {
  let value: u64 = 0;
  let shift: u64 = 0;
  store<u32>(layout.state_failed, 1);
  if (next - at > 10) return 0;
  for (; at < next; at += 1, shift += 7) {
    const byte = <u64>load<u8>(at);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (at + 1 == next) store<u32>(layout.state_failed, 0);
      return value;
    }
  }
  return 0;
}

function double(node: usize, at: usize): bool {
  pushWord(load<u32>(layout.state_numKeys), keyOf(node));
  pushLong(load<u32>(layout.state_numValues), load<u64>(at));
  const meaning = meaningOf(node);
  if (meaning != 0) said.sayNumber(meaning - 1, load<f64>(at));
  return true;
}

function bool_(node: usize, at: usize, next: usize): bool {
  const byte = load<u8>(at);
  if (byte >= 0x80 || at + 1 != next) return false;
  pushWord(load<u32>(layout.state_boolKeys), keyOf(node));
  pushWord(load<u32>(layout.state_boolValues), byte != 0 ? 1 : 0);
  return true;
}

/** A list that is, byte for byte, one that was before under the same alias (`list-memos.ts`). */
function list(node: usize, at: usize, next: usize): bool {
  const meaning = meaningOf(node);
  if (meaning == 0) return false;
  const slot = ((load<u32>(next - 4) ^ <u32>(next - at)) * 0x9e3779b1) >> 30;
  const memo = layout.memos + <usize>((meaning - 1) * 4 + slot) * layout.memoBytes;
  if (
    <usize>load<u32>(memo) != next - at ||
    load<u32>(memo, 4) != load<u32>(layout.state_capture)
  ) {
    return false;
  }
  if (!same(memo + layout.memo_raw, at, next - at)) return false;
  pushWord(load<u32>(layout.state_jsonKeys), keyOf(node));
  const length = load<u32>(memo, 8);
  const header: usize = load<u32>(layout.state_jsonValues);
  const to = roomFor(header, length);
  copyShort(to, memo + layout.memo_text, length);
  setEnd(header, to + length);
  said.sayLabel(meaning - 1, load<u32>(memo, 12));
  const ordinals = load<u8>(memo, 16);
  for (let i: usize = 0; i < ordinals; i += 1) said.sayOrdinal(load<u8>(memo + 17 + i));
  return true;
}

/** Content never reaches the plain maps; only its bounds may feed an alias (a finish reason). */
function content(node: usize, tag: u32, at: usize, next: usize): bool {
  const capture = load<u32>(layout.state_capture);
  if (tag != 0x0a) return false;
  const start = textStart(at, next);
  if (start == 0) return false;
  const meaning = meaningOf(node);
  if (capture == layout.capture_Full) {
    if (next - start > layout.contentBytes) return false;
    const header: usize = load<u32>(layout.state_contentValues);
    const before = endOf(header) - <usize>load<u32>(header);
    if (!pushText(header, start, <u32>(next - start))) return false;
    if (meaning != 0 && !mean(meaning - 1, start, next)) {
      setEnd(header, <usize>load<u32>(header) + before);
      return false;
    }
    pushWord(load<u32>(layout.state_contentKeys), keyOf(node));
    return true;
  }
  if (meaning != 0 && !mean(meaning - 1, start, next)) return false;
  if (capture == layout.capture_Redacted) {
    redact(characters(start, next));
    pushWord(load<u32>(layout.state_contentKeys), keyOf(node));
    mark(layout.mark_contentRedacted);
  } else {
    pushWord(load<u32>(layout.state_leftOut), keyOf(node));
    mark(layout.mark_contentDropped);
  }
  return true;
}

function mark(bit: u32): void {
  store<u32>(layout.state_marks, load<u32>(layout.state_marks) | bit);
}

/** Characters of UTF-8 text: its bytes that do not continue one. */
function characters(at: usize, end: usize): u32 {
  let count: u32 = 0;
  for (; at < end; at += 1) if ((load<u8>(at) & 0xc0) != 0x80) count += 1;
  return count;
}

/** `[redacted 12 chars]` */
function redact(count: u32): void {
  const header: usize = load<u32>(layout.state_contentValues);
  const begin = roomFor(header, 40);
  store<u64>(begin + 1, 0x657463616465725b);
  store<u16>(begin + 9, 0x2064);
  let to = begin + 11;
  for (let rest = count; rest >= 10; rest /= 10) to += 1;
  const last = to;
  for (let rest = count; to >= begin + 11; rest /= 10, to -= 1) {
    store<u8>(to, 0x30 + (rest % 10));
  }
  store<u64>(last + 1, (0x5d7372616863 << 8) | 0x20);
  const end = last + 8;
  store<u8>(begin, <u32>(end - begin - 1));
  setEnd(header, end);
}
