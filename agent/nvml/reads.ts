/**
 * The commonest NVML calls, one value each, with buffers that are reused between calls. Results are read
 * out before the next call, so nothing here may be held over an await.
 */
import type { FunctionName, Functions } from "./functions.ts";
import { textOf, textSizes, u32, u64 } from "./layouts.ts";
import { outBuffer, type OutBuffer } from "./library.ts";
import { code } from "./readings.ts";

export interface Reads {
  readonly functions: Functions;
  readonly out: OutBuffer;
  readonly second: OutBuffer;
  number(name: FunctionName, handle: number): number | undefined;
  /** Two u32 of one call, e.g. a mode and its pending value. */
  pair(name: FunctionName, handle: number): readonly [number, number] | undefined;
  text(name: FunctionName, handle: number, size: number): string | undefined;
  /** A pointer that a call answers, or its code. */
  pointer(returned: number): number | undefined;
}

export function createReads(functions: Functions): Reads {
  const out = outBuffer(textSizes.uuid);
  const second = outBuffer(8);
  const text = outBuffer(textSizes.uuid);
  return {
    functions,
    out,
    second,
    number: (name, handle) =>
      functions.call(name, handle, out.at) === code.success ? u32(out.view, 0) : undefined,
    pair: (name, handle) =>
      functions.call(name, handle, out.at, second.at) === code.success
        ? [u32(out.view, 0), u32(second.view, 0)]
        : undefined,
    text: (name, handle, size) =>
      functions.call(name, handle, text.at, size) === code.success ? textOf(text.bytes) : undefined,
    pointer: (returned) => (returned === code.success ? u64(out.view, 0) : undefined),
  };
}
