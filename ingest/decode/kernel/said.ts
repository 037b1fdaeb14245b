/**
 * What a span said (`normalize/said.ts`), kept in the same memory: values and labels by field, with
 * the precedence of the keys they came from. The alias table is in memory, too, a row of 8 bytes each.
 */
import * as layout from "./layout";

export function reset(): void {
  // All ones are a NaN, and a rank behind every row.
  memory.fill(layout.said_values, 0xff, layout.said_ranksEnd - layout.said_values);
  memory.fill(layout.said_labels, 0, layout.fields * 4);
  store<u64>(layout.said_ordinalCount, 0);
}

export function rowOf(rank: u32): usize {
  return layout.aliases + ((<usize>rank) << 3);
}
export function fieldOf(rank: u32): u32 {
  return load<u8>(rowOf(rank));
}
export function unitOf(rank: u32): u32 {
  return load<u8>(rowOf(rank), 1);
}
export function flagsOf(rank: u32): u32 {
  return load<u8>(rowOf(rank), 2);
}
/** Number of the engine that alone writes this key; 0 for none. */
export function engineOf(rank: u32): u32 {
  return load<u8>(rowOf(rank), 3);
}
export function basisOf(rank: u32): u32 {
  return load<u8>(rowOf(rank), 4);
}

export function value(field: u32): f64 {
  return load<f64>(layout.said_values + ((<usize>field) << 3));
}
export function setValue(field: u32, value: f64): void {
  store<f64>(layout.said_values + ((<usize>field) << 3), value);
}
export function label(field: u32): u32 {
  return load<u32>(layout.said_labels + ((<usize>field) << 2));
}
export function setLabel(field: u32, id: u32): void {
  store<u32>(layout.said_labels + ((<usize>field) << 2), id);
}
/** Row of the alias table that the field's value came by; `noRank` for none. */
export function rankOf(field: u32): u32 {
  return load<u16>(layout.said_ranks + ((<usize>field) << 1));
}
export const noRank: u32 = 0xffff;

function setRank(field: u32, rank: u32): void {
  store<u16>(layout.said_ranks + ((<usize>field) << 1), rank);
}

export function sayLabel(rank: u32, id: u32): void {
  const field = fieldOf(rank);
  if (id == 0 || rank >= rankOf(field)) return;
  setRank(field, rank);
  setLabel(field, id);
}

export function sayEvidence(rank: u32): void {
  if (load<u32>(layout.said_evidence) == 0 && engineOf(rank) != 0) {
    store<u32>(layout.said_evidence, rank + 1);
  }
}

/** The rank's field is in the body at `offset`. */
export function sayPlace(rank: u32, offset: u32, length: u32): void {
  const field = fieldOf(rank);
  if (length == 0 || rank >= rankOf(field)) return;
  setRank(field, rank);
  store<u32>(layout.said_offsets + ((<usize>field) << 2), offset);
  store<u32>(layout.said_lengths + ((<usize>field) << 2), length);
}

export function sayOrdinal(value: f64): void {
  const count = load<u32>(layout.said_ordinalCount);
  if (count >= layout.mostOrdinals) return;
  store<f64>(layout.said_ordinals + ((<usize>count) << 3), value);
  store<u32>(layout.said_ordinalCount, count + 1);
}

export function sayNumber(rank: u32, value: f64): void {
  sayEvidence(rank);
  if ((flagsOf(rank) & layout.isQuantity) == 0) return;
  const unit = unitOf(rank);
  const kept = unit == layout.unit_count ? tokenCount(value) : durationNs(value, unit);
  const field = fieldOf(rank);
  if (kept != kept || rank >= rankOf(field)) return;
  // A TTFT of 0 is a sender's "not set".
  if (kept == 0 && field == layout.field_ttft) return;
  setRank(field, rank);
  setValue(field, kept);
}

/** The same as in `normalize/quantities.ts`. */
function durationNs(value: f64, unit: u32): f64 {
  if (!(value >= 0)) return NaN;
  let ns: f64;
  if (unit == layout.unit_ms) ns = value * 1e6;
  else if (unit == layout.unit_perSecond) ns = value > 0 ? 1e9 / value : NaN;
  else ns = value * 1e9;
  return ns <= layout.mostNs ? round(ns) : NaN;
}

function tokenCount(value: f64): f64 {
  return value >= 0 && value <= 4294967295.0 ? round(value) : NaN;
}

/** JavaScript's: halves go up. */
export function round(value: f64): f64 {
  const up = ceil(value);
  return up - 0.5 > value ? up - 1 : up;
}
