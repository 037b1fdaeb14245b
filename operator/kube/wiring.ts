/**
 * Ties caches to a controller's queue: what a reconciler is given to say which object of which cache asks
 * for which of its keys.
 *
 * A process that does not lead queues nothing: when it leads, it asks for everything that is in the caches.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { RunningInformer } from "./informer.ts";
import type { Informers } from "./informers.ts";
import type { Priority, WorkQueue } from "./queue.ts";
import type {
  CacheEvent,
  ControllerBuilder,
  Informer,
  KubeClient,
  KubeObject,
  Reconciler,
  Recorder,
} from "./types.ts";
import { createWatermarks, type Watermarks } from "./watermarks.ts";

export interface Wiring {
  readonly reconciler: Reconciler;
  readonly watermarks: Watermarks;
  /** Every key that anything in the caches concerns, as a resync. */
  enqueueAll(): void;
}

export function wireController(
  deps: {
    client: KubeClient;
    recorder: Recorder;
    informers: Informers;
    queue: WorkQueue;
    clock: Clock;
    isLeading: () => boolean;
  },
  source: { wire(builder: ControllerBuilder): Reconciler },
): Wiring {
  const { client, recorder, informers, queue } = deps;
  const used = new Set<RunningInformer<KubeObject>>();
  const sources: (() => void)[] = [];
  const addAll = (keys: readonly string[], priority: Priority): void => {
    for (const key of keys) queue.add(key, { priority });
  };
  const builder: ControllerBuilder = {
    client,
    recorder,
    informer: (kind, options) => {
      const informer = informers.of(kind, options);
      used.add(informer);
      return informer;
    },
    watch<T extends KubeObject>(
      informer: Informer<T>,
      keys: (event: CacheEvent<T>) => readonly string[],
    ) {
      // Every informer that this builder hands out is a running one.
      const running = informer as RunningInformer<T>;
      running.onEvent((event, initial) => {
        if (deps.isLeading()) addAll(keys(event), initial ? "resync" : "change");
      });
      sources.push(() => {
        for (const object of informer.list()) addAll(keys({ type: "added", object }), "resync");
      });
    },
    enqueue: (key, options) => queue.add(key, options),
  };
  const reconciler = source.wire(builder);
  const watermarks = createWatermarks({
    clock: deps.clock,
    informers: (kind) =>
      [...used].filter(
        (informer) => informer.kind.plural === kind.plural && informer.kind.group === kind.group,
      ),
  });
  return {
    reconciler,
    watermarks,
    enqueueAll: () => {
      if (deps.isLeading()) for (const enqueue of sources) enqueue();
    },
  };
}
