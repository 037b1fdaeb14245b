/**
 * Where things lie that the compiled kernel and the TypeScript around it both know, in bytes from the
 * beginning of a decoder's memory. `scripts/generate/kernel-layout.ts` hands the kernel the same
 * numbers.
 */
import { aliases } from "../normalize/aliases.ts";
import { engines } from "../normalize/engines.ts";
import { fields, mostOrdinals } from "../normalize/said.ts";
import { facetNames } from "./facet-names.ts";
import { missedSpans } from "./limits.ts";

let top = 64;
function place(bytes: number): number {
  const at = top;
  top += Math.ceil(bytes / 16) * 16;
  return at;
}

/** Interned strings (`strings.ts`): where their arrays are, and what finding one takes. */
export const stringsFields = [
  "bytes",
  "offsets",
  "lengths",
  "roles",
  "clean",
  "hashes",
  "slots",
  "mask",
  "seed",
  "positions",
] as const;
export const stringsAt = place(stringsFields.length * 4);

/** Columns that spans append to: the places of their headers. */
export const poolNames = [
  "strKeys",
  "strValues",
  "intKeys",
  "intValues",
  "numKeys",
  "numValues",
  "boolKeys",
  "boolValues",
  "jsonKeys",
  "jsonValues",
  "contentKeys",
  "contentValues",
  "eventTime",
  "eventName",
  "eventAttrs",
  "payloadTexts",
  "spanTexts",
  "ordinals",
  "devices",
  "candidates",
  "evidence",
] as const;
export const poolsAt = place(poolNames.length * 4);
export const poolLengthsAt = place(poolNames.length * 4);

/** Words that are set before the kernel is called, or that it answers in. */
export const stateFields = [
  // Attributes: the body, the node of the path, steps between nodes, what to do with content.
  "body",
  "root",
  "path",
  "pos",
  "steps",
  "stepsMask",
  "capture",
  "marks",
  "leftOut",
  "failed",
  // Spans: where the next one is, tables and the rows that are the same for all.
  "next",
  "spans",
  "payload",
  "spanTemplate",
  "payloadTemplate",
  "day",
  "hours",
  "resourceMarks",
  "tenant",
  "retention",
  "isSampled",
  "unwanted",
  "overLimit",
  // What scope and resource say.
  "engine",
  "service",
  "environment",
  "namespace",
  "pod",
  "node",
  "model",
  // Words, devices.
  "textCompletion",
  "notes",
  "operations",
  "process",
  "answers",
  "missed",
  "misses",
] as const;
export type StateField = (typeof stateFields)[number];
const stateAt = place(stateFields.length * 4);
/** By field: which word of the memory. */
export const placeOfState = Object.fromEntries(
  stateFields.map((field, i) => [field, stateAt / 4 + i]),
) as Readonly<Record<StateField, number>>; // made of all fields
/** Doubles: bounds of a span's start, and of the hash of its trace's id. */
export const oldestMsAt = place(32);
export const newestMsAt = oldestMsAt + 8;
export const wantedAt = oldestMsAt + 16;
export const allowedAt = oldestMsAt + 24;

const fieldCount = Object.keys(fields).length;
/** What a span said (`said.ts`). */
export const said = {
  values: place(fieldCount * 8),
  ranks: place(fieldCount * 2),
  labels: place(fieldCount * 4),
  offsets: place(fieldCount * 4),
  lengths: place(fieldCount * 4),
  ordinals: place(mostOrdinals * 8),
  /** Two words: how many ordinals, and the row that betrays an engine, plus 1. */
  counts: place(8),
};

/** The alias table, 8 bytes a row: field, unit, flags, engine, basis. */
export const aliasesAt = place(aliases.length * 8);
export const aliasFlags = { isLabel: 1, isOrdinals: 2, isQuantity: 4 } as const;

/** Labels that each alias had lately, and names of spans as one alias more. */
export const labelsPerAlias = 32;
export const lastLabelsAt = place((aliases.length + 1) * labelsPerAlias * 4);
export const lastLabelsEnd = top;

/** The last short lists under each alias, by a mix of their length and last bytes (`list-memos.ts`). */
export const memo = { raw: 32, text: 96, bytes: 224, ordinals: 12, perAlias: 4 } as const;
export const memosAt = place(aliases.length * memo.perAlias * memo.bytes);
export const memosEnd = top;

/** By number of an engine: basis of its TTFT, whether its prefill has the queue in it; its name. */
export const enginesAt = place((engines.length + 1) * 2);
export const engineNamesAt = place((engines.length + 1) * 4);

/** Scopes of facets by their quarter of an hour, 32 bytes each. */
export const facetEntries = 16;
export const facetScopesAt = place(facetEntries * 32);
export const facetBits = Object.fromEntries(facetNames.map((name, i) => [name, 1 << i]));

/** A place in the orders of keys (`paths.ts`), 32 bytes. */
export const node = { key: 4, place: 8, length: 12, meaning: 16, flags: 20, bytes: 32 } as const;
export const nodeIsContent = 1;

/** What is known of a span's devices (`devices.ts`): an entry of the table, and the answer. */
export const answerSlots = 1024;
export const answerEntryBytes = 32;
export const answer = {
  from: 0,
  to: 8,
  level: 16,
  reason: 20,
  isMissing: 24,
  id: 28,
  devices: 32,
  candidates: 36,
  evidence: 40,
  items: 44,
} as const;
/** Spans without a device that the kernel notes in one call: start (a double), answer. */
export const missesAt = place(missedSpans * 16);

/** What a word means (`word-notes.ts`), as places of bits. */
export const note = { service: 4, stage: 8, contentEvent: 15, requests: 16, known: 31 } as const;

/** Everything below is the map's; blocks are given out above. */
export const fixedBytes = Math.ceil(top / 65_536) * 65_536;
