/**
 * The kernel: what costs most of decoding, compiled to WebAssembly from AssemblyScript
 * (`npm run generate`). This file lists what it offers; `kernel-module.ts` has the types.
 */
export { clear, copy } from "./bytes";
export { numbers, integers, nulls, ends, texts } from "./columns";
export { collect, dictionaryBytes, labels } from "./labels";
export { attributes, follow, learn } from "./attributes";
export { skipSpans, spans } from "./spans";
export { answerEntry } from "./devices";
export { findTraces, indexTraces } from "./traces";
