/**
 * What an attribute's value means under its row of the alias table: tells `Said`, which normalising
 * reads. Labels are interned here; most are one of the few that the same key had lately, which costs
 * one comparison instead of a hash. Nothing is stored of the value itself.
 */
import type { Meaning, Said } from "../normalize/said.ts";
import { valueTag } from "./any-value.ts";
import { labelsPerAlias, lastLabelsAt, lastLabelsEnd } from "./memory-map.ts";
import { label } from "./resources.ts";
import type { Strings } from "./strings.ts";
import type { Wire } from "./wire.ts";

const decoder = new TextDecoder();

export class Meanings {
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly said: Said;
  /** Found by a mix of their length and last bytes; the kernel reads and writes them, too. */
  private readonly lastLabels: Uint32Array;

  constructor(deps: { wire: Wire; strings: Strings; said: Said }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.said = deps.said;
    this.lastLabels = deps.strings.heap.words.subarray(lastLabelsAt / 4, lastLabelsEnd / 4);
  }

  /** Text as a string; numbers and moments are short, and what is longer is neither. */
  private readonly read = (offset: number, length: number): string =>
    decoder.decode(this.wire.bytes.subarray(offset, offset + Math.min(length, 64)));

  /** Interned strings were renumbered. */
  clear(): void {
    this.lastLabels.fill(0);
  }

  /** Text under an alias. */
  text(meaning: Meaning, start: number, end: number): void {
    if (meaning.isLabel) this.said.label(meaning, this.label(meaning.rank, start, end));
    else this.said.text(meaning, start, end - start, this.read);
  }

  /** Most labels are one of the few that the same key had lately. */
  private label(alias: number, start: number, end: number): number {
    const { wire, strings, lastLabels } = this;
    const { bytes, view } = wire;
    const length = end - start;
    const tail = length < 4 ? (bytes[end - 1] ?? 0) : view.getUint32(end - 4, true);
    const slot = alias * labelsPerAlias + (Math.imul(tail ^ length, -1640531527) >>> 27);
    const guess = lastLabels[slot] ?? 0;
    if (strings.is(guess, view, start, length)) return guess;
    const id = label(strings, wire, start, end);
    lastLabels[slot] = id;
    return id;
  }

  int(meaning: Meaning, value: number): void {
    if (meaning.isOrdinals) this.said.ordinal(value);
    else this.said.number(meaning, value);
  }

  double(meaning: Meaning, value: number): void {
    this.said.number(meaning, value);
  }

  /**
   * The first string of an array, or the numbers of a list of ordinals; `start` is at its tag.
   * Answers the label that it gave, 0 for none.
   */
  list(meaning: Meaning, start: number, end: number): number {
    const { wire } = this;
    wire.pos = start;
    wire.tag(end);
    wire.block(end);
    const last = wire.end;
    wire.pos = wire.start;
    while (wire.pos < last) {
      const tag = wire.tag(last);
      if (tag !== 0x0a) {
        wire.skip(tag, last);
        continue;
      }
      wire.block(last);
      const next = wire.end;
      wire.pos = wire.start;
      const inner = wire.pos < next ? wire.tag(next) : 0;
      if (inner === valueTag.int && meaning.isOrdinals) {
        wire.varint64(next);
        this.said.ordinal(wire.lo);
      } else if (inner === valueTag.string) {
        wire.block(next);
        const from = wire.start;
        this.text(meaning, from, wire.end);
        return meaning.isLabel ? this.label(meaning.rank, from, next) : 0;
      }
      wire.pos = next;
    }
    return 0;
  }
}
