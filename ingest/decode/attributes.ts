/**
 * A span's attributes: from wire bytes into the payload's typed maps, and into what normalising
 * reads. What comes as expected is taken by the kernel (`kernel/attributes.ts`); here is the general
 * parse, for any key, order, repeats and unknown fields.
 *
 * Content goes to `content` by the capture setting; everything else is stored as it came.
 */
import { meaningOf, type Meaning, type Said } from "../normalize/said.ts";
import { redaction, valueTag, type Capture, type JsonText } from "./any-value.ts";
import { textCut, textRepaired, Words, type Texts } from "./columns.ts";
import { aliasOfRole, isContentRole } from "./key-roles.ts";
import * as limits from "./limits.ts";
import { captureCodes, ListMemos } from "./list-memos.ts";
import { Meanings } from "./meanings.ts";
import { createPaths, type Paths } from "./paths.ts";
import { pointTo, type State } from "./state.ts";
import { attributeTag, type SpanScan } from "./span-scan.ts";
import type { Strings } from "./strings.ts";
import type { PayloadTable } from "./tables.ts";
import { keyTag, valueOfKeyTag, type Wire } from "./wire.ts";

export class AttributeWriter {
  marks = 0;
  capture: Capture = "None";
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly json: JsonText;
  private readonly said: Said;
  private readonly meanings: Meanings;
  private readonly lists: ListMemos;
  private readonly paths: Paths;
  private readonly state: State;
  /** Keys that the kernel met and did not store. */
  private readonly leftOut: Words;
  /** Where the span's keys have led so far; 0 where nothing is expected any more. */
  private path = 0;
  private payload: PayloadTable | undefined;
  /** Where the span's keys begin in each of its maps. */
  private readonly firsts = new Uint32Array(6);
  /** By key: the span that had it, where anything but the path needs to know (`markSeen`). */
  private seen = new Uint32Array(1024);
  private readonly seenUntil = new Uint32Array(6);
  private serial = 0;
  private isMarked = false;
  private valueStart = 0;
  private valueEnd = 0;

  constructor(deps: { wire: Wire; strings: Strings; json: JsonText; said: Said; state: State }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.json = deps.json;
    this.state = deps.state;
    this.said = deps.said;
    this.meanings = new Meanings(deps);
    this.lists = new ListMemos(deps);
    this.paths = createPaths(deps.strings);
    this.leftOut = new Words(deps.strings.heap);
    this.state.set("leftOut", this.leftOut.at);
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.seen = new Uint32Array(1024);
    this.meanings.clear();
    this.lists.clear();
    this.paths.clear();
  }

  /** Tells the kernel where attributes go, and which keys to expect of spans of this scope. */
  expect(payload: PayloadTable, scope: number): void {
    const { state } = this;
    if (this.payload !== payload) pointTo(state, payload);
    this.payload = payload;
    state.set("capture", captureCodes[this.capture]);
    state.set("root", this.paths.root(scope));
  }

  /** Fills the row whose words are at `row`; `scope` foretells which keys come. */
  write(scan: SpanScan, payload: PayloadTable, row: number, scope: number): void {
    const { attrs_str, attrs_int, attrs_num, attrs_bool, attrs_json, content, words } = payload;
    const { firsts } = this;
    firsts[0] = attrs_str.keys.length;
    firsts[1] = attrs_int.keys.length;
    firsts[2] = attrs_num.keys.length;
    firsts[3] = attrs_bool.keys.length;
    firsts[4] = attrs_json.keys.length;
    firsts[5] = content.keys.length;
    this.isMarked = false;
    this.leftOut.length = 0;
    this.expect(payload, scope);
    this.path = this.state.get("root");
    this.all(scan, payload);
    words[row + attrs_str.at] = attrs_str.keys.length - (firsts[0] ?? 0);
    words[row + attrs_int.at] = attrs_int.keys.length - (firsts[1] ?? 0);
    words[row + attrs_num.at] = attrs_num.keys.length - (firsts[2] ?? 0);
    words[row + attrs_bool.at] = attrs_bool.keys.length - (firsts[3] ?? 0);
    words[row + attrs_json.at] = attrs_json.keys.length - (firsts[4] ?? 0);
    words[row + content.at] = content.keys.length - (firsts[5] ?? 0);
  }

  private all(scan: SpanScan, payload: PayloadTable): void {
    const { wire } = this;
    const end = scan.attributesEnd;
    let left = Math.min(scan.attributes, limits.attributesPerSpan);
    wire.pos = scan.attributesStart;
    while (left > 0) {
      left = this.expected(left, end);
      if (left === 0) break;
      const tag = wire.tag(end);
      if (tag === attributeTag) {
        wire.block(end);
        const next = wire.end;
        this.attribute(wire.start, next, payload);
        wire.pos = next;
        left -= 1;
      } else wire.skip(tag, end);
    }
  }

