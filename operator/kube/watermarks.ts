/**
 * Read your writes: what the reconciles of a key wrote, until the caches have seen it.
 *
 * A cache whose selector leaves an object out never sees it; its bookmarks move on within a minute, but a
 * key is not put off longer than two seconds for that.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { RunningInformer } from "./informer.ts";
import { staleMostMs } from "./limits.ts";
import type { KubeObject, ResourceKind } from "./types.ts";

export interface Watermarks {
  /** A reconcile of this key wrote that object. */
  note(key: string, kind: ResourceKind, objectKey: string, resourceVersion: string): void;
  /** The caches have all that the key's last reconciles wrote, or never will. */
  isFresh(key: string): boolean;
}

interface Mark {
  readonly kind: ResourceKind;
  readonly objectKey: string;
  readonly resourceVersion: string;
  readonly atMs: number;
}

export function createWatermarks(deps: {
  clock: Clock;
  /** Caches of a kind that this controller reads. */
  informers: (kind: ResourceKind) => readonly RunningInformer<KubeObject>[];
}): Watermarks {
  const byKey = new Map<string, Map<string, Mark>>();
  const isSeen = (mark: Mark): boolean => {
    if (deps.clock.monotonic() - mark.atMs > staleMostMs) return true;
    return deps
      .informers(mark.kind)
      .every((informer) => informer.hasSeen(mark.objectKey, mark.resourceVersion));
  };
  return {
    note(key, kind, objectKey, resourceVersion) {
      if (deps.informers(kind).length === 0) return;
      const marks = byKey.get(key) ?? new Map<string, Mark>();
      const atMs = deps.clock.monotonic();
      marks.set(`${kind.plural}.${kind.group}/${objectKey}`, {
        kind,
        objectKey,
        resourceVersion,
        atMs,
      });
      byKey.set(key, marks);
    },
    isFresh(key) {
      const marks = byKey.get(key);
      if (marks === undefined) return true;
      for (const mark of marks.values()) if (!isSeen(mark)) return false;
      byKey.delete(key);
      return true;
    },
  };
}
