/**
 * A span's attributes: from wire bytes into the payload's typed maps, and into the slots that
 * normalising reads. The key that came next in the span before, in the usual layout, spares the
 * general parse, which takes any key, order, repeats and unknown fields.
 *
 * Content goes to `content` by the capture setting; everything else is stored as it came.
 */
import type { Slots } from "../normalize/slots.ts";
import {
  keyTag,
  redaction,
  valueOfKeyTag,
  valueTag,
  type Capture,
  type JsonText,
} from "./any-value.ts";
import { textCut, textRepaired, type TextColumn } from "./columns.ts";
import { aliasOfRole, isContentRole, isPlainRole } from "./key-roles.ts";
import * as limits from "./limits.ts";
import { ListMemos } from "./list-memos.ts";
import { Meanings } from "./meanings.ts";
import type { SpanScan } from "./span-scan.ts";
import type { Strings } from "./strings.ts";
import type { PayloadTable } from "./tables.ts";
import type { Wire } from "./wire.ts";

export class AttributeWriter {
  marks = 0;
  capture: Capture = "None";
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly json: JsonText;
  private readonly meanings: Meanings;
  private readonly lists: ListMemos;
  private seen = new Uint32Array(1024);
  private serial = 0;
  private previousKey = 0;
  private valueStart = 0;
  private valueEnd = 0;

  constructor(deps: { wire: Wire; strings: Strings; json: JsonText; slots: Slots }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.json = deps.json;
    this.meanings = new Meanings(deps);
    this.lists = new ListMemos(deps);
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.seen = new Uint32Array(1024);
    this.meanings.clear();
    this.lists.clear();
    this.previousKey = 0;
  }

  write(scan: SpanScan, payload: PayloadTable, row: number): void {
    const { starts, ends, kept } = scan.attributes;
    this.serial = (this.serial + 1) >>> 0;
    if (this.serial === 0) {
      this.seen.fill(0);
      this.serial = 1;
    }
    this.previousKey = 0;
    for (let i = 0; i < kept; i += 1) {
      const start = starts[i] ?? 0;
      const end = ends[i] ?? 0;
      if (!this.expected(start, end, payload)) this.attribute(start, end, payload);
    }
    payload.attrs_str.endRow(row);
    payload.attrs_int.endRow(row);
    payload.attrs_num.endRow(row);
    payload.attrs_bool.endRow(row);
    payload.attrs_json.endRow(row);
    payload.content.endRow(row);
  }

  /**
   * Nearly every attribute: the key that followed its predecessor last time, no content, a short
   * scalar. Answers false, with nothing done, where anything is otherwise.
   */
  private expected(start: number, end: number, payload: PayloadTable): boolean {
    const { strings, seen } = this;
    const { bytes, view } = this.wire;
    const length = bytes[start + 1] ?? 0x80;
    const value = start + 2 + length;
    if (length >= 0x80 || value + 4 > end || bytes[start] !== keyTag) return false;
    const size = bytes[value + 1] ?? 0x80;
    if (size >= 0x80 || value + 2 + size !== end || bytes[value] !== valueOfKeyTag) return false;
    const key = strings.next[this.previousKey] ?? 0;
    const role = strings.roles[key] ?? 0;
    if (!isPlainRole(role) || strings.clean[key] !== key || key >= seen.length) return false;
    if (seen[key] === this.serial || !strings.is(key, bytes, view, start + 2, length)) return false;
    const at = value + 3;
    const alias = aliasOfRole(role);
    switch (bytes[value + 2] ?? 0) {
      case valueTag.string:
        if (at + 1 + (bytes[at] ?? 0x80) !== end) return false;
        if (!payload.attrs_str.values.pushPrefixed(bytes, view, at, end - at)) return false;
        payload.attrs_str.keys.push(key);
        if (alias >= 0) this.meanings.text(alias, at + 1, end);
        break;
      case valueTag.int:
        if (!this.shortInt(at, end, key, alias, payload)) return false;
        break;
      case valueTag.double:
        if (at + 8 !== end) return false;
        payload.attrs_num.keys.push(key);
        payload.attrs_num.values.push2(view.getUint32(at, true), view.getUint32(at + 4, true));
        if (alias >= 0) this.meanings.double(alias, view.getFloat64(at, true));
        break;
      case valueTag.array:
        if (!this.lists.again(key, alias, value + 2, end, this.capture, payload)) return false;
        break;
      default:
        return false;
    }
    seen[key] = this.serial;
    this.previousKey = key;
    return true;
  }