  /** Lets the kernel store those that are as expected; answers how many are left. */
  private expected(left: number, end: number): number {
    const { wire, state, path } = this;
    if (path === 0 || !state.isKernelUsed) return left;
    const body = state.get("body");
    state.set("path", path);
    state.set("marks", 0);
    const rest = this.strings.heap.kernel.attributes(body + wire.pos, body + end, left);
    wire.pos = state.get("pos") - body;
    this.path = state.get("path");
    this.marks |= state.get("marks");
    return rest;
  }

  /** Any attribute at all. */
  private attribute(start: number, end: number, payload: PayloadTable): void {
    const key = this.key(start, end);
    this.markSeen(payload);
    if (this.seen[key] === this.serial) {
      this.marks |= limits.marks.duplicateAttributes;
      return;
    }
    this.seen[key] = this.serial;
    this.path = this.paths.follow(this.path, key);
    this.value(key, this.strings.role(key), payload);
  }

  /** Brings `seen` up to date with the keys that were written. */
  private markSeen({ maps }: PayloadTable): void {
    const { firsts, seenUntil } = this;
    if (!this.isMarked) {
      this.isMarked = true;
      this.serial = (this.serial + 1) >>> 0;
      if (this.serial === 0) {
        this.seen.fill(0);
        this.serial = 1;
      }
      seenUntil.set(firsts);
    }
    if (this.strings.count > this.seen.length) {
      const wide = new Uint32Array(this.strings.count * 2);
      wide.set(this.seen);
      this.seen = wide;
    }
    for (let i = 0; i < maps.length; i += 1) {
      const keys = maps[i]?.keys;
      if (keys === undefined) continue;
      for (let at = seenUntil[i] ?? 0; at < keys.length; at += 1) {
        this.seen[keys.words[at] ?? 0] = this.serial;
      }
      seenUntil[i] = keys.length;
    }
    const { leftOut } = this;
    for (let at = 0; at < leftOut.length; at += 1) this.seen[leftOut.words[at] ?? 0] = this.serial;
  }

  /** Interns the key and leaves the value's bounds in `valueStart` and `valueEnd`. */
  private key(start: number, end: number): number {
    const { bytes, view } = this.wire;
    const length = bytes[start + 1] ?? 0x80;
    const value = start + 2 + length;
    if (bytes[start] === keyTag && length < 0x80 && value + 2 <= end) {
      const size = bytes[value + 1] ?? 0x80;
      if (bytes[value] === valueOfKeyTag && size < 0x80 && value + 2 + size === end) {
        this.valueStart = value + 2;
        this.valueEnd = end;
        return this.intern(bytes, view, start + 2, length);
      }
    }
    return this.anyKey(start, end);
  }

  private anyKey(start: number, end: number): number {
    const { wire } = this;
    let keyStart = 0;
    let keyEnd = 0;
    this.valueStart = end;
    this.valueEnd = end;
    wire.pos = start;
    while (wire.pos < end) {
      const tag = wire.tag(end);
      if (tag !== keyTag && tag !== valueOfKeyTag) {
        wire.skip(tag, end);
        continue;
      }
      wire.block(end);
      if (tag === keyTag) {
        keyStart = wire.start;
        keyEnd = wire.end;
      } else {
        this.valueStart = wire.start;
        this.valueEnd = wire.end;
      }
    }
    let length = keyEnd - keyStart;
    if (length > limits.keyBytes) {
      length = limits.keyBytes;
      this.marks |= limits.marks.truncated;
    }
    return this.intern(wire.bytes, wire.view, keyStart, length);
  }

  private intern(bytes: Uint8Array, view: DataView, offset: number, length: number): number {
    const id = this.strings.intern(bytes, view, offset, length);
    const clean = this.strings.clean[id] ?? id;
    if (clean !== id) this.marks |= limits.marks.invalidUtf8;
    return clean;
  }

  private value(key: number, role: number, payload: PayloadTable): void {
    const meaning = meaningOf(aliasOfRole(role));
    if (isContentRole(role)) {
      this.content(key, meaning, payload);
      return;
    }
    const { wire, valueStart, valueEnd } = this;
    if (valueStart < valueEnd) {
      wire.pos = valueStart + 1;
      const tag = wire.bytes[valueStart] ?? 0;
      if (this.scalar(tag, valueEnd, key, meaning, payload)) return;
    }
    this.oddValue(key, meaning, payload);
  }

  /** Stores a scalar whose tag was just read if it is all there is up to `end`; else false. */
  private scalar(
    tag: number,
    end: number,
    key: number,
    meaning: Meaning | undefined,
    payload: PayloadTable,
  ): boolean {
    const { wire } = this;
    if (tag === valueTag.string) {
      wire.block(end);
      if (wire.pos !== end) return false;
      this.text(key, meaning, payload, wire.start, end);
    } else if (tag === valueTag.int) {
      wire.varint64(end);
      if (wire.pos !== end) return false;
      this.int(key, meaning, payload);
    } else if (tag === valueTag.double) {
      wire.fixed64(end);
      if (wire.pos !== end) return false;
      this.double(key, meaning, payload);
    } else if (tag === valueTag.bool) {
      wire.varint64(end);
      if (wire.pos !== end) return false;
      payload.attrs_bool.keys.push1(key);
      payload.attrs_bool.values.push1(wire.lo !== 0 || wire.hi !== 0 ? 1 : 0);
    } else return false;
    return true;
  }

