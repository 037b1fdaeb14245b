/**
 * The identity of a node's GPUs through time: observations in, intervals out. A pure state machine: no
 * clock, no I/O; its caller says when each observation was made.
 *
 * Holds: an exclusive resource has at most one open allocation; a life has no gap inside; who had what at
 * a moment never changes afterwards (only `stale`, `lost` and a uid learned later do). Time only grows: a
 * clock that jumps back is held at the last moment and counted on by 1 ms an observation.
 */
import {
  allocationKey,
  bindingKey,
  claimOf,
  isHeldBy,
  isOtherMeaning,
  isSamePlace,
  isSameResource,
  resourceIdOf,
  resourcesOf,
  slotOf,
  usageKey,
} from "./keys.ts";
import type {
  Allocation,
  ComputeResource,
  Conflict,
  ContainerName,
  Layer,
  Layers,
  Observation,
  ObservedAllocation,
  ObservedBinding,
  ObservedDevice,
  ObservedUsage,
  OrdinalBinding,
  Placement,
} from "./records.ts";
import { createTimeline, type Interval } from "./timeline.ts";

/**
 * How long allocations are held on when the kubelet is silent or answers with no pods at all. A kubelet
 * coming up answers OK-and-empty for 0.8–0.9 s; a restart takes tens of seconds.
 */
const holdMs = 120_000;

type Devices = Extract<Observation, { type: "devices" }>;

/** An interval as it became: opened, amended, or closed (`validToMs` is set). */
export type Change = {
  [L in Layer]: {
    readonly layer: L;
    readonly key: string;
    readonly validFromMs: number;
    readonly validToMs: number | undefined;
    readonly closeReason: string | undefined;
    readonly value: Layers[L];
  };
}[Layer];

/** What outlives the process that observed: the open intervals of each layer. */
export type OpenIntervals = { readonly [L in Layer]: readonly Interval<Layers[L]>[] };

