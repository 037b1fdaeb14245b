/**
 * Which events of a cache are worth a reconcile.
 */
import { isDeepEqual } from "./conditions.ts";
import type { CacheEvent, KubeObject } from "./types.ts";

/**
 * Of the reconciler's own kind: a new generation, the beginning of its end, or other labels, annotations or
 * finalizers. Its own status writes are not: a status that somebody wiped waits for the resync.
 */
export function concernsSpec(event: CacheEvent<KubeObject>): boolean {
  if (event.type !== "updated") return true;
  const [now, then] = [event.object.metadata, event.before.metadata];
  return (
    now.generation !== then.generation ||
    now.deletionTimestamp !== then.deletionTimestamp ||
    !isDeepEqual(now.annotations, then.annotations) ||
    !isDeepEqual(now.labels, then.labels) ||
    !isDeepEqual(now.finalizers, then.finalizers)
  );
}

/** Of kinds that the reconciler makes: anything but a new version with the same content. */
export function concernsContent(event: CacheEvent<KubeObject>): boolean {
  if (event.type !== "updated") return true;
  const bare = ({ metadata, ...rest }: KubeObject): object => {
    const { resourceVersion: _version, ...meta } = metadata;
    return { ...rest, meta };
  };
  return !isDeepEqual(bare(event.object), bare(event.before));
}