  /** Arrays, lists, bytes, nothing at all, and unions with several fields, of which the last counts. */
  private oddValue(key: number, meaning: Meaning | undefined, payload: PayloadTable): void {
    const { wire, valueEnd } = this;
    let last = 0;
    let lastStart = valueEnd;
    let lastEnd = valueEnd;
    wire.pos = this.valueStart;
    while (wire.pos < valueEnd) {
      const start = wire.pos;
      const tag = wire.tag(valueEnd);
      wire.skip(tag, valueEnd);
      if (!isValueTag(tag)) continue;
      last = tag;
      lastStart = start;
      lastEnd = wire.pos;
    }
    wire.pos = lastStart;
    if (last !== 0) wire.tag(lastEnd);
    if (this.scalar(last, lastEnd, key, meaning, payload)) return;
    const list = last === valueTag.array ? meaning : undefined;
    const ordinals = this.said.ordinalCount;
    const label = list === undefined ? 0 : this.meanings.list(list, lastStart, lastEnd);
    payload.attrs_json.keys.push1(key);
    const { marks } = this;
    this.jsonText(lastStart, lastEnd, payload.attrs_json.values, limits.attributeBytes);
    if (list !== undefined && marks === this.marks) {
      this.lists.remember(list, this.valueStart, valueEnd, this.capture, label, ordinals);
    }
  }

  private text(
    key: number,
    meaning: Meaning | undefined,
    payload: PayloadTable,
    start: number,
    end: number,
  ): void {
    if (meaning !== undefined) this.meanings.text(meaning, start, end);
    payload.attrs_str.keys.push1(key);
    const { bytes, view } = this.wire;
    this.note(
      payload.attrs_str.values.push(bytes, view, start, end - start, limits.attributeBytes),
    );
  }

  private int(key: number, meaning: Meaning | undefined, payload: PayloadTable): void {
    const { lo, hi } = this.wire;
    payload.attrs_int.keys.push1(key);
    payload.attrs_int.values.push2(lo, hi);
    if (meaning !== undefined) this.meanings.int(meaning, (hi | 0) * 2 ** 32 + lo);
  }

  private double(key: number, meaning: Meaning | undefined, payload: PayloadTable): void {
    const { lo, hi, pos, view } = this.wire;
    payload.attrs_num.keys.push1(key);
    payload.attrs_num.values.push2(lo, hi);
    if (meaning !== undefined) this.meanings.double(meaning, view.getFloat64(pos - 8, true));
  }

  /** Content never reaches the plain maps; only its bounds may feed an alias (a finish reason). */
  private content(key: number, meaning: Meaning | undefined, payload: PayloadTable): void {
    const { wire, valueStart, valueEnd } = this;
    if (meaning !== undefined && wire.bytes[valueStart] === valueTag.string) {
      wire.pos = valueStart + 1;
      wire.block(valueEnd);
      this.meanings.text(meaning, wire.start, wire.end);
    }
    if (this.capture === "None") {
      this.marks |= limits.marks.contentDropped;
      return;
    }
    payload.content.keys.push1(key);
    if (this.capture === "Redacted") {
      this.marks |= limits.marks.contentRedacted;
      const text = Buffer.from(redaction(wire, valueStart, valueEnd), "latin1");
      payload.content.values.pushValid(text);
      return;
    }
    wire.pos = valueStart + 1;
    if (wire.bytes[valueStart] === valueTag.string) {
      wire.block(valueEnd);
      if (wire.pos === valueEnd) {
        const { bytes, view, start } = wire;
        const length = valueEnd - start;
        this.note(payload.content.values.push(bytes, view, start, length, limits.contentBytes));
        return;
      }
    }
    this.jsonText(valueStart, valueEnd, payload.content.values, limits.contentBytes);
  }

  private jsonText(start: number, end: number, into: Texts, most: number): void {
    const { json } = this;
    json.reset();
    json.capture = this.capture;
    json.marks = 0;
    json.value(start, end, 0);
    this.marks |= json.marks;
    const { bytes, length } = json.out;
    if (length <= most) {
      into.pushRange(bytes, json.out.view, 0, length);
      return;
    }
    // What is cut is JSON no longer: it becomes the text of a JSON string.
    this.marks |= limits.marks.truncated;
    const text = Buffer.from(bytes.buffer, 0, most).toString("utf8");
    into.pushValid(Buffer.from(JSON.stringify(text)));
  }

  private note(did: number): void {
    if ((did & textCut) !== 0) this.marks |= limits.marks.truncated;
    if ((did & textRepaired) !== 0) this.marks |= limits.marks.invalidUtf8;
  }
}

const valueTags = new Set<number>(Object.values(valueTag));
function isValueTag(tag: number): boolean {
  return valueTags.has(tag);
}
