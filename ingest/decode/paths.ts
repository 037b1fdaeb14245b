/**
 * The orders in which keys of attributes came: a tree from the instrumentation's scope over a span's
 * first key to its last. An instrumentation writes the same keys in the same order, so the key that
 * followed last time is nearly always the one that follows now, and one comparison of bytes tells.
 *
 * A key is at most once on a path: who stays on it meets no key twice. A full tree starts afresh. The
 * tree lies in the decoder's memory, where the kernel walks it; places in it are numbers, 0 for none.
 */
import { aliasOfRole, isContentRole } from "./key-roles.ts";
import { pathNodes } from "./limits.ts";
import { node, nodeIsContent, placeOfState } from "./memory-map.ts";
import type { Strings } from "./strings.ts";

export interface Paths {
  /** The beginning of spans of this scope. */
  root(scope: number): number;
  /** Where `key` leads, which is expected from now on; 0 where there is no room. */
  follow(from: number, key: number): number;
  /** Interned strings were renumbered. */
  clear(): void;
}

const nodesPerBlock = 128;
const firstSteps = 256;
/** A longer key has a length of two bytes before it, which no interned string has. */
const longestKey = 127;
/** So long that no attribute matches. */
const unexpected = 0x7fffffff;

export function createPaths(strings: Strings): Paths {
  const { heap } = strings;
  const roots = new Map<number, number>();
  let blocks: number[] = [];
  let count = 0;
  /** Steps from node over key to node, three words each, found by a hash. */
  let steps: Uint32Array = new Uint32Array(0);
  let stepCount = 0;
  let learned: (readonly [from: number, key: number, to: number])[] = [];
  const makeSteps = (slots: number): void => {
    if (steps.length > 0) heap.release(steps.byteOffset, steps.byteLength);
    steps = heap.uint32(slots * 3);
    heap.words[placeOfState.steps] = steps.byteOffset;
    heap.words[placeOfState.stepsMask] = slots - 1;
  };
  const clear = (): void => {
    for (const at of blocks) heap.release(at, nodesPerBlock * node.bytes);
    blocks = [];
    roots.clear();
    learned = [];
    count = 0;
    stepCount = 0;
    makeSteps(firstSteps);
  };
  const learn = (from: number, key: number, to: number): void => {
    learned.push([from, key, to]);
    stepCount += 1;
    if (stepCount * 6 > steps.length) {
      makeSteps((steps.length / 3) * 2);
      for (const [before, between, behind] of learned) heap.kernel.learn(before, between, behind);
    } else heap.kernel.learn(from, key, to);
  };
  const make = (key: number): number => {
    if (count % nodesPerBlock === 0) blocks.push(heap.uint32(nodesPerBlock * 8).byteOffset);
    const at = (blocks.at(-1) ?? 0) + (count % nodesPerBlock) * node.bytes;
    count += 1;
    const role = strings.role(key);
    const length = strings.lengths[key] ?? 0;
    const { words } = heap;
    words[(at + node.key) / 4] = key;
    words[(at + node.place) / 4] = strings.place(key);
    words[(at + node.length) / 4] = length <= longestKey ? length + tagBytes : unexpected;
    words[(at + node.meaning) / 4] = aliasOfRole(role) + 1;
    words[(at + node.flags) / 4] = isContentRole(role) ? nodeIsContent : 0;
    return at;
  };
  clear();
  return {
    root: (scope) => {
      if (count >= pathNodes) clear();
      let root = roots.get(scope);
      if (root === undefined) roots.set(scope, (root = make(0)));
      return root;
    },
    follow: (from, key) => {
      if (from === 0) return 0;
      const known = heap.kernel.follow(from, key);
      if (known !== 0 || count >= pathNodes) return known;
      const made = make(key);
      learn(from, key, made);
      return made;
    },
    clear,
  };
}

/** Tag and length before a key, and its value's tag behind it. */
const tagBytes = 3;