export class IdentityHistory {
  readonly placements = createTimeline<Placement>(this.#recorderOf("placement"));
  readonly resources = createTimeline<ComputeResource>(this.#recorderOf("resource"));
  readonly allocations = createTimeline<Allocation>(this.#recorderOf("allocation"));
  readonly usages = createTimeline<Layers["usage"]>(this.#recorderOf("usage"));
  readonly ordinals = createTimeline<OrdinalBinding>(this.#recorderOf("ordinal"));
  #changes: Change[] = [];
  #lastMs = 0;
  #staleSinceMs: number | undefined;

  /** Takes one observation. Answers what does not fit together. */
  observe(atMs: number, observation: Observation): readonly Conflict[] {
    const at = Math.max(atMs, this.#lastMs + 1);
    this.#lastMs = at;
    const conflicts: Conflict[] = [];
    switch (observation.type) {
      case "devices":
        this.#observeDevices(at, observation, conflicts);
        break;
      case "allocations":
        // A node has always pods, the agent's own at least: none at all is a kubelet starting up.
        if (observation.podCount === 0) this.#hold(at);
        else this.#observeAllocations(at, observation.allocations, conflicts);
        break;
      case "kubelet-silent":
        this.#hold(at);
        break;
      case "usages":
        this.#observeUsages(at, observation.usages);
        break;
      case "ordinals":
        this.#observeOrdinals(at, observation.bindings);
        break;
    }
    return conflicts;
  }

  /** What changed since the last call, in order. */
  takeChanges(): readonly Change[] {
    const taken = this.#changes;
    this.#changes = [];
    return taken;
  }

  get hasChanges(): boolean {
    return this.#changes.length > 0;
  }

  /** All open intervals as changes, for a server that may have missed some. */
  openAsChanges(): readonly Change[] {
    return [
      ...this.placements.allOpen().map((interval) => changeOf("placement", interval)),
      ...this.resources.allOpen().map((interval) => changeOf("resource", interval)),
      ...this.allocations.allOpen().map((interval) => changeOf("allocation", interval)),
      ...this.usages.allOpen().map((interval) => changeOf("usage", interval)),
      ...this.ordinals.allOpen().map((interval) => changeOf("ordinal", interval)),
    ];
  }

  open(): OpenIntervals {
    return {
      placement: this.placements.allOpen(),
      resource: this.resources.allOpen(),
      allocation: this.allocations.allOpen(),
      usage: this.usages.allOpen(),
      ordinal: this.ordinals.allOpen(),
    };
  }

  /** The moment of the newest observation. */
  get lastMs(): number {
    return this.#lastMs;
  }

  /**
   * Goes on from the open intervals of an earlier run, which had observed until `lastMs`. The next devices
   * observation decides: an equal tuple under the same boot and driver goes on, flagged `gap`; anything
   * else ends. Usages and bindings go on where the very same process still computes.
   */
  restore(open: OpenIntervals, lastMs: number): void {
    for (const interval of open.placement) this.placements.restore(interval);
    for (const interval of open.resource) {
      this.resources.restore({ ...interval, value: { ...interval.value, gap: true } });
    }
    for (const interval of open.allocation) {
      this.allocations.restore({ ...interval, value: { ...interval.value, stale: true } });
    }
    for (const interval of open.usage) this.usages.restore(interval);
    for (const interval of open.ordinal) this.ordinals.restore(interval);
    this.#lastMs = Math.max(this.#lastMs, lastMs);
    for (const { validFromMs } of this.openAsChanges()) {
      this.#lastMs = Math.max(this.#lastMs, validFromMs);
    }
  }

  /** Everything that was allocated to a container at t. */
  allocatedAt(container: ContainerName, atMs: number): Allocation[] {
    return this.allocations
      .allAt(atMs)
      .map(({ value }) => value)
      .filter((allocation) => isHeldBy(allocation, container));
  }

  prune(beforeMs: number): number {
    return [this.placements, this.resources, this.allocations, this.usages, this.ordinals]
      .map((timeline) => timeline.prune(beforeMs))
      .reduce((sum, count) => sum + count, 0);
  }

  #observeDevices(at: number, seen: Devices, conflicts: Conflict[]): void {
    const present = new Set(seen.devices.map(({ uuid }) => uuid));
    for (const { value } of this.placements.allOpen()) {
      if (!present.has(value.gpuUuid)) this.#endGpu(value.gpuUuid, at, "device_gone", conflicts);
    }
    for (const device of seen.devices) this.#observeDevice(at, seen, device, conflicts);
  }

  #observeDevice(at: number, seen: Devices, device: ObservedDevice, conflicts: Conflict[]): void {
    const before = this.placements.openOf(device.uuid)?.value;
    const placement: Placement = {
      gpuUuid: device.uuid,
      node: seen.node,
      bootId: seen.bootId,
      driverEpoch: seen.driverEpoch,
      pciBusId: device.pciBusId,
      minor: device.minor,
      index: device.index,
      model: device.model,
      lost: device.lost,
    };
    const moved = before !== undefined && !isSamePlace(before, placement);
    const reloaded = before?.bootId !== seen.bootId || before.driverEpoch !== seen.driverEpoch;
    // A lost GPU tells nothing: it keeps its place and its epochs until a reset or a reboot.
    if (moved && (!device.lost || reloaded))
      this.#endGpu(device.uuid, at, "placement_changed", conflicts);
    if (this.placements.openOf(device.uuid)) {
      this.placements.amend(device.uuid, moved ? { ...before, lost: true } : placement);
    } else this.placements.open(device.uuid, placement, at);
    if (device.lost) this.#markLost(device.uuid, at);
    else this.#observeResources(at, device, conflicts);
  }

  #observeResources(at: number, device: ObservedDevice, conflicts: Conflict[]): void {
    const wanted = new Map(resourcesOf(device).map((resource) => [resource.uuid, resource]));
    for (const { value } of this.#resourcesOfGpu(device.uuid)) {
      const now = wanted.get(value.uuid);
      if (now === undefined || !isSameResource(value, now)) {
        this.#endResource(value, at, "repartitioned", conflicts);
      } else if (value.lost) this.resources.amend(value.uuid, { ...value, lost: false });
    }
    for (const resource of wanted.values()) {
      if (this.resources.openOf(resource.uuid)) continue;
      this.resources.open(resource.uuid, { ...resource, epochMs: at }, at);
    }
  }

  #resourcesOfGpu(gpuUuid: string): Interval<ComputeResource>[] {
    return this.resources.allOpen().filter(({ value }) => value.gpuUuid === gpuUuid);
  }

  #markLost(gpuUuid: string, at: number): void {
    for (const { value } of this.#resourcesOfGpu(gpuUuid)) {
      this.resources.amend(value.uuid, { ...value, lost: true });
      this.#endUsages(value.uuid, at, "gpu_lost");
    }
  }

  #endGpu(gpuUuid: string, at: number, reason: string, conflicts: Conflict[]): void {
    for (const { value } of this.#resourcesOfGpu(gpuUuid)) {
      this.#endResource(value, at, reason, conflicts);
    }
    this.placements.close(gpuUuid, at, reason);
  }