  /** A varint of at most 56 bits that ends where it should. */
  private shortInt(
    start: number,
    end: number,
    key: number,
    alias: number,
    payload: PayloadTable,
  ): boolean {
    const { bytes } = this.wire;
    if (end - start > 8 || start === end) return false;
    const last = end - 1;
    // Two halves of four bytes: 28 bits each.
    let low = 0;
    let high = 0;
    for (let at = start; at < last; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte < 0x80) return false;
      if (at - start < 4) low |= (byte & 0x7f) << ((at - start) * 7);
      else high |= (byte & 0x7f) << ((at - start - 4) * 7);
    }
    const top = bytes[last] ?? 0x80;
    if (top >= 0x80) return false;
    if (last - start < 4) low |= top << ((last - start) * 7);
    else high |= top << ((last - start - 4) * 7);
    const lo = (low | (high << 28)) >>> 0;
    const hi = high >>> 4;
    payload.attrs_int.keys.push(key);
    payload.attrs_int.values.push2(lo, hi);
    if (alias >= 0) this.meanings.int(alias, hi * 2 ** 32 + lo);
    return true;
  }

  /** Any attribute at all. */
  private attribute(start: number, end: number, payload: PayloadTable): void {
    const key = this.key(start, end);
    if (key >= this.seen.length) this.widenSeen();
    if (this.seen[key] === this.serial) {
      this.marks |= limits.marks.duplicateAttributes;
      return;
    }
    this.seen[key] = this.serial;
    this.value(key, payload);
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
    const id = this.strings.after(this.previousKey, bytes, view, offset, length);
    this.previousKey = id;
    const clean = this.strings.clean[id] ?? id;
    if (clean !== id) this.marks |= limits.marks.invalidUtf8;
    return clean;
  }

  private value(key: number, payload: PayloadTable): void {
    const role = this.strings.roles[key] || this.strings.role(key);
    const alias = aliasOfRole(role);
    if (isContentRole(role)) {
      this.content(key, alias, payload);
      return;
    }
    const { wire, valueStart, valueEnd } = this;
    if (valueStart < valueEnd) {
      wire.pos = valueStart + 1;
      const tag = wire.bytes[valueStart] ?? 0;
      if (this.scalar(tag, valueEnd, key, alias, payload)) return;
    }
    this.oddValue(key, alias, payload);
  }

  /** Stores a scalar whose tag was just read if it is all there is up to `end`; else false. */
  private scalar(
    tag: number,
    end: number,
    key: number,
    alias: number,
    payload: PayloadTable,
  ): boolean {
    const { wire } = this;
    if (tag === valueTag.string) {
      wire.block(end);
      if (wire.pos !== end) return false;
      this.text(key, alias, payload, wire.start, end);
    } else if (tag === valueTag.int) {
      wire.varint64(end);
      if (wire.pos !== end) return false;
      this.int(key, alias, payload);
    } else if (tag === valueTag.double) {
      wire.fixed64(end);
      if (wire.pos !== end) return false;
      this.double(key, alias, payload);
    } else if (tag === valueTag.bool) {
      wire.varint64(end);
      if (wire.pos !== end) return false;
      payload.attrs_bool.keys.push(key);
      payload.attrs_bool.values.push(wire.lo !== 0 || wire.hi !== 0 ? 1 : 0);
    } else return false;
    return true;
  }

  /** Arrays, lists, bytes, nothing at all, and unions with several fields, of which the last counts. */
  private oddValue(key: number, alias: number, payload: PayloadTable): void {
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
    if (this.scalar(last, lastEnd, key, alias, payload)) return;
    if (alias >= 0 && last === valueTag.array) this.meanings.list(alias, lastStart, lastEnd);
    payload.attrs_json.keys.push(key);
    const { marks } = this;
    this.jsonText(lastStart, lastEnd, payload.attrs_json.values, limits.attributeBytes);
    if (alias >= 0 && last === valueTag.array && marks === this.marks) {
      this.lists.remember(alias, this.valueStart, valueEnd, this.capture);
    }
  }

  private text(
    key: number,
    alias: number,
    payload: PayloadTable,
    start: number,
    end: number,
  ): void {
    if (alias >= 0) this.meanings.text(alias, start, end);
    payload.attrs_str.keys.push(key);
    const { bytes, view } = this.wire;
    this.note(
      payload.attrs_str.values.push(bytes, view, start, end - start, limits.attributeBytes),
    );
  }

  private int(key: number, alias: number, payload: PayloadTable): void {
    const { lo, hi } = this.wire;
    payload.attrs_int.keys.push(key);
    payload.attrs_int.values.push2(lo, hi);
    if (alias >= 0) this.meanings.int(alias, (hi | 0) * 2 ** 32 + lo);
  }

  private double(key: number, alias: number, payload: PayloadTable): void {
    const { lo, hi, pos, view } = this.wire;
    payload.attrs_num.keys.push(key);
    payload.attrs_num.values.push2(lo, hi);
    if (alias >= 0) this.meanings.double(alias, view.getFloat64(pos - 8, true));
  }

  /** Content never reaches the plain maps; only its bounds may feed an alias (a finish reason). */
  private content(key: number, alias: number, payload: PayloadTable): void {
    const { wire, valueStart, valueEnd } = this;
    if (alias >= 0 && wire.bytes[valueStart] === valueTag.string) {
      wire.pos = valueStart + 1;
      wire.block(valueEnd);
      this.meanings.text(alias, wire.start, wire.end);
    }
    if (this.capture === "None") {
      this.marks |= limits.marks.contentDropped;
      return;
    }
    payload.content.keys.push(key);
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

  private jsonText(start: number, end: number, into: TextColumn, most: number): void {
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

  private widenSeen(): void {
    const wide = new Uint32Array(Math.max(this.seen.length * 2, this.strings.count));
    wide.set(this.seen);
    this.seen = wide;
  }
}

const valueTags = new Set<number>(Object.values(valueTag));
function isValueTag(tag: number): boolean {
  return valueTags.has(tag);
}
