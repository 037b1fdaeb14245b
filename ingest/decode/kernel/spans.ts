/**
 * Spans one after the other: scanned, their attributes and events stored, normalised, written as
 * rows. A span with anything unusual about it is undone and left to `span-writer.ts`, which knows
 * everything and says why a span cannot be kept; so whatever is malformed is found there.
 */
import { attributes } from "./attributes";
import { findDevices } from "./devices";
import { event } from "./events";
import { areFacetsKnown } from "./facets";
import * as layout from "./layout";
import { normalize } from "./normalize";
import { lengthOfPool, setLength } from "./pools";
import { payloadRow, spanRow } from "./rows";
import * as said from "./said";
import * as scan from "./scan";
import { cleanOf, isString, numberOf } from "./strings";

/**
 * Writes the spans (field 2) from `pos` up to `end`, the end of their ScopeSpans, at most `most`.
 * Answers how many; where the first one that is left begins is in the state.
 */
export function spans(pos: usize, end: usize, most: i32): u32 {
  let count: u32 = 0;
  for (let left = most; left > 0 && pos + 2 < end && load<u8>(pos) == 0x12; left -= 1) {
    const next = scan.block(pos + 1, end);
    if (next == 0) break;
    remember();
    const outcome = span(scan.startOfBlock(), next);
    if (outcome != written) undo();
    if (outcome == unusual) break;
    pos = next;
    if (outcome == written) count += 1;
  }
  store<u32>(layout.state_next, <u32>pos);
  return count;
}

/** Steps over spans as long as their lengths are short; answers how many, and where in the state. */
export function skipSpans(pos: usize, end: usize): u32 {
  let count: u32 = 0;
  while (pos + 2 <= end && load<u8>(pos) == 0x12) {
    const next = scan.block(pos + 1, end);
    if (next == 0) break;
    pos = next;
    count += 1;
  }
  store<u32>(layout.state_next, <u32>pos);
  return count;
}

/** What became of a span. */
const unusual = 0;
const written = 1;
const dropped = 2;

let missed: u32 = 0;

/** How much is in each column that a span may append to. */
function remember(): void {
  for (let i: usize = 0; i < layout.poolCount * 4; i += 4) {
    store<u32>(layout.poolLengths + i, lengthOfPool(load<u32>(layout.pools + i)));
  }
  missed = load<u32>(layout.state_missed);
}

function undo(): void {
  for (let i: usize = 0; i < layout.poolCount * 4; i += 4) {
    setLength(load<u32>(layout.pools + i), load<u32>(layout.poolLengths + i));
  }
  store<u32>(layout.state_missed, missed);
}

function span(at: usize, limit: usize): i32 {
  said.reset();
  scan.reset();
  store<u32>(layout.state_path, load<u32>(layout.state_root));
  store<u32>(layout.state_marks, load<u32>(layout.state_resourceMarks));
  setLength(load<u32>(layout.state_leftOut), 0);
  while (at < limit) {
    const tag = load<u8>(at);
    if (tag == 0x4a) {
      // As many as there are; the first that is no attribute ends them.
      const left = attributes(at, limit, i32.MAX_VALUE);
      const next: usize = load<u32>(layout.state_pos);
      if (next == at) return unusual;
      scan.countAttributes(i32.MAX_VALUE - left);
      at = next;
    } else if (tag == 0x5a) {
      at = scan.block(at + 1, limit);
      if (at == 0 || !event(scan.startOfBlock(), at)) return unusual;
      scan.countEvent();
    } else {
      at = scan.field(at, limit);
      if (at == 0) return unusual;
    }
  }
  if (<u32>scan.attributes > layout.attributesPerSpan) return unusual;
  if (scan.events > layout.eventsPerSpan || !scan.isSound()) return unusual;
  if (load<u32>(layout.state_isSampled) != 0 && !isSampled()) return dropped;
  store<u32>(layout.state_marks, load<u32>(layout.state_marks) | scan.measure());
  const name = nameOf(scan.name, scan.nameLength);
  if (name < 0) return unusual;
  if (!normalize(name) || !areFacetsKnown() || !findDevices()) return unusual;
  return payloadRow() && spanRow(name) ? written : unusual;
}

/** Whether the span's trace is kept; else it is counted. */
function isSampled(): bool {
  const hash = <f64>scan.traceHash();
  const place =
    hash >= load<f64>(layout.state_wanted)
      ? layout.state_unwanted
      : hash >= load<f64>(layout.state_allowed)
        ? layout.state_overLimit
        : 0;
  if (place == 0) return true;
  store<u32>(place, load<u32>(place) + 1);
  return false;
}

/** The number of the span's name, -1 where it takes more: too long, no UTF-8. */
function nameOf(at: usize, length: u32): i32 {
  if (length == 0) return 0;
  if (length > layout.labelBytes) return -1;
  const tail: u32 = length < 4 ? load<u8>(at + length - 1) : load<u32>(at + length - 4);
  const slot = (layout.nameRank << 5) + (((tail ^ length) * 0x9e3779b1) >> 27);
  const place = layout.lastLabels + ((<usize>slot) << 2);
  const guess = load<u32>(place);
  if (isString(guess, at, length)) return guess;
  const id = numberOf(at, length);
  if (cleanOf(id) != id) return -1;
  store<u32>(place, id);
  return id;
}
