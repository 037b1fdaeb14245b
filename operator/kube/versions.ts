/**
 * Resource versions: decimal numbers of up to 64 bits, which the API guarantees to be comparable since
 * Kubernetes 1.35 and which etcd's revisions always were.
 */

/** Negative: `a` is older than `b`. Numbers without leading zeros compare by length, then as text. */
export function compareVersions(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

export const isAtLeast = (version: string | undefined, least: string): boolean =>
  version !== undefined && compareVersions(version, least) >= 0;
