/**
 * The orders in which keys of attributes came: a tree from the instrumentation's scope over a span's
 * first key to its last. An instrumentation writes the same keys in the same order, so the key that
 * followed last time is nearly always the one that follows now, and one comparison of bytes tells.
 *
 * A key is at most once on a path: who stays on it meets no key twice. A full tree starts afresh.
 */
import { meaningOf, type Meaning } from "../normalize/said.ts";
import { aliasOfRole, isContentRole } from "./key-roles.ts";
import { pathNodes } from "./limits.ts";
import type { Strings } from "./strings.ts";

export interface PathNode {
  /** What came next last time. */
  next: PathNode | undefined;
  readonly key: number;
  /** Where the key lies with tags and length around it, and how long that is. */
  readonly place: number;
  readonly length: number;
  readonly meaning: Meaning | undefined;
  /** Everything that ever came next, where that was more than one. */
  children: Map<number, PathNode> | undefined;
}

/** A longer key is in no attribute of less than 128 bytes. */
const longestKey = 120;
/** So long that no attribute matches. */
const unexpected = 1000;

export interface Paths {
  /** The beginning of spans of this scope. */
  root(scope: number): PathNode;
  /** Where `key` leads, which is expected from now on; off all paths where there is no room. */
  follow(from: PathNode | undefined, key: number): PathNode | undefined;
  /** Interned strings were renumbered. */
  clear(): void;
}

export function createPaths(strings: Strings): Paths {
  const roots = new Map<number, PathNode>();
  let lastScope = 0;
  let lastRoot: PathNode | undefined;
  let count = 0;
  const clear = (): void => {
    roots.clear();
    lastRoot = undefined;
    count = 0;
  };
  const make = (key: number): PathNode => {
    count += 1;
    return nodeOf(strings, key);
  };
  return {
    root: (scope) => {
      if (count >= pathNodes) clear();
      if (scope === lastScope && lastRoot !== undefined) return lastRoot;
      let root = roots.get(scope);
      if (root === undefined) roots.set(scope, (root = make(0)));
      lastScope = scope;
      lastRoot = root;
      return root;
    },
    follow: (from, key) => {
      if (from === undefined || from.next?.key === key) return from?.next;
      if (from.children === undefined && from.next !== undefined) {
        from.children = new Map([[from.next.key, from.next]]);
      }
      let node = from.children?.get(key);
      if (node === undefined) {
        if (count >= pathNodes) return undefined;
        node = make(key);
        from.children?.set(key, node);
      }
      from.next = node;
      return node;
    },
    clear,
  };
}

function nodeOf(strings: Strings, key: number): PathNode {
  const role = strings.role(key);
  const length = strings.lengths[key] ?? 0;
  const isPlain = !isContentRole(role) && length > 0 && length <= longestKey;
  return {
    next: undefined,
    key,
    place: strings.place(key),
    length: isPlain ? length + tagBytes : unexpected,
    meaning: meaningOf(aliasOfRole(role)),
    children: undefined,
  };
}

/** Tag and length before a key, and its value's tag behind it. */
const tagBytes = 3;