  #endResource(resource: ComputeResource, at: number, reason: string, conflicts: Conflict[]): void {
    for (const { key, value } of this.allocations.allOpen()) {
      if (value.resourceUuid !== resource.uuid) continue;
      this.allocations.close(key, at, reason);
      conflicts.push({
        type: "ended-under-allocation",
        resourceUuid: resource.uuid,
        claim: claimOf(value),
      });
    }
    this.#endUsages(resource.uuid, at, reason);
    for (const { key, value } of this.ordinals.allOpen()) {
      if (value.resourceUuids.includes(resource.uuid)) this.ordinals.close(key, at, reason);
    }
    this.resources.close(resource.uuid, at, reason);
  }

  #endUsages(resourceUuid: string, at: number, reason: string): void {
    for (const { key, value } of this.usages.allOpen()) {
      if (value.resourceUuid === resourceUuid) this.usages.close(key, at, reason);
    }
  }

  /** Nothing ends for want of a word, until the want has lasted too long. */
  #hold(at: number): void {
    this.#staleSinceMs ??= at;
    const over = at - this.#staleSinceMs > holdMs;
    for (const { key, value } of this.allocations.allOpen()) {
      if (over) this.allocations.close(key, at, "kubelet_silent");
      else if (!value.stale) this.allocations.amend(key, { ...value, stale: true });
    }
  }

  #observeAllocations(
    at: number,
    observed: readonly ObservedAllocation[],
    conflicts: Conflict[],
  ): void {
    this.#staleSinceMs = undefined;
    const wanted = new Map<string, ObservedAllocation>();
    // One device is listed once per NUMA node; the key makes it one.
    for (const each of observed) if (!each.podEnded) wanted.set(allocationKey(each), each);
    for (const { key, value } of this.allocations.allOpen()) {
      const now = wanted.get(key);
      const otherPod =
        now?.podUid !== undefined && value.podUid !== undefined && now.podUid !== value.podUid;
      if (now === undefined || otherPod) this.allocations.close(key, at, "no_longer_listed");
      else
        this.allocations.amend(key, { ...value, stale: false, podUid: now.podUid ?? value.podUid });
    }
    const disputed = this.#disputes(wanted, conflicts);
    for (const [key, each] of wanted) {
      if (this.allocations.openOf(key)) continue;
      const resource = this.resources.openOf(each.deviceUuid)?.value;
      if (!resource) {
        const claim = claimOf(each);
        conflicts.push({ type: "unknown-device", resourceUuid: each.deviceUuid, claim });
      } else if (!disputed.has(slotOf(each))) {
        this.#openAllocation(at, key, each, resource);
      }
    }
  }

  #openAllocation(
    at: number,
    key: string,
    each: ObservedAllocation,
    resource: ComputeResource,
  ): void {
    const { namespace, pod, container, podUid, resourceName, replica } = each;
    const value: Allocation = {
      namespace,
      pod,
      container,
      podUid,
      resourceName,
      resourceId: resourceIdOf(resource),
      resourceUuid: resource.uuid,
      replica,
      stale: false,
    };
    this.allocations.open(key, value, at);
  }

  /**
   * Slots that more than one claims: the same slot, or anything beside an exclusive claim. Who had it
   * keeps it; nobody gets it anew.
   */
  #disputes(wanted: ReadonlyMap<string, ObservedAllocation>, conflicts: Conflict[]): Set<string> {
    const byDevice = Map.groupBy(wanted.values(), ({ deviceUuid }) => deviceUuid);
    const disputed = new Set<string>();
    for (const [resourceUuid, claims] of byDevice) {
      const slots = new Set(claims.map(slotOf));
      const isExclusive = claims.some(({ replica }) => replica === undefined);
      if (claims.length < 2 || (!isExclusive && slots.size === claims.length)) continue;
      for (const slot of slots) disputed.add(slot);
      conflicts.push({ type: "double-claim", resourceUuid, claims: claims.map(claimOf).sort() });
    }
    return disputed;
  }

  #observeUsages(at: number, observed: readonly ObservedUsage[]): void {
    const wanted = new Map(observed.map((usage) => [usageKey(usage), usage]));
    for (const { key, value } of this.usages.allOpen()) {
      const now = wanted.get(key);
      // An exec into another cgroup is another container's work.
      if (now === undefined || now.containerId !== value.containerId) {
        this.usages.close(key, at, "no_longer_listed");
      } else {
        this.usages.amend(key, {
          ...value,
          owner: now.owner ?? value.owner,
          podUid: now.podUid ?? value.podUid,
        });
      }
    }
    for (const [key, usage] of wanted) {
      const resource = this.resources.openOf(usage.resourceUuid)?.value;
      if (!resource || resource.lost || this.usages.openOf(key)) continue;
      this.usages.open(key, { ...usage, resourceId: resourceIdOf(resource) }, at);
    }
  }

  /**
   * Late evidence speaks for the whole of an open interval: what a process means by a number does not
   * change. What a container's processes mean, and which set a process has, does; there it begins anew.
   */
  #observeOrdinals(at: number, observed: readonly ObservedBinding[]): void {
    const wanted = new Map<string, OrdinalBinding>();
    for (const each of observed) {
      const resources = each.resourceUuids.map((uuid) => this.resources.openOf(uuid)?.value);
      const resourceIds = resources.flatMap((r) => (r === undefined ? [] : [resourceIdOf(r)]));
      // A device that went away in between: the next round says what holds then.
      if (resourceIds.length < each.resourceUuids.length) continue;
      wanted.set(bindingKey(each), { ...each, resourceIds });
    }
    for (const { key, value } of this.ordinals.allOpen()) {
      const now = wanted.get(key);
      if (now === undefined) this.ordinals.close(key, at, "ended");
      else if (isOtherMeaning(value, now)) this.ordinals.close(key, at, "changed");
      else this.ordinals.amend(key, now);
    }
    for (const [key, binding] of wanted) {
      if (!this.ordinals.openOf(key)) this.ordinals.open(key, binding, at);
    }
  }

  #recorderOf<L extends Layer>(layer: L): (interval: Interval<Layers[L]>) => void {
    return (interval) => void this.#changes.push(changeOf(layer, interval));
  }
}

function changeOf<L extends Layer>(layer: L, interval: Interval<Layers[L]>): Change {
  const { key, value, validFromMs, validToMs, endReason } = interval;
  // Safe: layer and value are of the same L, which the union has for each.
  return { layer, key, validFromMs, validToMs, closeReason: endReason, value } as Change;
}
