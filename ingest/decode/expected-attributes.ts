/**
 * Nearly all attributes: those that stay on the path of the spans before, without content, with a
 * short scalar. They make up most of decoding, and this file is written for speed.
 *
 * One loop over local variables: in JavaScript a field of an object, a look into an array and a call
 * cost about as much as reading a short value, and there are twenty-two attributes in a span.
 */
import { valueTag, type Capture } from "./any-value.ts";
import type { Texts, Words } from "./columns.ts";
import type { ListMemos } from "./list-memos.ts";
import type { Meanings } from "./meanings.ts";
import type { PathNode } from "./paths.ts";
import { attributeTag } from "./span-scan.ts";
import type { Strings } from "./strings.ts";
import type { Pairs } from "./table.ts";
import type { PayloadTable } from "./tables.ts";
import { copyWords, isValid, sameBytes } from "./text.ts";
import type { Wire } from "./wire.ts";

export class ExpectedAttributes {
  /** Where the span's keys have led so far. */
  path: PathNode | undefined;
  capture: Capture = "None";
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly meanings: Meanings;
  private readonly lists: ListMemos;

  constructor(deps: { wire: Wire; strings: Strings; meanings: Meanings; lists: ListMemos }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.meanings = deps.meanings;
    this.lists = deps.lists;
  }

  /**
   * Of `left` attributes from the wire's position up to `end`, stores those that are as expected and
   * answers how many are left. Of the next one, which is otherwise, nothing is stored.
   */
  take(left: number, end: number, payload: PayloadTable): number {
    makeRoom(payload, left);
    const { wire, meanings } = this;
    const { bytes, view } = wire;
    const keyView = this.strings.view;
    const { attrs_str, attrs_int, attrs_num } = payload;
    const textKeys = attrs_str.keys.words;
    const textView = attrs_str.values.view;
    const intKeys = attrs_int.keys.words;
    const ints = attrs_int.values.words;
    const numKeys = attrs_num.keys.words;
    const nums = attrs_num.values.words;
    let texts = attrs_str.keys.length;
    let textEnd = attrs_str.values.length;
    let intCount = attrs_int.keys.length;
    let numCount = attrs_num.keys.length;
    let { path } = this;
    let { pos } = wire;
    let count = left;
    // Words are read as a whole: what is too near to the body's end for that is left.
    const most = Math.min(end, bytes.length - 4);
    for (; count > 0 && pos < most; count -= 1) {
      const head = view.getInt32(pos, true);
      const next = pos + 2 + ((head >> 8) & 0xff);
      const node: PathNode | undefined = path?.next;
      if (node === undefined || (head & 0x80ff) !== attributeTag) break;
      const value = pos + 2 + node.length;
      if (value + 3 > next || value > most) break;
      if (!sameBytes(keyView, node.place, view, pos + 2, node.length)) break;
      // Length and tag of the value, and the first two bytes of what it holds.
      const content = view.getInt32(value, true);
      const size = (content & 0xff) - 1;
      const at = value + 2;
      if (at + size !== next) break;
      const { meaning } = node;
      const tag = (content >> 8) & 0xff;
      if (tag === valueTag.string) {
        // Its length is of one byte, as ClickHouse wants it: both are copied as they are.
        if (size < 4 || ((content >> 16) & 0xff) !== size - 1) break;
        const all = copyWords(view, at, textView, textEnd, size);
        if ((all & 0x80808080) !== 0 && !isValid(bytes, at + 1, size - 1)) break;
        textKeys[texts++] = node.key;
        textEnd += size;
        if (meaning !== undefined) meanings.text(meaning, at + 1, next);
      } else if (tag === valueTag.int) {
        const int = shortVarint(bytes, at, next);
        if (int < 0) break;
        intKeys[intCount] = node.key;
        ints[intCount * 2] = int;
        ints[intCount * 2 + 1] = int < 2 ** 32 ? 0 : int / 2 ** 32;
        intCount += 1;
        if (meaning !== undefined) meanings.int(meaning, int);
      } else if (tag === valueTag.double) {
        if (size !== 8) break;
        numKeys[numCount] = node.key;
        nums[numCount * 2] = view.getInt32(at, true);
        nums[numCount * 2 + 1] = view.getInt32(at + 4, true);
        numCount += 1;
        if (meaning !== undefined) meanings.double(meaning, view.getFloat64(at, true));
      } else if (tag !== valueTag.array || !this.list(node, at - 1, next, payload)) break;
      path = node;
      pos = next;
    }
    this.path = path;
    wire.pos = pos;
    setLength(attrs_str, texts, textEnd);
    setLength(attrs_int, intCount, intCount * 2);
    setLength(attrs_num, numCount, numCount * 2);
    return count;
  }

  private list(node: PathNode, start: number, end: number, payload: PayloadTable): boolean {
    const { key, meaning } = node;
    if (meaning === undefined) return false;
    return this.lists.again(key, meaning, start, end, this.capture, payload);
  }
}

/** Room for as many of each kind, so that no array moves meanwhile. */
function makeRoom({ attrs_str, attrs_int, attrs_num }: PayloadTable, count: number): void {
  attrs_str.keys.reserve(count);
  attrs_str.values.reserve(count * 128);
  attrs_int.keys.reserve(count);
  attrs_int.values.reserve(count * 2);
  attrs_num.keys.reserve(count);
  attrs_num.values.reserve(count * 2);
}

function setLength(map: Pairs<Words | Texts>, keys: number, values: number): void {
  map.keys.length = keys;
  map.values.length = values;
}

/** A varint of at most 49 bits in `[start, end)`; -1 where it is another. */
function shortVarint(bytes: Uint8Array, start: number, end: number): number {
  const last = end - 1;
  const top = bytes[last] ?? 0x80;
  if (last - start > 6 || top >= 0x80) return -1;
  let value = 0;
  let scale = 1;
  for (let at = start; at < last; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) return -1;
    value += (byte & 0x7f) * scale;
    scale *= 0x80;
  }
  return value + top * scale;
}
