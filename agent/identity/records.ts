/**
 * The three layers of identity as records, and the observations that move them.
 *
 * Layer 1 is silicon in a place, layer 2 what can be allocated of it, layer 3 who has it and who uses it.
 * Allocation (the kubelet's word) and usage (the driver's) are kept apart because they disagree in life.
 */

import type { AttributionLevel as Level } from "@axonize/core/contract/attribution";
import type { Unsure, Warning } from "./resolve.ts";

/** Layer 1: a GPU in a node, under one boot and one load of the driver. Counters grow only inside it. */
export interface Placement {
  readonly gpuUuid: string;
  readonly node: string;
  readonly bootId: string;
  /** Driver version and load, e.g. `580.82.07#2`. */
  readonly driverEpoch: string;
  readonly pciBusId: string | undefined;
  readonly minor: number | undefined;
  readonly index: number;
  /** The card's name as the driver has it. */
  readonly model: string;
  readonly lost: boolean;
}

/** Layer 2: a whole GPU or a MIG slice. The same MIG UUID in another epoch is another resource. */
export interface ComputeResource {
  readonly uuid: string;
  readonly gpuUuid: string;
  readonly kind: "whole" | "mig";
  readonly profile: string;
  readonly gpuInstanceId: number | undefined;
  readonly computeInstanceId: number | undefined;
  readonly smCount: number | undefined;
  readonly memoryMib: number | undefined;
  /** When this epoch began, epoch ms; with the UUID it is the resource's id. */
  readonly epochMs: number;
  /** The epoch goes on from an earlier run of the agent: nobody looked in between. */
  readonly gap: boolean;
  readonly lost: boolean;
}

/** Layer 3: the kubelet gave it. */
export interface Allocation {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** undefined until the pod source told it. */
  readonly podUid: string | undefined;
  readonly resourceName: string;
  readonly resourceId: string;
  readonly resourceUuid: string;
  /** Slot of a shared device (`::N`); undefined: exclusive. */
  readonly replica: number | undefined;
  /** Held on without the kubelet's word, which is missing or empty. */
  readonly stale: boolean;
}

/** Layer 3: a process computes on it. */
export interface Usage {
  readonly bootId: string;
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: with the boot id it tells a reused pid apart. */
  readonly startTime: number;
  /** The pid that the process itself sees. */
  readonly ownPid: number;
  /** The kernel's name of the program, at most 15 bytes; the process may choose it. */
  readonly command: string;
  readonly containerId: string | undefined;
  readonly podUid: string | undefined;
  /** The container's names, once a pod source or the allocation told them. */
  readonly owner: ContainerName | undefined;
  readonly resourceId: string;
  readonly resourceUuid: string;
}

export interface ContainerName {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** Layer 3: what `cuda:N` means, for one process or for every process of a container. */
export interface OrdinalBinding {
  readonly owner: ContainerName | undefined;
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
  /** undefined: every process of the container. */
  readonly process:
    | {
        readonly bootId: string;
        readonly pid: number;
        readonly startTime: number;
        readonly ownPid: number;
      }
    | undefined;
  /** undefined: of a span that names no ordinal. */
  readonly ordinal: number | undefined;
  readonly level: Level;
  /** Empty unless the level is exact, derived or likely. */
  readonly resourceUuids: readonly string[];
  /** Their ids with the epoch, in the same order. */
  readonly resourceIds: readonly string[];
  readonly candidates: readonly string[];
  readonly reason: Unsure | undefined;
  readonly warnings: readonly Warning[];
  readonly evidence: readonly string[];
}

export interface ObservedDevice {
  readonly uuid: string;
  readonly index: number;
  readonly model: string;
  readonly pciBusId: string | undefined;
  readonly minor: number | undefined;
  readonly migEnabled: boolean;
  readonly lost: boolean;
  readonly slices: readonly Omit<
    ComputeResource,
    "gpuUuid" | "kind" | "epochMs" | "gap" | "lost"
  >[];
}

export interface ObservedAllocation {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly podUid: string | undefined;
  readonly resourceName: string;
  readonly deviceUuid: string;
  readonly replica: number | undefined;
  /** The pod has ended by another source's word: kubelets before 1.34 go on listing it. */
  readonly podEnded: boolean;
}

export type Observation =
  | {
      readonly type: "devices";
      readonly node: string;
      readonly bootId: string;
      readonly driverEpoch: string;
      readonly devices: readonly ObservedDevice[];
    }
  /** `podCount`: all pods of the answer, with devices or without. */
  | {
      readonly type: "allocations";
      readonly podCount: number;
      readonly allocations: readonly ObservedAllocation[];
    }
  /** The kubelet did not answer. */
  | { readonly type: "kubelet-silent" }
  | { readonly type: "usages"; readonly usages: readonly ObservedUsage[] }
  /** All bindings that hold now. */
  | { readonly type: "ordinals"; readonly bindings: readonly ObservedBinding[] };

export type ObservedUsage = Omit<Usage, "resourceId">;
export type ObservedBinding = Omit<OrdinalBinding, "resourceIds">;

/** The value of each layer, as it goes to the server. */
export interface Layers {
  readonly placement: Placement;
  readonly resource: ComputeResource;
  readonly allocation: Allocation;
  readonly usage: Usage;
  readonly ordinal: OrdinalBinding;
}
export type Layer = keyof Layers;

export type Conflict =
  /** Two containers claim what only one can have; neither gets it anew. */
  | {
      readonly type: "double-claim";
      readonly resourceUuid: string;
      readonly claims: readonly string[];
    }
  /** A slice ended under an open allocation. */
  | {
      readonly type: "ended-under-allocation";
      readonly resourceUuid: string;
      readonly claim: string;
    }
  /** The kubelet names a device that the driver does not show. */
  | { readonly type: "unknown-device"; readonly resourceUuid: string; readonly claim: string };
