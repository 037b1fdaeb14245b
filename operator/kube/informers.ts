/**
 * The caches of a process: one per kind and selector, however many controllers read it.
 */
import { createInformer, type InformerDeps, type RunningInformer } from "./informer.ts";
import { apiVersionOf } from "./kinds.ts";
import type { InformerOptions, KubeObject, ResourceKind } from "./types.ts";

export interface Informers {
  of<T extends KubeObject>(kind: ResourceKind, options?: InformerOptions<T>): RunningInformer<T>;
  /** All are filled. Rejects with the signal's reason. */
  synced(signal: AbortSignal): Promise<void>;
  /** Why which is not filled yet. */
  problems(): string[];
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** How often an unfilled cache is looked at. */
const lookMs = 20;

export function createInformers(deps: InformerDeps): Informers {
  const byKey = new Map<string, RunningInformer<KubeObject>>();
  const runs: Promise<void>[] = [];
  let running: AbortSignal | undefined;
  const unfilled = (): RunningInformer<KubeObject>[] =>
    [...byKey.values()].filter((informer) => !informer.hasSynced());
  return {
    of<T extends KubeObject>(kind: ResourceKind, options: InformerOptions<T> = {}) {
      const { namespace, labelSelector, fieldSelector, metadataOnly } = options;
      const key = JSON.stringify([
        apiVersionOf(kind),
        kind.plural,
        namespace,
        labelSelector,
        fieldSelector,
        metadataOnly === true,
      ]);
      // One kind has one type of object, whoever asks for it.
      const there = byKey.get(key) as RunningInformer<T> | undefined;
      if (there !== undefined) {
        there.addIndexes(options.indexes);
        return there;
      }
      const informer = createInformer<T>(deps, kind, options);
      byKey.set(key, informer);
      if (running !== undefined) runs.push(informer.run(running));
      return informer;
    },
    async synced(signal) {
      while (unfilled().length > 0) await deps.clock.sleep(lookMs, signal);
    },
    problems: () =>
      unfilled().map(
        (informer) =>
          `the cache of ${informer.kind.plural} is not filled: ${informer.trouble() ?? "listing"}`,
      ),
    async run(signal) {
      running = signal;
      runs.push(...[...byKey.values()].map(async (informer) => await informer.run(signal)));
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      await Promise.all(runs);
    },
  };
}
