/**
 * The pods of this node and its DRA resource slices, kept up to date by two watches. Looked up by name, by
 * uid and by container id. What it does not know yet is unknown, which is not the same as gone.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import * as z from "zod";
import type { KubeApi } from "./kube-api.ts";
import { maxPods } from "./limits.ts";
import { listWatch, type WatchState } from "./list-watch.ts";
import { podFrom, type Pod, type PodContainer } from "./pod.ts";
import { resourceSliceFrom, uuidOfDevice, type ResourceSlice } from "./resource-slices.ts";

export interface PodInformer extends AsyncDisposable {
  readonly state: WatchState;
  /** Why it is not watching. */
  readonly detail: string;
  byName(namespace: string, name: string): Pod | undefined;
  /** By the API's uid or the kubelet's own. */
  byUid(uid: string): Pod | undefined;
  byContainerId(id: string): { readonly pod: Pod; readonly container: PodContainer } | undefined;
  all(): readonly Pod[];
  uuidOfClaimed(device: { driver: string; pool: string; device: string }): string | undefined;
  /** Objects that were not kept: no pods by their shape, or too many. */
  readonly droppedCount: number;
}

interface InformerDeps {
  readonly api: KubeApi;
  readonly clock: Clock;
  readonly log: Log;
  /** 0–1. */
  readonly random: () => number;
  readonly onChange: () => void;
}
interface Common {
  readonly fieldSelector: string;
  readonly signal: AbortSignal;
}

export function createPodInformer(deps: InformerDeps, options: { node: string }): PodInformer {
  const stop = new AbortController();
  const common = { fieldSelector: `spec.nodeName=${options.node}`, signal: stop.signal };
  const pods = createPodStore();
  const slices = new Map<string, ResourceSlice>();
  const told = { state: "starting" as WatchState, detail: "" };
  const watching = [watchPods(deps, common, pods, told), watchSlices(deps, common, slices)];
  return {
    get state() {
      return told.state;
    },
    get detail() {
      return told.detail;
    },
    get droppedCount() {
      return pods.droppedCount();
    },
    byName: pods.byName,
    byUid: pods.byUid,
    byContainerId: pods.byContainerId,
    all: pods.all,
    uuidOfClaimed: (device) => uuidOfDevice(slices.values(), device),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(watching);
    },
  };
}

async function watchPods(
  deps: InformerDeps,
  common: Common,
  pods: PodStore,
  told: { state: WatchState; detail: string },
): Promise<void> {
  await listWatch(deps, {
    ...common,
    path: "/api/v1/pods",
    onList(items) {
      pods.clear();
      for (const item of items) pods.set(item);
      deps.onChange();
    },
    onEvent(type, object) {
      if (type === "set") pods.set(object);
      else pods.delete(object);
      deps.onChange();
    },
    onState(state, detail) {
      if (state !== told.state || detail !== told.detail) {
        const level = state === "watching" ? "info" : "warn";
        deps.log[level]({ event: "agent.pods", state, detail });
      }
      Object.assign(told, { state, detail });
    },
  });
}

async function watchSlices(
  deps: InformerDeps,
  common: Common,
  slices: Map<string, ResourceSlice>,
): Promise<void> {
  await listWatch(deps, {
    ...common,
    path: "/apis/resource.k8s.io/v1/resourceslices",
    onList(items) {
      slices.clear();
      for (const slice of items.map(resourceSliceFrom)) if (slice) slices.set(slice.name, slice);
      deps.onChange();
    },
    onEvent(type, object) {
      const slice = resourceSliceFrom(object);
      if (!slice) return;
      if (type === "set") slices.set(slice.name, slice);
      else slices.delete(slice.name);
      deps.onChange();
    },
    // A cluster without DRA has no such resource, and a role without it costs DRA alone.
    onState: (state) => deps.log.debug({ event: "agent.resource_slices", state }),
  });
}

type PodStore = ReturnType<typeof createPodStore>;
const Deleted = z.object({ metadata: z.object({ uid: z.string() }) });

function createPodStore() {
  const byUid = new Map<string, Pod>();
  const names = new Map<string, Pod>();
  const containers = new Map<string, { pod: Pod; container: PodContainer }>();
  let dropped = 0;

  const remove = (uid: string): void => {
    const pod = byUid.get(uid);
    if (!pod) return;
    byUid.delete(pod.uid);
    if (pod.staticUid !== undefined) byUid.delete(pod.staticUid);
    const name = `${pod.namespace}/${pod.name}`;
    // A pod made anew under the same name may have come before the old one's end.
    if (names.get(name) === pod) names.delete(name);
    for (const { containerId } of pod.containers) {
      if (containerId !== undefined) containers.delete(containerId);
    }
  };
  return {
    set(object: unknown): void {
      const pod = podFrom(object);
      if (pod) remove(pod.uid);
      if (!pod || names.size >= maxPods) {
        dropped += 1;
        return;
      }
      byUid.set(pod.uid, pod);
      if (pod.staticUid !== undefined) byUid.set(pod.staticUid, pod);
      names.set(`${pod.namespace}/${pod.name}`, pod);
      for (const container of pod.containers) {
        const { containerId } = container;
        if (containerId !== undefined) containers.set(containerId, { pod, container });
      }
    },
    delete(object: unknown): void {
      const parsed = Deleted.safeParse(object);
      if (parsed.success) remove(parsed.data.metadata.uid);
    },
    clear(): void {
      for (const map of [byUid, names, containers]) map.clear();
    },
    byName: (namespace: string, name: string) => names.get(`${namespace}/${name}`),
    byUid: (uid: string) => byUid.get(uid),
    byContainerId: (id: string) => containers.get(id),
    all: () => [...new Set(byUid.values())],
    droppedCount: () => dropped,
  };
}
