/**
 * What makes two records the same: the keys of each layer's intervals, and the tuples whose change ends
 * an epoch.
 */
import type {
  Allocation,
  ComputeResource,
  ContainerName,
  ObservedAllocation,
  ObservedBinding,
  ObservedDevice,
  ObservedUsage,
  OrdinalBinding,
  Placement,
} from "./records.ts";

export function isSamePlace(a: Placement, b: Placement): boolean {
  return (
    a.node === b.node &&
    a.bootId === b.bootId &&
    a.driverEpoch === b.driverEpoch &&
    a.pciBusId === b.pciBusId &&
    a.minor === b.minor
  );
}

export type Tuple = Omit<ComputeResource, "epochMs">;

export function isSameResource(a: Tuple, b: Tuple): boolean {
  return (
    a.kind === b.kind &&
    a.gpuUuid === b.gpuUuid &&
    a.profile === b.profile &&
    a.gpuInstanceId === b.gpuInstanceId &&
    a.computeInstanceId === b.computeInstanceId &&
    a.smCount === b.smCount &&
    a.memoryMib === b.memoryMib
  );
}

/** A partitioned GPU is no resource itself; its slices are. */
export function resourcesOf(device: ObservedDevice): Tuple[] {
  const state = { gpuUuid: device.uuid, gap: false, lost: false };
  if (device.migEnabled) return device.slices.map((s) => ({ ...s, ...state, kind: "mig" }));
  const none = { gpuInstanceId: undefined, computeInstanceId: undefined };
  const unknown = { smCount: undefined, memoryMib: undefined };
  return [{ uuid: device.uuid, kind: "whole", profile: "", ...none, ...unknown, ...state }];
}

export function resourceIdOf({ uuid, epochMs }: ComputeResource): string {
  return `${uuid}@${epochMs}`;
}

export function claimOf({ namespace, pod, container }: ContainerName): string {
  return `${namespace}/${pod}/${container}`;
}
export function allocationKey(each: ObservedAllocation): string {
  return `${claimOf(each)} ${each.resourceName} ${each.deviceUuid} ${each.replica ?? "-"}`;
}
export function slotOf({ deviceUuid, replica }: ObservedAllocation): string {
  return `${deviceUuid} ${replica ?? "-"}`;
}
export function usageKey(usage: ObservedUsage): string {
  return `${usage.bootId} ${usage.pid} ${usage.startTime} ${usage.resourceUuid}`;
}

/** A process is its own; a container goes by its names, which outlive a look at its processes. */
export function bindingKey(binding: ObservedBinding): string {
  const { process, owner, containerId, podUid, ordinal } = binding;
  const whose = process
    ? `${process.bootId} ${process.pid} ${process.startTime}`
    : owner
      ? claimOf(owner)
      : (containerId ?? podUid ?? "-");
  return `${whose} ${ordinal ?? "*"}`;
}

/** Whether a binding says something else from now on, and not only more of what held all along. */
export function isOtherMeaning(before: OrdinalBinding, now: OrdinalBinding): boolean {
  if (before.process && before.ordinal !== undefined) return false;
  // The container was started again.
  if (before.containerId && now.containerId && before.containerId !== now.containerId) return true;
  const wasSure = before.resourceUuids.length > 0;
  const uuidsOf = (binding: OrdinalBinding): string => binding.resourceUuids.toSorted().join();
  return wasSure && uuidsOf(before) !== uuidsOf(now);
}

export function isHeldBy(allocation: Allocation, name: ContainerName): boolean {
  return claimOf(allocation) === claimOf(name);
}
