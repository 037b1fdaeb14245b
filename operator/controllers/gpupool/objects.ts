/**
 * The objects that a pool's reconcile reads, as far as it reads them, and what it makes of them.
 */
import type { Condition, KubeObject, ObjectMeta } from "../../kube/types.ts";
import type { GpuPoolStatus } from "../../resources/crds/gpu-pool.ts";
import type { NodeFacts, PodFacts } from "../../resources/gpupool/facts.ts";
import type { RolloutFacts } from "../../resources/gpupool/status.ts";

export interface GpuPoolObject extends KubeObject {
  /** As it is stored; `GpuPoolSpec` reads it. */
  readonly spec?: unknown;
  readonly status?: Omit<GpuPoolStatus, "conditions"> & {
    readonly conditions?: readonly Condition[];
  };
}

export interface NodeObject extends KubeObject {
  readonly status?: {
    readonly capacity?: Readonly<Record<string, string>>;
    readonly allocatable?: Readonly<Record<string, string>>;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface PodObject extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
  };
}

export interface DaemonSetObject extends KubeObject {
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
    readonly numberAvailable?: number;
  };
}

export interface ConfigMapObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export interface EventObject extends KubeObject {
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string | null;
  readonly deprecatedLastTimestamp?: string | null;
  readonly series?: { readonly lastObservedTime?: string };
}

export interface ResourceSliceObject extends KubeObject {
  readonly spec?: {
    readonly driver?: string;
    readonly nodeName?: string;
    readonly devices?: readonly {
      readonly name: string;
      readonly attributes?: Readonly<Record<string, { readonly string?: string }>>;
    }[];
  };
}

const timeIn = (text: string | null | undefined): number => {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? 0 : ms;
};
const createdMs = (metadata: ObjectMeta): number => timeIn(metadata.creationTimestamp);

const isTrueIn = (
  conditions: readonly { readonly type: string; readonly status: string }[] | undefined,
  type: string,
): boolean => conditions?.some((each) => each.type === type && each.status === "True") === true;

export function nodeFacts({ metadata, status }: NodeObject): NodeFacts {
  return {
    uid: metadata.uid ?? "",
    name: metadata.name,
    createdMs: createdMs(metadata),
    labels: metadata.labels ?? {},
    capacity: status?.capacity ?? {},
    allocatable: status?.allocatable ?? {},
    isReady: isTrueIn(status?.conditions, "Ready"),
  };
}

export function podFacts({ metadata, spec, status }: PodObject): PodFacts {
  const waiting = status?.containerStatuses?.find(({ state }) => state?.waiting)?.state?.waiting;
  const { reason, message } = waiting ?? {};
  return {
    name: metadata.name,
    uid: metadata.uid ?? "",
    node: spec?.nodeName ?? "",
    createdMs: createdMs(metadata),
    isReady: isTrueIn(status?.conditions, "Ready"),
    isDeleting: metadata.deletionTimestamp !== undefined,
    // Every container waits for a moment; it is news when the kubelet says why.
    waiting:
      reason === undefined || reason === "ContainerCreating" || reason === "PodInitializing"
        ? undefined
        : { reason, message: message ?? "" },
  };
}

export function rolloutFacts({ metadata, status }: DaemonSetObject): RolloutFacts {
  return {
    name: metadata.name,
    generation: metadata.generation ?? 0,
    observedGeneration: status?.observedGeneration ?? 0,
    desired: status?.desiredNumberScheduled ?? 0,
    updated: status?.updatedNumberScheduled ?? 0,
    ready: status?.numberReady ?? 0,
    available: status?.numberAvailable ?? 0,
  };
}

export const eventMs = (event: EventObject): number =>
  Math.max(
    timeIn(event.series?.lastObservedTime),
    timeIn(event.deprecatedLastTimestamp),
    timeIn(event.eventTime),
    createdMs(event.metadata),
  );

/** Whole GPUs by node, of the NVIDIA driver's slices; partitions name their parent. */
export function draGpusOf(slices: readonly ResourceSliceObject[]): Map<string, number> {
  const gpus = new Map<string, Set<string>>();
  for (const { spec } of slices) {
    if (spec?.driver !== "gpu.nvidia.com" || spec.nodeName === undefined) continue;
    const found = gpus.get(spec.nodeName) ?? new Set();
    gpus.set(spec.nodeName, found);
    for (const { name, attributes } of spec.devices ?? []) {
      const parent = attributes?.["parentUUID"]?.string;
      const uuid = attributes?.["uuid"]?.string;
      found.add(parent ?? uuid ?? name.replace(/-mig-.*$/, ""));
    }
  }
  return new Map([...gpus].map(([node, found]) => [node, found.size]));
}
