/**
 * The devices of a span, as `devices.ts` found them for spans of the same process, ordinals and
 * stretch of time. What was not asked yet is left to it.
 */
import * as layout from "./layout";
import { pushWord } from "./pools";
import * as said from "./said";
import * as scan from "./scan";

/** The answer; 0 where the span did not run on a device. */
export let answer: usize = 0;
/** Ordinals in the row. */
export let ordinals: u32 = 0;

export function findDevices(): bool {
  answer = 0;
  ordinals = 0;
  let packed: u64 = 0;
  const count = load<u32>(layout.said_ordinalCount);
  for (let i: u32 = 0; i < count; i += 1) {
    const ordinal = load<f64>(layout.said_ordinals + ((<usize>i) << 3));
    if (!(ordinal >= 0 && ordinal <= 255)) continue;
    packed = (packed << 8) | <u64>ordinal;
    pushWord(load<u32>(layout.state_ordinals), <u32>ordinal);
    ordinals += 1;
  }
  const named = said.label(layout.field_gpuUuid);
  if (ordinals == 0 && named == 0 && said.label(layout.field_operation) == 0) return true;
  // More do not fit the key.
  if (ordinals > 8) return false;
  answer = lookUp(named, packed);
  if (answer == 0) return false;
  // Whole milliseconds, exactly (`msOf`).
  const startMs = <f64>(scan.start / 1_000_000);
  if (
    !(
      startMs >= load<f64>(answer, layout.answer_from) &&
      startMs < load<f64>(answer, layout.answer_to)
    )
  )
    return false;
  if (load<u32>(answer, layout.answer_isMissing) != 0 && !miss(startMs)) return false;
  return true;
}

function lookUp(named: u32, packed: u64): usize {
  return load<u32>(answerEntry(load<u32>(layout.state_process), named, ordinals, packed), 12);
}

/** The entry for an answer, or the free one where it is not yet. */
export function answerEntry(process: u32, named: u32, count: u32, packed: u64): usize {
  const answers: usize = load<u32>(layout.state_answers);
  let hash = (process ^ load<u32>(layout.strings_seed)) * 0x9e3779b1;
  hash = (hash ^ (hash >> 15) ^ named) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13) ^ <u32>packed ^ <u32>(packed >> 32) ^ count) * 0xc2b2ae35;
  let slot = hash ^ (hash >> 16);
  let entry: usize = 0;
  do {
    entry = answers + ((<usize>(slot & (layout.answerSlots - 1))) << 5);
    if (
      load<u32>(entry) == process &&
      load<u32>(entry, 4) == named &&
      load<u32>(entry, 8) == count &&
      load<u64>(entry, 16) == packed
    ) {
      break;
    }
    slot += 1;
  } while (load<u32>(entry, 12) != 0);
  return entry;
}

/** Notes that the span has no device yet, for whoever may learn of one. */
function miss(startMs: f64): bool {
  const count = load<u32>(layout.state_missed);
  if (count >= layout.missedSpans) return false;
  const entry = <usize>load<u32>(layout.state_misses) + ((<usize>count) << 4);
  store<f64>(entry, startMs);
  store<u32>(entry, load<u32>(answer, layout.answer_id), 8);
  store<u32>(layout.state_missed, count + 1);
  return true;
}

/** Appends the answer's strings of one kind behind the others; answers where they end. */
export function pushAnswer(header: usize, at: usize, count: u32): usize {
  for (let i: u32 = 0; i < count; i += 1, at += 4) pushWord(header, load<u32>(at));
  return at;
}
