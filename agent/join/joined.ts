/**
 * One round of joining: the node's devices, what is allocated, who computes, and what pod sources know,
 * put together into usages, bindings and join health. Pure: it reads nothing and keeps nothing.
 */
import { bindingsOf, type KnownContainer, type KnownProcess } from "../identity/bindings.ts";
import { claimOf } from "../identity/keys.ts";
import { soleOwners } from "../identity/owners.ts";
import type {
  Allocation,
  ContainerName,
  ObservedBinding,
  ObservedUsage,
} from "../identity/records.ts";
import type { Resource } from "../identity/resolve.ts";
import type { DeviceNodes, MigCapability } from "../proc/device-nodes.ts";
import type { Reason } from "../nvml/readings.ts";
import type { Gpu } from "../nvml/topology.ts";
import type { ProcessFacts } from "../proc/proc.ts";
import { visibleResources, type ComputingProcess, type NodeGpu } from "./evidence.ts";
import type { DeviceInUse, UnjoinedReason } from "./health.ts";

export interface Round {
  readonly bootId: string;
  readonly gpus: readonly Gpu[];
  /** Open now, with uids as far as they are known. */
  readonly allocations: readonly Allocation[];
  /** Whether a kubelet has ever told who has what. */
  readonly hasKubelet: boolean;
  readonly processes: readonly ComputingProcess[];
  readonly strangers: ReadonlySet<string>;
  /** Devices whose process list could not be read. */
  readonly missing: ReadonlyMap<string, Reason>;
  readonly capabilities: ReadonlyMap<number, MigCapability>;
  readonly podOf: (process: {
    containerId: string | undefined;
    podUid: string | undefined;
  }) => { readonly podUid: string; readonly owner: ContainerName | undefined } | undefined;
  readonly isPrivileged: (owner: ContainerName) => boolean;
  /** Whether it may have been given devices that nobody could tell us. */
  readonly mayHaveMore: (owner: ContainerName) => boolean;
}

export interface Joined {
  readonly usages: readonly ObservedUsage[];
  readonly bindings: readonly ObservedBinding[];
  readonly inUse: readonly DeviceInUse[];
}

interface Placed {
  readonly process: ComputingProcess;
  readonly owner: ContainerName | undefined;
  readonly podUid: string | undefined;
}

export function join(round: Round): Joined {
  const owners = soleOwners(round.allocations);
  const placed = round.processes.map((process) => place(round, owners, process));
  return {
    usages: placed.flatMap((each) => usagesOf(round, each)),
    bindings: bindings(round, placed),
    inUse: inUseOf(round, placed),
  };
}

/** Which container it is in: by its id, else by what only one container of its pod has. */
function place(
  round: Round,
  sole: ReturnType<typeof soleOwners>,
  process: ComputingProcess,
): Placed {
  const { containerId, podUid } = process.facts;
  const known = round.podOf({ containerId, podUid });
  const uid = known?.podUid ?? podUid;
  const owners = process.devices.flatMap((device) => {
    const found = sole.get(device);
    return found && found.podUid === uid ? [found.owner] : [];
  });
  const isOne = new Set(owners.map(claimOf)).size === 1;
  return { process, owner: known?.owner ?? (isOne ? owners[0] : undefined), podUid: uid };
}

function usagesOf(round: Round, { process, owner, podUid }: Placed): ObservedUsage[] {
  const { pid, startTime, ownPid, command, containerId } = process.facts;
  const { bootId } = round;
  return process.devices.map((resourceUuid) => ({
    bootId,
    pid,
    startTime,
    ownPid,
    command,
    containerId,
    podUid,
    owner,
    resourceUuid,
  }));
}

function bindings(round: Round, placed: readonly Placed[]): ObservedBinding[] {
  const resources = resourcesOf(round.gpus);
  const containers = new Map<string, KnownContainer>();
  const allocated = Map.groupBy(round.allocations, claimOf);
  const add = (key: string, of: Omit<KnownContainer, "key" | "allocated">): void => {
    const before = containers.get(key);
    const given = of.owner && (allocated.get(claimOf(of.owner)) ?? []);
    const isTold = round.hasKubelet && of.owner !== undefined && !round.mayHaveMore(of.owner);
    containers.set(key, {
      key,
      ...of,
      containerId: of.containerId ?? before?.containerId,
      podUid: of.podUid ?? before?.podUid,
      allocated: isTold
        ? given?.flatMap(({ resourceUuid }) => resources.get(resourceUuid) ?? [])
        : undefined,
    });
  };
  for (const [key, [first]] of allocated) {
    if (first === undefined) continue;
    const { namespace, pod, container, podUid } = first;
    const owner = { namespace, pod, container };
    add(key, { owner, podUid, containerId: undefined, privileged: round.isPrivileged(owner) });
  }
  const visibleTo = createVisibility(round);
  const processes = placed.map((each): KnownProcess => {
    const { process, owner, podUid } = each;
    const { containerId } = process.facts;
    const key = owner ? claimOf(owner) : (containerId ?? podUid);
    if (key !== undefined) {
      const privileged = owner ? round.isPrivileged(owner) : false;
      add(key, { owner, podUid, containerId, privileged });
    }
    return knownProcess(round, process, { containerKey: key, visibleTo });
  });
  return bindingsOf(containers.values(), processes);
}

