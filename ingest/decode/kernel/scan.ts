/**
 * The fields of one span that are no attributes and no events: where they lie, or what they say. What
 * SDKs do not write is left alone: the answer 0 leaves the span to the general way.
 */
import * as layout from "./layout";

export let trace: usize = 0;
export let id: usize = 0;
export let parent: usize = 0;
export let traceState: usize = 0;
export let traceStateLength: u32 = 0;
export let name: usize = 0;
export let nameLength: u32 = 0;
export let message: usize = 0;
export let messageLength: u32 = 0;
export let kind: u32 = 0;
export let status: u32 = 0;
export let start: u64 = 0;
export let end: u64 = 0;
export let droppedAttributes: u32 = 0;
export let droppedEvents: u32 = 0;
export let droppedLinks: u32 = 0;
export let attributes: i32 = 0;
export let events: u32 = 0;
/** Minutes since 1970 in which it starts. */
export let minute: u32 = 0;
export let duration: u64 = 0;

/** Bounds of the block that was read last. */
let blockStart: usize = 0;
let blockLength: u32 = 0;

export function reset(): void {
  trace = 0;
  id = 0;
  parent = 0;
  traceStateLength = 0;
  nameLength = 0;
  messageLength = 0;
  kind = 0;
  status = 0;
  start = 0;
  end = 0;
  droppedAttributes = 0;
  droppedEvents = 0;
  droppedLinks = 0;
  attributes = 0;
  events = 0;
}

export function countAttributes(more: i32): void {
  attributes += more;
}
export function countEvent(): void {
  events += 1;
}

/** Reads a length of at most three bytes and the block behind it; answers its end, 0 for none. */
export function block(at: usize, limit: usize): usize {
  let size = <u32>load<u8>(at++);
  if (size >= 0x80) {
    const second = <u32>load<u8>(at++);
    size = (size & 0x7f) | (second << 7);
    if (second >= 0x80) {
      const third = <u32>load<u8>(at++);
      if (third >= 0x80) return 0;
      size = (size & 0x3fff) | (third << 14);
    }
  }
  blockStart = at;
  blockLength = size;
  return at + size <= limit ? at + size : 0;
}
export function startOfBlock(): usize {
  return blockStart;
}

/** Reads the field at `pos`; answers where it ends. */
export function field(pos: usize, limit: usize): usize {
  if (pos + 2 > limit) return 0;
  switch (load<u8>(pos)) {
    case 0x0a:
      trace = pos + 2;
      return load<u8>(pos, 1) == 16 && pos + 18 <= limit ? pos + 18 : 0;
    case 0x12:
      id = pos + 2;
      return load<u8>(pos, 1) == 8 && pos + 10 <= limit ? pos + 10 : 0;
    case 0x22: {
      const length = load<u8>(pos, 1);
      parent = length == 8 ? pos + 2 : 0;
      const next = pos + 2 + length;
      return (length == 8 || length == 0) && next <= limit ? next : 0;
    }
    case 0x39:
      start = load<u64>(pos + 1);
      return pos + 9 <= limit ? pos + 9 : 0;
    case 0x41:
      end = load<u64>(pos + 1);
      return pos + 9 <= limit ? pos + 9 : 0;
    case 0x30:
      kind = load<u8>(pos, 1);
      return kind < 0x80 ? pos + 2 : 0;
    // Flags (field 16, fixed32) are not kept.
    case 0x85:
      return load<u8>(pos, 1) == 0x01 && pos + 6 <= limit ? pos + 6 : 0;
    default:
      return other(pos, limit);
  }
}

function other(pos: usize, limit: usize): usize {
  const tag = load<u8>(pos);
  if (tag == 0x50 || tag == 0x60 || tag == 0x70) {
    const count = load<u8>(pos, 1);
    if (count >= 0x80) return 0;
    if (tag == 0x50) droppedAttributes = count;
    else if (tag == 0x60) droppedEvents = count;
    else droppedLinks = count;
    return pos + 2;
  }
  if (tag != 0x2a && tag != 0x7a && tag != 0x1a) return 0;
  const next = block(pos + 1, limit);
  if (next == 0) return 0;
  if (tag == 0x2a) {
    name = blockStart;
    nameLength = blockLength;
  } else if (tag == 0x1a) {
    traceState = blockStart;
    traceStateLength = blockLength;
  } else if (!statusIn(blockStart, next)) return 0;
  return next;
}

/** Status: message = 2, code = 3. */
function statusIn(pos: usize, limit: usize): bool {
  while (pos < limit) {
    if (pos + 2 > limit) return false;
    const tag = load<u8>(pos);
    if (tag == 0x18) {
      status = load<u8>(pos, 1);
      if (status >= 0x80) return false;
      pos += 2;
    } else if (tag == 0x12) {
      pos = block(pos + 1, limit);
      if (pos == 0) return false;
      message = blockStart;
      messageLength = blockLength;
    } else return false;
  }
  return true;
}

/** Whether it can be kept: sound ids, and a start in the day whose rows are open. */
export function isSound(): bool {
  if (trace == 0 || id == 0) return false;
  if ((load<u64>(trace) | load<u64>(trace, 8)) == 0 || load<u64>(id) == 0) return false;
  const startMs = <f64>(start / 1_000_000);
  if (startMs < load<f64>(layout.state_oldestMs) || startMs > load<f64>(layout.state_newestMs)) {
    return false;
  }
  minute = <u32>(start / 60000000000);
  return minute / 1440 == load<u32>(layout.state_day);
}

/** End − start; what cannot be is 0 with a mark. */
export function measure(): u32 {
  duration = 0;
  if (end == 0) return layout.mark_unfinished;
  if (end < start) return layout.mark_endBeforeStart;
  if (<f64>end / 1e6 > load<f64>(layout.state_newestMs)) return layout.mark_timeOutOfRange;
  duration = end - start;
  return 0;
}

/** The same as in `trace-hash.ts`. */
export function traceHash(): u32 {
  let hash: u32 = 0x9e3779b9;
  for (let word: usize = 0; word < 16; word += 4) {
    hash ^= load<u32>(trace + word);
    hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
    hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
    hash ^= hash >> 16;
  }
  return hash;
}
