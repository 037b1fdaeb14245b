/**
 * The objects of one kind in memory, with indexes, and what changed told as events.
 *
 * Pure: fed by a reflector. Keyed by name, compared by UID: an object that was deleted and made again under
 * its name is two events, never an update. A list is compared with what was known: what is missing is
 * deleted with its last known state, what has its old version is not told.
 */
import { keyOf } from "./kinds.ts";
import type { CacheEvent, KubeObject } from "./types.ts";

export type IndexFunction<T> = (object: T) => readonly string[];

export interface Store<T extends KubeObject> {
  get(key: string): T | undefined;
  list(): readonly T[];
  byIndex(index: string, value: string): readonly T[];
  /** Names an index that is not there yet; the objects that are there are indexed at once. */
  addIndex(name: string, index: IndexFunction<T>): void;
  replace(items: readonly T[]): CacheEvent<T>[];
  set(object: T): CacheEvent<T>[];
  remove(object: T): CacheEvent<T>[];
  readonly size: number;
}

export function createStore<T extends KubeObject>(): Store<T> {
  const objects = new Map<string, T>();
  const indexes = new Map<string, Index<T>>();

  const put = (key: string, object: T | undefined): void => {
    const before = objects.get(key);
    for (const index of indexes.values()) {
      if (before !== undefined) index.remove(key, before);
      if (object !== undefined) index.add(key, object);
    }
    if (object === undefined) objects.delete(key);
    else objects.set(key, object);
  };
  const set = (object: T): CacheEvent<T>[] => {
    const key = keyOf(object);
    const before = objects.get(key);
    if (before !== undefined && before.metadata.uid === object.metadata.uid) {
      if (isSame(object, before)) return [];
      put(key, object);
      return [{ type: "updated", object, before }];
    }
    put(key, object);
    const added: CacheEvent<T> = { type: "added", object };
    return before === undefined ? [added] : [{ type: "deleted", object: before }, added];
  };
  return {
    get: (key) => objects.get(key),
    list: () => [...objects.values()],
    byIndex: (name, value) => {
      const index = indexes.get(name);
      if (index === undefined) throw new Error(`there is no index ${name}`);
      return [...index.keys(value)].flatMap((key) => objects.get(key) ?? []);
    },
    addIndex: (name, of) => {
      if (indexes.has(name)) return;
      const index = createIndex(of);
      for (const [key, object] of objects) index.add(key, object);
      indexes.set(name, index);
    },
    replace: (items) => {
      const keys = new Set(items.map(keyOf));
      const gone = [...objects].filter(([key]) => !keys.has(key));
      const events: CacheEvent<T>[] = gone.map(([key, object]) => {
        put(key, undefined);
        return { type: "deleted", object };
      });
      for (const item of items) events.push(...set(item));
      return events;
    },
    set,
    remove: (object) => {
      const key = keyOf(object);
      const before = objects.get(key);
      // The end of an object that was already replaced by its successor.
      if (before === undefined || before.metadata.uid !== object.metadata.uid) return [];
      put(key, undefined);
      return [{ type: "deleted", object }];
    },
    get size() {
      return objects.size;
    },
  };
}

/** By version alone, older ones too: after a restore of etcd the past is the present. */
function isSame(object: KubeObject, before: KubeObject): boolean {
  const { resourceVersion } = object.metadata;
  return resourceVersion !== undefined && resourceVersion === before.metadata.resourceVersion;
}

interface Index<T> {
  add(key: string, object: T): void;
  remove(key: string, object: T): void;
  keys(value: string): Iterable<string>;
}

function createIndex<T>(of: IndexFunction<T>): Index<T> {
  const keys = new Map<string, Set<string>>();
  return {
    add(key, object) {
      for (const value of of(object)) {
        const set = keys.get(value) ?? new Set();
        keys.set(value, set.add(key));
      }
    },
    remove(key, object) {
      for (const value of of(object)) {
        const set = keys.get(value);
        set?.delete(key);
        if (set?.size === 0) keys.delete(value);
      }
    },
    keys: (value) => keys.get(value) ?? [],
  };
}
