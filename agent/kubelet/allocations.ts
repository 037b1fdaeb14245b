/**
 * From what the kubelet lists to what was allocated of this node's devices: each allocator's device id is
 * taken apart and found among the devices that the driver shows. Pure.
 *
 * An id that cannot be tied to silicon is answered with its reason and never guessed: HAMi's id is only a
 * slot, a device of another driver is not ours.
 */
import { parseDeviceId, parseDraDevice, type DeviceId } from "../identity/device-id.ts";
import type { ObservedAllocation } from "../identity/records.ts";
import type { PodResources } from "./pod-resources.ts";

/** A device of this node, as the driver shows it. */
export interface NodeDevice {
  readonly uuid: string;
  readonly minor: number | undefined;
  readonly slices: readonly {
    readonly uuid: string;
    readonly profile: string;
    readonly gpuInstanceId: number;
    readonly computeInstanceId: number;
    readonly placementStart: number | undefined;
  }[];
}

export type UnmappedReason =
  | "not_on_this_node" // the id has a form we know and names nothing that is here
  | "slot_only" // HAMi: the pod's annotation has the GPU, the id has not
  | "unknown_form"; // another vendor's or another driver's

export interface Unmapped {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly resourceName: string;
  readonly deviceId: string;
  readonly reason: UnmappedReason;
}

export interface Mapped {
  readonly podCount: number;
  readonly allocations: readonly ObservedAllocation[];
  /** Devices of resources that are ours but could not be found. */
  readonly unmapped: readonly Unmapped[];
}

export interface PodFacts {
  /** What another source knows of the pod; undefined: nothing. */
  (namespace: string, pod: string): { uid: string | undefined; ended: boolean } | undefined;
}

const draDriver = "gpu.nvidia.com";

export function mapAllocations(
  pods: readonly PodResources[],
  devices: readonly NodeDevice[],
  factsOf: PodFacts,
  options: { isOurs: (resourceName: string) => boolean },
): Mapped {
  const allocations = new Map<string, ObservedAllocation>();
  const unmapped = new Map<string, Unmapped>();
  for (const { pod, container, resourceName, deviceId, id } of listedIds(pods, options.isOurs)) {
    const facts = factsOf(pod.namespace, pod.name);
    const where = { namespace: pod.namespace, pod: pod.name, container, resourceName };
    const key = `${pod.namespace}/${pod.name}/${container} ${resourceName} ${deviceId}`;
    const found = find(id, devices);
    if ("reason" in found) unmapped.set(key, { ...where, deviceId, reason: found.reason });
    else {
      // A device on two NUMA nodes is listed twice; the key makes it one.
      allocations.set(key, {
        ...where,
        podUid: facts?.uid,
        podEnded: facts?.ended ?? false,
        deviceUuid: found.uuid,
        replica: found.replica,
      });
    }
  }
  return {
    podCount: pods.length,
    allocations: [...allocations.values()],
    unmapped: [...unmapped.values()],
  };
}

/** NVIDIA's resources under their usual names, shared ones included. */
export function isNvidiaResource(resourceName: string): boolean {
  return /^nvidia\.com\/(gpu(\.shared)?|mig-[\w.-]+)$/.test(resourceName);
}

interface ListedId {
  readonly pod: PodResources;
  readonly container: string;
  readonly resourceName: string;
  readonly deviceId: string;
  readonly id: DeviceId;
}

function* listedIds(
  pods: readonly PodResources[],
  isOurs: (resourceName: string) => boolean,
): Iterable<ListedId> {
  for (const pod of pods) {
    for (const { name: container, devices, claims } of pod.containers) {
      for (const { resourceName, deviceIds } of devices) {
        if (!isOurs(resourceName)) continue;
        for (const deviceId of deviceIds) {
          yield { pod, container, resourceName, deviceId, id: parseDeviceId(deviceId) };
        }
      }
      for (const claim of claims) {
        if (claim.driver !== draDriver) continue;
        const resourceName = `${claim.driver}/${claim.claimNamespace}/${claim.claimName}`;
        const deviceId = claim.device;
        yield { pod, container, resourceName, deviceId, id: parseDraDevice(deviceId) };
      }
    }
  }
}

type Found = { readonly uuid: string; readonly replica: number | undefined };

function find(
  id: DeviceId,
  devices: readonly NodeDevice[],
): Found | { readonly reason: UnmappedReason } {
  if (id.form === "unknown") return { reason: "unknown_form" };
  if (id.form === "hami") return { reason: "slot_only" };
  const uuid = uuidOf(id, devices);
  if (uuid === undefined) return { reason: "not_on_this_node" };
  const replica = id.form === "dra" ? undefined : id.form === "minor" ? id.share : id.replica;
  return { uuid, replica };
}

function uuidOf(
  id: Exclude<DeviceId, { form: "unknown" } | { form: "hami" }>,
  devices: readonly NodeDevice[],
): string | undefined {
  const slices = devices.flatMap((device) => device.slices);
  switch (id.form) {
    case "gpu":
      return devices.find(({ uuid }) => uuid === id.uuid)?.uuid;
    case "mig":
      return slices.find(({ uuid }) => uuid === id.uuid)?.uuid;
    case "mig-legacy":
      return devices
        .find(({ uuid }) => uuid === id.gpuUuid)
        ?.slices.find(
          (slice) =>
            slice.gpuInstanceId === id.gpuInstanceId &&
            slice.computeInstanceId === id.computeInstanceId,
        )?.uuid;
    case "minor": {
      const device = devices.find(({ minor }) => minor === id.minor);
      if (id.gpuInstanceId === undefined) return device?.uuid;
      return only(device?.slices.filter((s) => s.gpuInstanceId === id.gpuInstanceId))?.uuid;
    }
    case "dra": {
      const device = devices.find(({ minor }) => minor === id.minor);
      const { mig } = id;
      if (mig === undefined) return device?.uuid;
      // The name has the profile without dots and the placement; the uuid exists once it is prepared.
      return only(
        device?.slices.filter(
          (slice) =>
            slice.placementStart === mig.placementStart &&
            slice.profile.replaceAll(".", "") === mig.profile.replaceAll(".", ""),
        ),
      )?.uuid;
    }
  }
}

/** Two that fit are no answer. */
function only<T>(found: readonly T[] | undefined): T | undefined {
  return found?.length === 1 ? found[0] : undefined;
}
