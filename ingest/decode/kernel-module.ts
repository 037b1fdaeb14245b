/**
 * The compiled kernel (`kernel/`, `kernel.generated.ts`): compiled once per process, instantiated per
 * decoder. Compiling 20 KB takes a few milliseconds, an instance some 0.05.
 */
import { kernelBase64 } from "./kernel.generated.ts";

/** Places are bytes from the beginning of the memory. */
export interface Kernel {
  copy(to: number, from: number, bytes: number): void;
  /** Zeros: `fill` of shared memory costs thirty times as much. */
  clear(at: number, bytes: number): void;
  /** Columns of a Native block (`native-block.ts`); `stride` is in bytes. */
  numbers(to: number, from: number, stride: number, rows: number, bytes: number): void;
  integers(to: number, from: number, stride: number, rows: number, bytes: number): void;
  nulls(to: number, from: number, stride: number, rows: number): void;
  ends(to: number, from: number, stride: number, rows: number): void;
  /** Answers where it ended. */
  texts(to: number, from: number, stride: number, rows: number, texts: number): number;
  /** Lists the distinct strings and, at `narrow`, their positions of a byte; answers how many. */
  collect(entries: number, from: number, stride: number, count: number, narrow: number): number;
  dictionaryBytes(entries: number, count: number): number;
  /** Answers where it ended. */
  labels(
    to: number,
    entries: number,
    distinct: number,
    from: number,
    stride: number,
    count: number,
    narrow: number,
  ): number;
  /** Stores attributes as long as they are as expected; answers how many of `left` are left. */
  attributes(pos: number, end: number, left: number): number;
  /** Where a key leads from a place in the orders of keys, 0 for nowhere yet. */
  follow(from: number, key: number): number;
  learn(from: number, key: number, to: number): void;
  /** The entry of an answer about devices, or where it belongs. */
  answerEntry(process: number, named: number, count: number, packed: bigint): number;
  /** Writes at most `most` spans as long as they are usual ones; answers how many. */
  spans(pos: number, end: number, most: number): number;
  /** Rows of `trace_index` (`trace-index.ts`), from rows of `spans`. */
  indexTraces(
    spans: number,
    first: number,
    table: number,
    slots: number,
    mask: number,
    seed: number,
    day: number,
    retention: number,
  ): void;
  /** Finds slots for rows that are there already. */
  findTraces(table: number, slots: number, mask: number, seed: number): void;
  /** Steps over spans; answers how many. */
  skipSpans(pos: number, end: number): number;
}

export interface KernelImports {
  readonly memory: WebAssembly.Memory;
  /** The array with this header needs room for so many more; its header tells where it is then. */
  readonly grow: (header: number, count: number) => void;
  /** The number of a string that is not interned yet. */
  readonly intern: (at: number, length: number) => number;
  /** Writes down what a word means (`word-notes.ts`). */
  readonly note: (word: number) => void;
}

let compiled: WebAssembly.Module | undefined;

export function instantiateKernel(imports: KernelImports): Kernel {
  compiled ??= new WebAssembly.Module(Buffer.from(kernelBase64, "base64"));
  const { memory, grow, intern, note } = imports;
  const { exports } = new WebAssembly.Instance(compiled, {
    env: { memory },
    pools: { grow },
    strings: { intern },
    normalize: { note },
  });
  // Safe: `kernel/main.ts` exports these functions, and a test compares it with what is checked in.
  return exports as Kernel;
}
