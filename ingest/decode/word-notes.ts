/**
 * What a word of a sender means wherever the kernel meets it: as a provider or a service that betrays
 * an engine, as the name of an engine's span, as an event with content, as an operation. Found once
 * per word, as bits that `memory-map.ts` places.
 */
import { operationWords } from "../normalize/aliases.ts";
import { engineOf, engineOfService, engines, sglangStages } from "../normalize/engines.ts";
import { fields } from "../normalize/said.ts";
import { isContentEvent } from "./key-roles.ts";
import { note, placeOfState } from "./memory-map.ts";
import { engineNumber } from "./state.ts";
import type { Strings } from "./strings.ts";

export interface WordNotes {
  /** Interned strings were renumbered. */
  clear(): void;
}

export function createWordNotes(strings: Strings): WordNotes {
  const { heap } = strings;
  let notes = heap.uint32(1024);
  let operations = heap.uint32(1024);
  const publish = (): void => {
    heap.words[placeOfState.notes] = notes.byteOffset;
    heap.words[placeOfState.operations] = operations.byteOffset;
  };
  /** Words are noted in any order: all that are known have room. */
  const makeRoom = (): void => {
    if (strings.offsets.length <= notes.length) return;
    notes = heap.widened(notes, strings.offsets.length);
    operations = heap.widened(operations, strings.offsets.length);
    publish();
  };
  heap.onNote((word) => {
    const text = strings.text(word);
    const operation = operationWords.get(text.toLowerCase());
    const meaning = operation === undefined ? word : strings.constant(operation);
    makeRoom();
    notes[word] = noteOf(text);
    operations[word] = meaning;
  });
  publish();
  return {
    clear: () => {
      notes.fill(0);
      operations.fill(0);
    },
  };
}

function noteOf(text: string): number {
  const provider = engineNumber(engineOf(text.toLowerCase())?.name ?? "");
  const service = engineNumber(engineOfService(text));
  const stage = sglangStages.get(text.trim());
  let bits = provider | (service << note.service) | (1 << note.known);
  if (stage !== undefined) bits |= (fields[stage] + 1) << note.stage;
  if (isContentEvent(text)) bits |= 1 << note.contentEvent;
  engines.forEach(({ requestSpans }, i) => {
    if (requestSpans.includes(text)) bits |= 1 << (note.requests + i);
  });
  return bits;
}
