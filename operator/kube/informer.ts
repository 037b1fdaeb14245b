/**
 * The cache of one kind: a reflector that fills a store, handlers that hear of changes, and an audit that
 * compares the store with a list of everything every half an hour.
 *
 * A handler that throws is counted and told to the log; the cache, the other handlers and the watch go on.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { audit } from "./audit.ts";
import { auditMs } from "./limits.ts";
import { initCacheMetrics } from "./metrics.ts";
import { createReflector, type ReflectorDeps, type ReflectorSink } from "./reflector.ts";
import { createStore, type Store } from "./store.ts";
import type { CacheEvent, Informer, InformerOptions, KubeObject, ResourceKind } from "./types.ts";
import { compareVersions, isAtLeast } from "./versions.ts";

/** `initial`: there at the start, not changed now. */
export type CacheHandler<T> = (event: CacheEvent<T>, initial: boolean) => void;

export interface RunningInformer<T extends KubeObject> extends Informer<T> {
  onEvent(handler: CacheHandler<T>): void;
  /** Why it does not watch at this moment. */
  trouble(): string | undefined;
  /** The cache has this version of the object, or everything up to it. */
  hasSeen(key: string, resourceVersion: string): boolean;
  addIndexes(indexes: InformerOptions<T>["indexes"]): void;
  /** Compares with the server now; the number of objects that differ. */
  audit(signal: AbortSignal): Promise<number>;
  /** Until the signal aborts; never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface InformerDeps extends ReflectorDeps {
  readonly clock: Clock;
}

export function createInformer<T extends KubeObject>(
  deps: InformerDeps,
  kind: ResourceKind,
  options: InformerOptions<T> = {},
): RunningInformer<T> {
  const { metrics, log } = deps;
  const name = kind.plural;
  initCacheMetrics(metrics, name);
  const store = createStore<T>();
  const addIndexes = (indexes: InformerOptions<T>["indexes"] = {}): void => {
    for (const [index, of] of Object.entries(indexes)) store.addIndex(index, of);
  };
  addIndexes(options.indexes);
  const state: CacheState<T> = {
    handlers: [],
    reached: undefined,
    trouble: "not listed yet",
    deletions: undefined,
  };
  const tell = (handler: CacheHandler<T>, event: CacheEvent<T>, initial: boolean): void => {
    try {
      handler(event, initial);
    } catch (error) {
      // One handler's bug is neither the cache's nor another handler's.
      metrics.handlerErrors.inc({ kind: name });
      log.error({ event: "kube.handler", kind: name, reason: errorMessage(error), err: error });
    }
  };
  const publish = (events: readonly CacheEvent<T>[], initial: boolean): void => {
    metrics.cachedObjects.set({ kind: name }, store.size);
    for (const event of events) for (const handler of state.handlers) tell(handler, event, initial);
  };
  const sink = createSink(store, state, publish);
  const reflector = createReflector(deps, { ...options, kind, sink });
  const runAudit = async (signal: AbortSignal): Promise<number> =>
    await audit({ ...deps, store, state, reflector }, { ...options, kind }, signal);
  return {
    kind,
    get: (key) => store.get(key),
    list: () => store.list(),
    byIndex: (index, value) => store.byIndex(index, value),
    addIndexes,
    hasSynced: () => state.reached !== undefined,
    trouble: () => state.trouble,
    hasSeen: (key, version) =>
      isAtLeast(state.reached, version) ||
      isAtLeast(store.get(key)?.metadata.resourceVersion, version),
    onEvent: (handler) => {
      state.handlers.push(handler);
      for (const object of store.list()) tell(handler, { type: "added", object }, true);
    },
    audit: runAudit,
    run: async (signal) => {
      const onError = (error: unknown): void => {
        log.warn({ event: "kube.audit", kind: name, reason: errorMessage(error) });
      };
      const ms = auditMs * (0.8 + 0.4 * deps.random());
      const audits = every({ clock: deps.clock, ms, signal, onError }, async () => {
        await runAudit(signal);
      });
      await Promise.all([reflector.run(signal), audits]);
    },
  };
}

export interface CacheState<T> {
  readonly handlers: CacheHandler<T>[];
  /** Everything up to this version is in the store. undefined: not listed yet. */
  reached: string | undefined;
  trouble: string | undefined;
  /** Keys that were deleted while an audit runs. */
  deletions: Set<string> | undefined;
}

function createSink<T extends KubeObject>(
  store: Store<T>,
  state: CacheState<T>,
  publish: (events: readonly CacheEvent<T>[], initial: boolean) => void,
): ReflectorSink {
  const note = (events: CacheEvent<T>[]): CacheEvent<T>[] => {
    for (const event of events) {
      if (event.type !== "deleted") continue;
      const { namespace, name } = event.object.metadata;
      state.deletions?.add(namespace === undefined ? name : `${namespace}/${name}`);
    }
    return events;
  };
  // The kind's objects are what the server says they are: it validated them.
  const own = (object: KubeObject): T => object as T;
  return {
    replace(items, version) {
      const initial = state.reached === undefined;
      const events = note(store.replace(items.map(own)));
      state.reached = version;
      publish(events, initial);
    },
    changed: (object) => publish(note(store.set(own(object))), false),
    deleted: (object) => publish(note(store.remove(own(object))), false),
    reached(version) {
      if (state.reached === undefined || compareVersions(version, state.reached) > 0) {
        state.reached = version;
      }
    },
    trouble(reason) {
      state.trouble = reason;
    },
  };
}
