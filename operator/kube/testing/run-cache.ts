/**
 * A running cache of ConfigMaps over a fault server, and what it told.
 */
import { systemClock } from "@axonize/core/runtime/clock";
import { createInformer, type RunningInformer } from "../informer.ts";
import { configMaps } from "../kinds.ts";
import type { CacheEvent, InformerOptions, KubeObject } from "../types.ts";
import { kitFor, type Kit } from "./cluster.ts";
import type { Asked, FaultServer } from "./fault-server.ts";

export const path = "/api/v1/configmaps";
export const object = (name: string, fields: object = {}) => ({ metadata: { name }, ...fields });

export interface RunningCache extends AsyncDisposable {
  readonly kit: Kit;
  readonly informer: RunningInformer<KubeObject>;
  readonly events: CacheEvent<KubeObject>[];
  /** `added a`, in order. */
  told(): string[];
}

export function runCache(
  server: FaultServer,
  clock = systemClock,
  options: InformerOptions<KubeObject> = {},
): RunningCache {
  const kit = kitFor(server.url, clock);
  const informer = createInformer<KubeObject>(kit, configMaps, options);
  const events: CacheEvent<KubeObject>[] = [];
  informer.onEvent((event) => void events.push(event));
  const stop = new AbortController();
  const running = informer.run(stop.signal);
  return {
    kit,
    informer,
    events,
    told: () => events.map(({ type, object }) => `${type} ${object.metadata.name}`),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await kit.transport.close();
    },
  };
}
export const lists = (server: FaultServer): Asked[] =>
  server.requests.filter(({ isList }) => isList);
export const watches = (server: FaultServer): Asked[] =>
  server.requests.filter(({ isWatch }) => isWatch);
export const names = ({ informer }: RunningCache): string =>
  informer
    .list()
    .map(({ metadata }) => metadata.name)
    .sort()
    .join();
