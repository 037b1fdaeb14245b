/**
 * The identity intervals that this process knows, found by what a span may say of its process: pod uid,
 * pod name, container id, pid. A pure structure: no clock, no I/O; its owner feeds it (`follow.ts`).
 */
import * as limits from "./limits.ts";

/** An allocation or an ordinal binding, in one shape. */
export interface Interval {
  /** (kind, cluster, node, key, from): an interval told again replaces itself. */
  readonly id: string;
  readonly kind: "allocation" | "binding";
  readonly cluster: string;
  readonly node: string;
  readonly fromMs: number;
  /** Infinity: open. */
  readonly toMs: number;
  readonly podUid: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly containerId: string;
  /** Of a binding of one process: as the host and as the process itself sees it. */
  readonly pid: number | undefined;
  readonly ownPid: number | undefined;
  /** Of a binding; undefined: the whole set. */
  readonly ordinal: number | undefined;
  /** Of a binding. */
  readonly level: string;
  readonly uuids: readonly string[];
  readonly candidates: readonly string[];
  readonly reason: string;
  readonly warnings: readonly string[];
  readonly evidence: readonly string[];
}

export interface IdentityView {
  /** Grows with every change; an answer of an older version may be another now. */
  readonly version: number;
  readonly size: number;
  /** Adds and replaces. Answers how many did not fit. */
  put(intervals: readonly Interval[]): number;
  /** Forgets what ended before. */
  prune(beforeMs: number): void;
  /** Namespaces of tenants, as `cluster\0namespace` → the tenant's number. */
  setTenants(namespaces: ReadonlyMap<string, number>): void;
  tenantOf(cluster: string, namespace: string): number | undefined;
  by(index: Index, key: string): readonly Interval[];
}

export type Index = "podUid" | "podName" | "containerId" | "pid" | "ownPid";

export function createIdentityView(): IdentityView {
  const all = new Map<string, Interval>();
  const indexes: Record<Index, Map<string, Interval[]>> = {
    podUid: new Map(),
    podName: new Map(),
    containerId: new Map(),
    pid: new Map(),
    ownPid: new Map(),
  };
  let tenants: ReadonlyMap<string, number> = new Map();
  let version = 1;

  const remove = (interval: Interval): void => {
    all.delete(interval.id);
    for (const [index, key] of keysOf(interval)) {
      const left = (indexes[index].get(key) ?? []).filter((each) => each !== interval);
      if (left.length === 0) indexes[index].delete(key);
      else indexes[index].set(key, left);
    }
  };
  return {
    get version() {
      return version;
    },
    get size() {
      return all.size;
    },
    put: (intervals) => {
      let refused = 0;
      for (const interval of intervals) {
        const before = all.get(interval.id);
        if (before !== undefined) remove(before);
        else if (all.size >= limits.intervals) {
          refused += 1;
          continue;
        }
        all.set(interval.id, interval);
        for (const [index, key] of keysOf(interval)) {
          const list = indexes[index].get(key);
          if (list === undefined) indexes[index].set(key, [interval]);
          else list.push(interval);
        }
      }
      if (intervals.length > 0) version += 1;
      return refused;
    },
    prune: (beforeMs) => {
      for (const interval of all.values()) if (interval.toMs <= beforeMs) remove(interval);
    },
    setTenants: (namespaces) => {
      const isSame =
        namespaces.size === tenants.size &&
        [...namespaces].every(([key, tenant]) => tenants.get(key) === tenant);
      if (isSame) return;
      tenants = namespaces;
      version += 1;
    },
    tenantOf: (cluster, namespace) => tenants.get(`${cluster}\0${namespace}`),
    by: (index, key) => indexes[index].get(key) ?? [],
  };
}

export const podNameKey = (namespace: string, pod: string): string => `${namespace}/${pod}`;
export const pidKey = (node: string, pid: number): string => `${node}/${pid}`;

function keysOf(interval: Interval): [Index, string][] {
  const { podUid, namespace, pod, containerId, node, pid, ownPid } = interval;
  const keys: [Index, string][] = [];
  if (podUid !== "") keys.push(["podUid", podUid]);
  if (pod !== "") keys.push(["podName", podNameKey(namespace, pod)]);
  if (containerId !== "") keys.push(["containerId", containerId]);
  if (pid !== undefined) keys.push(["pid", pidKey(node, pid)]);
  if (ownPid !== undefined) keys.push(["ownPid", pidKey(node, ownPid)]);
  return keys;
}
