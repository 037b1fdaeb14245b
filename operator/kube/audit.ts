/**
 * Compares a cache with a list of everything: the proof that no event was lost.
 *
 * Only metadata is asked for. The cache may run ahead of the list and lags behind it by the time of its
 * watch, so it is given time to reach the list's version; after that, whatever it lacks, holds older or
 * holds too much is a divergence, which is counted, told, and healed by a new list.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { listPages } from "./client.ts";
import type { CacheState } from "./informer.ts";
import { keyOf } from "./kinds.ts";
import { auditCatchUpMs } from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";
import type { Reflector } from "./reflector.ts";
import type { Store } from "./store.ts";
import type { Transport } from "./transport.ts";
import type { KubeObject, ListOptions, ResourceKind } from "./types.ts";
import { compareVersions, isAtLeast } from "./versions.ts";

interface AuditDeps<T extends KubeObject> {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: KubeMetrics;
  readonly store: Store<T>;
  readonly state: CacheState<T>;
  readonly reflector: Reflector;
}

export async function audit<T extends KubeObject>(
  deps: AuditDeps<T>,
  options: ListOptions & { kind: ResourceKind },
  signal: AbortSignal,
): Promise<number> {
  const { state, clock } = deps;
  if (state.reached === undefined || state.deletions !== undefined) return 0;
  state.deletions = new Set();
  try {
    const listed = new Map<string, string>();
    let version = "";
    const metadata = { ...options, metadataOnly: true };
    for await (const page of listPages(deps.transport, options.kind, metadata, signal)) {
      for (const item of page.items) listed.set(keyOf(item), item.metadata.resourceVersion ?? "");
      version = page.resourceVersion;
    }
    const deadlineMs = clock.monotonic() + auditCatchUpMs;
    while (!isAtLeast(state.reached, version) && clock.monotonic() < deadlineMs) {
      await clock.sleep(1000, signal);
    }
    return report(deps, options.kind, divergent(deps.store, state.deletions, listed, version));
  } finally {
    state.deletions = undefined;
  }
}

/** Keys in which the cache is not what the list says, changes since then aside. */
export function divergent(
  store: Store<KubeObject>,
  deletedMeanwhile: ReadonlySet<string>,
  listed: ReadonlyMap<string, string>,
  version: string,
): string[] {
  const keys: string[] = [];
  for (const [key, listedVersion] of listed) {
    const cached = store.get(key);
    if (cached === undefined) {
      if (!deletedMeanwhile.has(key)) keys.push(key);
    } else if (!isAtLeast(cached.metadata.resourceVersion, listedVersion)) keys.push(key);
  }
  for (const object of store.list()) {
    const isOld = compareVersions(object.metadata.resourceVersion ?? "", version) <= 0;
    if (isOld && !listed.has(keyOf(object))) keys.push(keyOf(object));
  }
  return keys;
}

function report<T extends KubeObject>(
  { log, metrics, reflector }: AuditDeps<T>,
  kind: ResourceKind,
  keys: readonly string[],
): number {
  if (keys.length === 0) return 0;
  metrics.divergence.inc({ kind: kind.plural }, keys.length);
  log.error({ event: "kube.divergence", kind: kind.plural, keys: keys.slice(0, 20) });
  reflector.relist();
  return keys.length;
}
