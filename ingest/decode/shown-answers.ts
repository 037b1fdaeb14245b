/**
 * What the kernel knows of devices: the answers that `devices.ts` got, by process, device named in the
 * span, and ordinals. When there are many, or a new version of the truth, all are forgotten; each is
 * shown again when a span asks for it.
 */
import type { Heap } from "./heap.ts";
import {
  answer as fieldsOf,
  answerEntryBytes,
  answerSlots,
  missesAt,
  placeOfState,
} from "./memory-map.ts";

/** The part of an answer that goes into rows: interned strings. */
interface Shown {
  readonly fromMs: number;
  readonly toMs: number;
  readonly devices: readonly number[];
  readonly level: number;
  readonly candidates: readonly number[];
  readonly reason: number;
  readonly evidence: readonly number[];
  /** Set: spans of this answer are told as waiting for a device. */
  readonly missing: string | undefined;
  shown: number;
}

export interface ShownAnswers<A extends Shown> {
  /** Grows whenever all are forgotten. */
  readonly epoch: number;
  /** Forgets answers of another version. */
  keep(version: number): void;
  /** A number for a resource's process, and a peer's. */
  processOf(resource: object, pid: number | undefined): number;
  show(answer: A, process: number, named: number, ordinals: Uint32Array): void;
  /** The span without a device that the kernel noted as number `index`. */
  missed(index: number): { answer: A | undefined; startMs: number };
  clear(): void;
}

/** The key of an answer has room for so many. */
const ordinalsInKey = 8;

export function createShownAnswers<A extends Shown>(heap: Heap): ShownAnswers<A> {
  const table = heap.uint32((answerSlots * answerEntryBytes) / 4);
  heap.words[placeOfState.answers] = table.byteOffset;
  heap.words[placeOfState.misses] = missesAt;
  let epoch = 0;
  let version = 0;
  let processes = createProcesses();
  let answers: A[] = [];
  let blocks: Uint32Array[] = [];
  const clear = (): void => {
    table.fill(0);
    for (const { byteOffset, byteLength } of blocks) heap.release(byteOffset, byteLength);
    blocks = [];
    answers = [];
    epoch += 1;
  };
  return {
    get epoch() {
      return epoch;
    },
    keep: (current) => {
      if (current === version) return;
      version = current;
      clear();
    },
    processOf: (resource, pid) => processes(resource, pid),
    show: (answer, process, named, ordinals) => {
      if (ordinals.length > ordinalsInKey) return;
      if (answers.length * 2 >= answerSlots) clear();
      let packed = 0n;
      for (const ordinal of ordinals) packed = (packed << 8n) | BigInt(ordinal);
      const entry = heap.kernel.answerEntry(process, named, ordinals.length, packed) / 4;
      const { words } = heap;
      words[entry] = process;
      words[entry + 1] = named;
      words[entry + 2] = ordinals.length;
      const block = blockOf(heap, answer, answers.push(answer) - 1);
      blocks.push(block);
      words[entry + 3] = block.byteOffset;
      words[entry + 4] = Number(packed & 0xffff_ffffn);
      words[entry + 5] = Number(packed >> 32n);
      answer.shown = epoch;
    },
    missed: (index) => {
      const at = missesAt + index * 16;
      return { answer: answers[heap.words[at / 4 + 2] ?? 0], startMs: heap.doubles[at / 8] ?? 0 };
    },
    clear: () => {
      processes = createProcesses();
      clear();
    },
  };
}

/** An answer in the decoder's memory. */
function blockOf(heap: Heap, answer: Shown, id: number): Uint32Array {
  const { devices, candidates, evidence } = answer;
  const items = [...devices, ...candidates, ...evidence];
  const block = heap.uint32(fieldsOf.items / 4 + items.length);
  const { byteOffset: at } = block;
  heap.doubles[(at + fieldsOf.from) / 8] = answer.fromMs;
  heap.doubles[(at + fieldsOf.to) / 8] = answer.toMs;
  block[fieldsOf.level / 4] = answer.level;
  block[fieldsOf.reason / 4] = answer.reason;
  block[fieldsOf.isMissing / 4] = answer.missing === undefined ? 0 : 1;
  block[fieldsOf.id / 4] = id;
  block[fieldsOf.devices / 4] = devices.length;
  block[fieldsOf.candidates / 4] = candidates.length;
  block[fieldsOf.evidence / 4] = evidence.length;
  block.set(items, fieldsOf.items / 4);
  return block;
}

/** Numbers for the processes of resources and peers, from 1. */
function createProcesses(): (resource: object, pid: number | undefined) => number {
  const numbers = new WeakMap<object, Map<number | undefined, number>>();
  let count = 0;
  return (resource, pid) => {
    let byPid = numbers.get(resource);
    if (byPid === undefined) numbers.set(resource, (byPid = new Map()));
    const known = byPid.get(pid);
    if (known !== undefined) return known;
    count += 1;
    byPid.set(pid, count);
    return count;
  };
}
