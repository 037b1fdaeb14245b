/**
 * What an attribute's value means under its row of the alias table: fills the slots that normalising
 * reads. Labels are interned here; most are one of the few that the same key had lately, which costs
 * one comparison instead of a hash. Nothing is stored of the value itself.
 */
import { aliases } from "../normalize/aliases.ts";
import type { Slots } from "../normalize/slots.ts";
import { valueTag } from "./any-value.ts";
import { label } from "./resources.ts";
import type { Strings } from "./strings.ts";
import type { Wire } from "./wire.ts";

const labelUnit = 1;
const idUnit = 2;
const intsUnit = 3;
/** What kind of text an alias wants: labels are interned, others keep their bounds in the body. */
const textKind = Uint8Array.from(aliases, ({ unit }) =>
  unit === "label" ? labelUnit : unit === "ints" ? intsUnit : idUnit,
);

/** Labels remembered per alias, found by a mix of their length and last bytes. */
const labelsPerAlias = 32;

/** Whether an alias wants labels. */
export function wantsLabel(alias: number): boolean {
  return textKind[alias] === labelUnit;
}

export class Meanings {
  private readonly wire: Wire;
  private readonly strings: Strings;
  private readonly slots: Slots;
  private readonly lastLabels = new Uint32Array(aliases.length * labelsPerAlias);

  constructor(deps: { wire: Wire; strings: Strings; slots: Slots }) {
    this.wire = deps.wire;
    this.strings = deps.strings;
    this.slots = deps.slots;
  }

  /** Interned strings were renumbered. */
  clear(): void {
    this.lastLabels.fill(0);
  }

  /** Text under an alias. */
  text(alias: number, start: number, end: number): void {
    const kind = textKind[alias];
    if (kind === labelUnit) this.slots.setLabel(alias, this.label(alias, start, end));
    else if (kind === idUnit) this.slots.setText(alias, start, end - start);
  }

  /** Most labels are one of the few that the same key had lately. */
  private label(alias: number, start: number, end: number): number {
    const { wire, strings, lastLabels } = this;
    const { bytes, view } = wire;
    const length = end - start;
    const tail = length < 4 ? (bytes[end - 1] ?? 0) : view.getUint32(end - 4, true);
    const slot = alias * labelsPerAlias + (Math.imul(tail ^ length, -1640531527) >>> 27);
    const guess = lastLabels[slot] ?? 0;
    if (strings.is(guess, bytes, view, start, length)) return guess;
    const id = label(strings, wire, start, end);
    lastLabels[slot] = id;
    return id;
  }

  int(alias: number, value: number): void {
    if (textKind[alias] === intsUnit) this.slots.ordinals.push(value);
    else if (textKind[alias] !== labelUnit) this.slots.setNumber(alias, value);
  }

  double(alias: number, value: number): void {
    if (textKind[alias] === idUnit) this.slots.setNumber(alias, value);
  }

  /** The first string of an array, or the numbers of a list of ordinals; `start` is at its tag. */
  list(alias: number, start: number, end: number): void {
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
      if (inner === valueTag.int && textKind[alias] === intsUnit) {
        wire.varint64(next);
        if (this.slots.ordinals.length < 256) this.slots.ordinals.push(wire.lo);
      } else if (inner === valueTag.string) {
        wire.block(next);
        this.text(alias, wire.start, wire.end);
        return;
      }
      wire.pos = next;
    }
  }
}
