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
import { hamiUuid, isReservation, shareContainer, slotOf, type SharingPod } from "./sharing.ts";

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
  | "slot_only" // HAMi: the pod's annotation has the GPU, the id has not; no pod source told it
  | "claims_unlisted" // the pod has claims and the kubelet, before 1.34, lists none: not "no GPU"
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

/** What a pod source knows beyond the kubelet's list; what it does not know is undefined. */
export interface PodSource {
  podOf(namespace: string, pod: string): SourcePod | undefined;
  all(): Iterable<SourcePod>;
  /** DRA: the device that a driver's name stands for. */
  uuidOfClaimed(device: { driver: string; pool: string; device: string }): string | undefined;
}
export interface SourcePod extends SharingPod {
  readonly uid: string | undefined;
  readonly ended: boolean;
  /** It has claims of DRA, whatever for. */
  readonly hasClaims: boolean;
}

export const noPodSource: PodSource = {
  podOf: () => undefined,
  all: () => [],
  uuidOfClaimed: () => undefined,
};

const draDriver = "gpu.nvidia.com";

export function mapAllocations(
  pods: readonly PodResources[],
  devices: readonly NodeDevice[],
  source: PodSource,
  options: { isOurs: (resourceName: string) => boolean },
): Mapped {
  const allocations = new Map<string, ObservedAllocation>();
  const unmapped = new Map<string, Unmapped>();
  const reserved: { group: string; uuid: string }[] = [];
  for (const listed of listedIds(pods, options.isOurs)) {
    const { pod, container, resourceName, deviceId } = listed;
    const known = source.podOf(pod.namespace, pod.name);
    const where = { namespace: pod.namespace, pod: pod.name, container, resourceName };
    const key = `${pod.namespace}/${pod.name}/${container} ${resourceName} ${deviceId}`;
    const found = find(listed, { devices, source, known, container });
    if ("reason" in found) {
      unmapped.set(key, { ...where, deviceId, reason: found.reason });
    } else if (known && isReservation(known)) {
      // A placeholder that holds a GPU for those who share it.
      for (const group of known.kai?.groups ?? []) reserved.push({ group, uuid: found.uuid });
    } else {
      // A device on two NUMA nodes is listed twice; the key makes it one.
      allocations.set(key, {
        ...where,
        podUid: known?.uid,
        podEnded: known?.ended ?? false,
        deviceUuid: found.uuid,
        replica: found.replica,
      });
    }
  }
  for (const pod of pods) {
    for (const each of unlistedClaims(pod, source)) unmapped.set(JSON.stringify(each), each);
  }
  return {
    podCount: pods.length,
    allocations: [...claimsShared([...allocations.values()]), ...sharesOf(source.all(), reserved)],
    unmapped: [...unmapped.values()],
  };
}

/** Each container of a pod with claims of which the list has none: what it was given is unknown. */
function unlistedClaims(pod: PodResources, source: PodSource): Unmapped[] {
  const isListed = pod.containers.some(({ claims }) => claims.length > 0);
  if (isListed || source.podOf(pod.namespace, pod.name)?.hasClaims !== true) return [];
  const { namespace, name } = pod;
  const what = {
    resourceName: "resource.k8s.io",
    deviceId: "",
    reason: "claims_unlisted",
  } as const;
  return pod.containers.map((each) => ({ namespace, pod: name, container: each.name, ...what }));
}

/** Several containers under one claim of DRA share its device by intent, each as a slot of its own. */
function claimsShared(allocations: readonly ObservedAllocation[]): ObservedAllocation[] {
  const isClaim = ({ resourceName }: ObservedAllocation): boolean =>
    resourceName.startsWith(`${draDriver}/`);
  const users = Map.groupBy(
    allocations.filter(isClaim),
    ({ resourceName, deviceUuid }) => `${resourceName} ${deviceUuid}`,
  );
  return allocations.map((each) => {
    const shared = (users.get(`${each.resourceName} ${each.deviceUuid}`) ?? []).length > 1;
    const name = `${each.namespace}/${each.pod}/${each.container}`;
    return shared ? { ...each, replica: slotOf(name) } : each;
  });
}

/** KAI's workloads: the kubelet lists them without a device, the group's reservation has it. */
function sharesOf(
  pods: Iterable<SourcePod>,
  reserved: readonly { group: string; uuid: string }[],
): ObservedAllocation[] {
  const found: ObservedAllocation[] = [];
  for (const pod of reserved.length > 0 ? pods : []) {
    if (isReservation(pod)) continue;
    const container = shareContainer(pod);
    const groups = pod.kai?.groups ?? [];
    const uuids = reserved.filter(({ group }) => groups.includes(group)).map(({ uuid }) => uuid);
    for (const deviceUuid of container === undefined ? [] : new Set(uuids)) {
      found.push({
        namespace: pod.namespace,
        pod: pod.name,
        container: container ?? "",
        podUid: pod.uid,
        podEnded: pod.ended,
        resourceName: "kai.scheduler/gpu-share",
        deviceUuid,
        replica: slotOf(`${pod.namespace}/${pod.name}`),
      });
    }
  }
  return found;
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
  /** Of a DRA claim. */
  readonly claimed: { driver: string; pool: string; device: string } | undefined;
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
          const id = parseDeviceId(deviceId);
          yield { pod, container, resourceName, deviceId, id, claimed: undefined };
        }
      }
      for (const claim of claims) {
        if (claim.driver !== draDriver) continue;
        const resourceName = `${claim.driver}/${claim.claimNamespace}/${claim.claimName}`;
        const deviceId = claim.device;
        const id = parseDraDevice(deviceId);
        yield { pod, container, resourceName, deviceId, id, claimed: claim };
      }
    }
  }
}

type Found = { readonly uuid: string; readonly replica: number | undefined };

function find(
  { id, claimed, deviceId }: Pick<ListedId, "id" | "claimed" | "deviceId">,
  among: {
    devices: readonly NodeDevice[];
    source: PodSource;
    known: SourcePod | undefined;
    container: string;
  },
): Found | { readonly reason: UnmappedReason } {
  const { devices, source, known, container } = among;
  // What the driver published itself goes before what its name says.
  const published = claimed && source.uuidOfClaimed(claimed);
  if (published !== undefined && isHere(published, devices)) {
    return { uuid: published, replica: undefined };
  }
  if (id.form === "unknown") return { reason: "unknown_form" };
  if (id.form === "hami") {
    const uuid = known && hamiUuid(known, container, id);
    if (uuid === undefined) return { reason: "slot_only" };
    if (!isHere(uuid, devices)) return { reason: "not_on_this_node" };
    return { uuid, replica: slotOf(deviceId) };
  }
  const uuid = uuidOf(id, devices);
  if (uuid === undefined) return { reason: "not_on_this_node" };
  const replica = id.form === "dra" ? undefined : id.form === "minor" ? id.share : id.replica;
  return { uuid, replica };
}

function isHere(uuid: string, devices: readonly NodeDevice[]): boolean {
  return devices.some(
    (device) => device.uuid === uuid || device.slices.some((s) => s.uuid === uuid),
  );
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
