/**
 * Which node belongs to which pool: pure, and the same whoever computes it and in whatever order. A node
 * that several pools select is the one's with the highest priority, then the oldest, then the first by name.
 */
import type { GpuPoolSpec } from "../crds/gpu-pool.ts";

export type NodeSelector = GpuPoolSpec["nodeSelector"];

export interface SelectingPool {
  readonly name: string;
  readonly priority: number;
  /** RFC 3339, as the API server wrote it. */
  readonly creationTimestamp: string;
  readonly selector: NodeSelector;
  /** It gives its nodes up. */
  readonly isDeleting: boolean;
}

export interface LabelledNode {
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Assignment {
  /** Name of the pool by UID of the node. */
  readonly poolOf: ReadonlyMap<string, string>;
  /** Of each pool: nodes that its selector matches, whoever has them. */
  readonly matched: ReadonlyMap<string, readonly LabelledNode[]>;
}

export function assignNodes(
  pools: readonly SelectingPool[],
  nodes: readonly LabelledNode[],
): Assignment {
  const ranked = pools.filter(({ isDeleting }) => !isDeleting).toSorted(byRank);
  const poolOf = new Map<string, string>();
  const matched = new Map(ranked.map(({ name }) => [name, [] as LabelledNode[]]));
  for (const pool of ranked) {
    if (selectorProblem(pool.selector) !== undefined) continue;
    for (const node of nodes) {
      if (!isSelected(pool.selector, node.labels)) continue;
      matched.get(pool.name)?.push(node);
      if (!poolOf.has(node.uid)) poolOf.set(node.uid, pool.name);
    }
  }
  return { poolOf, matched };
}

function byRank(a: SelectingPool, b: SelectingPool): number {
  if (a.priority !== b.priority) return b.priority - a.priority;
  const age = Date.parse(a.creationTimestamp) - Date.parse(b.creationTimestamp);
  if (age !== 0) return age;
  return a.name < b.name ? -1 : 1;
}

/** As Kubernetes reads a LabelSelector; one that names nothing selects nothing here. */
export function isSelected(
  selector: NodeSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector.matchLabels ?? {});
  const expressions = selector.matchExpressions ?? [];
  if (wanted.length + expressions.length === 0) return false;
  if (!wanted.every(([key, value]) => labels[key] === value)) return false;
  return expressions.every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}

const namePattern = /^[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/;
const prefixPattern = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** What no label could ever be: a typing error that would silently select nothing. */
export function selectorProblem(selector: NodeSelector): string | undefined {
  const named = [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]) => ({ key, values: [value] })),
    ...(selector.matchExpressions ?? []).map(({ key, values = [] }) => ({ key, values })),
  ];
  for (const { key, values } of named) {
    const parts = key.split("/");
    const name = parts.at(-1) ?? "";
    const prefix = parts.length === 2 ? parts[0] : undefined;
    const isKey =
      parts.length <= 2 &&
      namePattern.test(name) &&
      (prefix === undefined || (prefix.length <= 253 && prefixPattern.test(prefix)));
    if (!isKey) return `nodeSelector names ${JSON.stringify(key)}, which can be no label's key`;
    const bad = values.find((value) => value !== "" && !namePattern.test(value));
    if (bad !== undefined) {
      return `nodeSelector asks ${key} for ${JSON.stringify(bad)}, which can be no label's value`;
    }
  }
  return undefined;
}