function knownProcess(
  round: Round,
  process: ComputingProcess,
  of: { containerKey: string | undefined; visibleTo: ReturnType<typeof createVisibility> },
): KnownProcess {
  const refOf = ({ pid, startTime, ownPid }: ProcessFacts) => ({
    bootId: round.bootId,
    pid,
    startTime,
    ownPid,
  });
  const { nodes, environment, runtime, mps } = process;
  return {
    process: refOf(process.facts),
    containerKey: of.containerKey,
    ancestors: process.ancestors.map(refOf),
    visible: nodes && of.visibleTo(nodes),
    environment: environment && {
      visibleDevices: environment.visibleDevices,
      deviceOrder: environment.deviceOrder,
    },
    mps,
    remaps: environment?.remaps ?? false,
    runtime,
  };
}

/** Processes that see the same share one answer, and what the resolver knows of that set. */
function createVisibility({ gpus, capabilities }: Round) {
  const here = nodeGpus(gpus);
  const answers = new Map<string, readonly Resource[] | undefined>();
  return (nodes: DeviceNodes): readonly Resource[] | undefined => {
    const key = `${nodes.gpus.join()};${nodes.capabilities.join()}`;
    if (!answers.has(key)) answers.set(key, visibleResources(nodes, here, capabilities));
    return answers.get(key);
  };
}

function inUseOf(round: Round, placed: readonly Placed[]): DeviceInUse[] {
  const reasons = new Map<string, UnjoinedReason | undefined>();
  for (const each of placed) {
    for (const device of each.process.devices) {
      // One whom we know is enough to say that the device's time has an owner.
      const before = reasons.has(device) ? reasons.get(device) : "process_unknown";
      reasons.set(device, before && reasonOf(round, each));
    }
  }
  for (const device of round.strangers)
    if (!reasons.has(device)) reasons.set(device, "process_unknown");
  for (const device of round.missing.keys()) {
    if (round.missing.get(device) === "gpu_lost") reasons.set(device, "gpu_lost");
    else if (!reasons.has(device) && !isHeld(round, device)) {
      reasons.set(device, "processes_unreadable");
    }
  }
  return [...reasons].map(([uuid, unjoined]) => ({ uuid, unjoined }));
}

function reasonOf(round: Round, { process, owner }: Placed): UnjoinedReason | undefined {
  const { containerId, podUid } = process.facts;
  if (owner !== undefined) return undefined;
  if (podUid !== undefined) return "pod_unknown";
  // A container of a plain runtime has its id, a plain command its name.
  if (containerId !== undefined || !round.hasKubelet) return undefined;
  return "host_process";
}

function isHeld(round: Round, device: string): boolean {
  return round.allocations.some(({ resourceUuid }) => resourceUuid === device);
}

function resourcesOf(gpus: readonly Gpu[]): Map<string, Resource> {
  const all = nodeGpus(gpus).flatMap((gpu) =>
    gpu.migEnabled ? gpu.slices.map(({ resource }) => resource) : [gpu.resource],
  );
  return new Map(all.map((resource) => [resource.uuid, resource]));
}

function nodeGpus(gpus: readonly Gpu[]): NodeGpu[] {
  return gpus.map((gpu) => ({
    resource: {
      uuid: gpu.uuid,
      gpuUuid: gpu.uuid,
      kind: "whole",
      model: gpu.name,
      pciBusId: gpu.pciBusId,
    },
    minor: gpu.minor,
    migEnabled: gpu.migEnabled === true,
    slices: gpu.slices.map((slice) => ({
      resource: {
        uuid: slice.uuid,
        gpuUuid: gpu.uuid,
        kind: "mig",
        model: `${gpu.name} ${slice.profile}`,
        pciBusId: undefined,
      },
      gpuInstanceId: slice.gpuInstanceId,
      computeInstanceId: slice.computeInstanceId,
    })),
  }));
}
