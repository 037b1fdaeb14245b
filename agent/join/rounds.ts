/**
 * Where the observations meet: each source's news goes into the history, then everything known is joined
 * anew and what changed is told. One thing at a time; sources may be late, absent or wrong.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { IdentityHistory } from "../identity/history.ts";
import { claimOf } from "../identity/keys.ts";
import { learnedUids, type Runner } from "../identity/owners.ts";
import type {
  Allocation,
  ContainerName,
  Observation,
  ObservedDevice,
} from "../identity/records.ts";
import { isNvidiaResource, mapAllocations, type NodeDevice } from "../kubelet/allocations.ts";
import type { KubeletWord } from "../kubelet/watch.ts";
import type { PodInformer } from "../pods/informer.ts";
import type { Gpu } from "../nvml/topology.ts";
import type { Pod } from "../pods/pod.ts";
import type { Proc } from "../proc/proc.ts";
import type { Reporter } from "../report.ts";
import type { DevicesSeen, ProcessesSeen } from "../sampling/feed.ts";
import type { DriverLoads } from "./driver-loads.ts";
import { createEvidence, type Evidence } from "./evidence.ts";
import type { JoinHealth } from "./health.ts";
import { join } from "./joined.ts";
import type { KubeletView } from "./kubelet-view.ts";
import type { IdentityMetrics } from "./metrics.ts";
import type { Troubles } from "./troubles.ts";

export interface RoundsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly reporter: Reporter;
  readonly metrics: IdentityMetrics;
  readonly history: IdentityHistory;
  readonly proc: Proc;
  readonly loads: DriverLoads;
  readonly health: JoinHealth;
  readonly kubelet: KubeletView;
  readonly troubles: Troubles;
  readonly pods: () => PodInformer | undefined;
  readonly energyOf: (gpuUuid: string) => number | undefined;
}

export interface Rounds {
  readonly onDevices: (seen: DevicesSeen) => void;
  readonly onProcesses: (seen: ProcessesSeen) => Promise<void>;
  /** `isThere`: the kubelet's socket exists. */
  readonly onKubelet: (word: KubeletWord, isThere: boolean) => void;
  /** The pod source knows more than before. */
  readonly onPods: () => void;
  /** Whether anything changed since the last call. */
  readonly takeDirty: () => boolean;
}

interface RoundsOptions {
  readonly node: string;
  readonly resourceNames: readonly string[];
  readonly wasRestored: boolean;
}

/** What the rounds remember between two pieces of news. */
interface Known {
  /** Containers of the newest list with devices that could not be tied to silicon. */
  unmapped: ReadonlySet<string>;
  devices: DevicesSeen | undefined;
  missing: ProcessesSeen["list"]["missing"];
  /** `namespace/pod` → uid, where no pod source tells it. */
  learned: ReadonlyMap<string, string>;
  /** The pod source has told something that no round has looked at. */
  podsChanged: boolean;
}

export function createRounds(deps: RoundsDeps, options: RoundsOptions): Rounds {
  const { clock, history, kubelet } = deps;
  const evidence = createEvidence(deps);
  const known: Known = {
    devices: undefined,
    missing: new Map(),
    learned: new Map(),
    unmapped: new Set(),
    podsChanged: false,
  };
  const telling = createTelling(deps, options);
  const observers = createObservers(deps, options, { known, observe: telling.observe });
  const settle = (): ReturnType<typeof join> | undefined => {
    const joined = observers.join(evidence);
    telling.tell(known.devices !== undefined);
    return joined;
  };
  const allocationsAgain = (): void => {
    if (kubelet.isCurrent) observers.allocations();
  };
  return {
    onDevices: (seen) => {
      known.devices = seen;
      observers.devices(seen);
      observers.energy();
      // Claims on a slice that is there only now.
      allocationsAgain();
      settle();
    },
    onProcesses: async ({ list }) => {
      // A pool that leaves hosts alone: what was known of processes is given up.
      const mayLook = deps.reporter.config().hostAccess !== "PodResourcesOnly";
      await evidence.observe(mayLook ? list : noProcesses);
      known.missing = mayLook ? list.missing : noProcesses.missing;
      deps.metrics.stuckReads.set(deps.proc.stuckCount);
      observers.energy();
      const learned = learnedUids(openAllocations(history), runnersOf(evidence));
      if (learned.size > 0) {
        known.learned = new Map([...known.learned, ...learned]);
        allocationsAgain();
      }
      const joined = settle();
      if (joined && mayLook) deps.health.observe(clock.monotonic(), joined.inUse);
    },
    onKubelet: (word, isThere) => {
      const counts = kubelet.hear(word, isThere);
      deps.metrics.kubelet.set(word.heard ? 1 : 0);
      if (!known.devices) return;
      if (kubelet.isCurrent) {
        known.learned = stillListed(known.learned, kubelet.pods);
        observers.allocations();
      } else if (counts) telling.observe(word.heard ? emptyList : { type: "kubelet-silent" });
      // The same list a second later joins to the same.
      if (history.hasChanges || known.podsChanged) settle();
      known.podsChanged = false;
    },
    // With the kubelet's next word, within a second: pods come and go in bursts.
    onPods: () => {
      known.podsChanged = true;
    },
    takeDirty: telling.takeDirty,
  };
}

/** Into the history, and what came of it to the reporter. */
function createTelling({ clock, history, reporter, troubles }: RoundsDeps, options: RoundsOptions) {
  let mustTellAll = options.wasRestored;
  let isDirty = false;
  return {
    observe: (observation: Observation): void => {
      for (const conflict of history.observe(clock.now(), observation)) {
        troubles.conflict(conflict);
      }
    },
    tell: (hasDevices: boolean): void => {
      const changes = history.takeChanges();
      if (changes.length > 0) {
        reporter.identity(changes);
        isDirty = true;
      }
      if (!mustTellAll || !hasDevices) return;
      mustTellAll = false;
      // The server may have missed the end of the run before; what it has already changes nothing.
      reporter.identity(history.openAsChanges());
    },
    takeDirty: (): boolean => {
      const was = isDirty;
      isDirty = false;
      return was;
    },
  };
}

/** Each source's news as observations, with the others' as far as they are known. */
function createObservers(
  deps: RoundsDeps,
  options: RoundsOptions,
  { known, observe }: { known: Known; observe: (observation: Observation) => void },
) {
  const { history, kubelet, proc, troubles } = deps;
  const bootId = proc.bootId() ?? "";
  const ours = new Set(options.resourceNames);
  const isOurs = (name: string): boolean => isNvidiaResource(name) || ours.has(name);
  const devices = ({ driverVersion, driverEpoch, gpus }: DevicesSeen): void =>
    observe({
      type: "devices",
      node: options.node,
      bootId,
      driverEpoch: deps.loads.epoch(bootId, driverVersion, driverEpoch),
      devices: gpus.map(observedDevice),
    });
  return {
    devices,
    allocations: (): void => {
      if (!known.devices) return;
      const source = sourceOf(deps.pods(), known.learned);
      const devicesHere = nodeDevices(known.devices);
      const mapped = mapAllocations(kubelet.pods, devicesHere, source, { isOurs });
      const { podCount, allocations } = mapped;
      observe({ type: "allocations", podCount, allocations });
      troubles.unmapped(mapped.unmapped);
      known.unmapped = new Set(mapped.unmapped.map(claimOf));
    },
    /** Energy that fell while no agent looked: the driver was loaded anew in between. */
    energy: (): void => {
      const fell = (known.devices?.gpus ?? []).filter(({ uuid }) => {
        const energy = deps.energyOf(uuid);
        return energy !== undefined && deps.loads.energy(uuid, energy);
      });
      if (fell.length > 0 && known.devices) devices(known.devices);
    },
    /** Usages and bindings from all that is known now. */
    join: (evidence: Evidence): ReturnType<typeof join> | undefined => {
      if (!known.devices) return undefined;
      const joined = join({
        bootId,
        gpus: known.devices.gpus,
        allocations: openAllocations(history),
        hasKubelet: kubelet.wasHeard,
        processes: evidence.processes,
        strangers: evidence.strangers,
        missing: known.missing,
        capabilities: proc.migCapabilities(),
        ...podQuestions(deps.pods()),
        mayHaveMore: (owner) => known.unmapped.has(claimOf(owner)),
      });
      observe({ type: "usages", usages: joined.usages });
      observe({ type: "ordinals", bindings: joined.bindings });
      for (const binding of joined.bindings) troubles.binding(binding);
      return joined;
    },
  };
}

function observedDevice(gpu: Gpu): ObservedDevice {
  return {
    uuid: gpu.uuid,
    index: gpu.index,
    model: gpu.name,
    pciBusId: gpu.pciBusId,
    minor: gpu.minor,
    migEnabled: gpu.migEnabled === true,
    lost: gpu.lost,
    slices: gpu.slices.map((slice) => ({
      uuid: slice.uuid,
      profile: slice.profile,
      gpuInstanceId: slice.gpuInstanceId,
      computeInstanceId: slice.computeInstanceId,
      smCount: slice.smCount,
      memoryMib: slice.memoryMib,
    })),
  };
}

function runnersOf(evidence: Evidence): Runner[] {
  return evidence.processes.flatMap(({ facts, devices }) =>
    devices.map((resourceUuid) => ({ podUid: facts.podUid, resourceUuid })),
  );
}

const noProcesses: ProcessesSeen["list"] = { rows: [], missing: new Map(), truncatedCount: 0 };
const emptyList: Observation = { type: "allocations", podCount: 0, allocations: [] };

function openAllocations(history: IdentityHistory): Allocation[] {
  return history.allocations.allOpen().map(({ value }) => value);
}

function stillListed(
  learned: ReadonlyMap<string, string>,
  pods: KubeletView["pods"],
): ReadonlyMap<string, string> {
  if (learned.size === 0) return learned;
  const names = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  return new Map([...learned].filter(([name]) => names.has(name)));
}

const nothingOfPod = {
  containers: [],
  hamiDevices: undefined,
  kai: undefined,
  ended: false,
  hasClaims: false,
};

/** What cgroups and telemetry call the pod: of a static one the kubelet's own uid. */
const uidOf = (pod: Pod): string => pod.staticUid ?? pod.uid;

function sourceOf(informer: PodInformer | undefined, learned: ReadonlyMap<string, string>) {
  return {
    podOf(namespace: string, name: string) {
      const pod = informer?.byName(namespace, name);
      if (pod) return { ...pod, uid: uidOf(pod) };
      const uid = learned.get(`${namespace}/${name}`);
      const unknown = { ...nothingOfPod, namespace, name };
      return uid === undefined ? undefined : { ...unknown, uid };
    },
    all: () => (informer?.all() ?? []).map((pod) => ({ ...pod, uid: uidOf(pod) })),
    uuidOfClaimed: (device: { driver: string; pool: string; device: string }) =>
      informer?.uuidOfClaimed(device),
  };
}

function podQuestions(informer: PodInformer | undefined) {
  const nameOf = (pod: Pod, container: string): ContainerName => ({
    namespace: pod.namespace,
    pod: pod.name,
    container,
  });
  return {
    podOf({
      containerId,
      podUid,
    }: {
      containerId: string | undefined;
      podUid: string | undefined;
    }) {
      const found = containerId === undefined ? undefined : informer?.byContainerId(containerId);
      if (found) {
        const owner = nameOf(found.pod, found.container.name);
        return { podUid: uidOf(found.pod), owner };
      }
      const pod = podUid === undefined ? undefined : informer?.byUid(podUid);
      if (!pod) return undefined;
      const [only] = pod.containers;
      const isOne = pod.containers.length === 1 && only !== undefined;
      return { podUid: uidOf(pod), owner: isOne ? nameOf(pod, only.name) : undefined };
    },
    isPrivileged: ({ namespace, pod, container }: ContainerName): boolean =>
      informer?.byName(namespace, pod)?.containers.find(({ name }) => name === container)
        ?.privileged ?? false,
  };
}

function nodeDevices({ gpus }: DevicesSeen): NodeDevice[] {
  return gpus.map(({ uuid, minor, slices }) => ({
    uuid,
    minor,
    slices: slices.map((slice) => ({
      uuid: slice.uuid,
      profile: slice.profile,
      gpuInstanceId: slice.gpuInstanceId,
      computeInstanceId: slice.computeInstanceId,
      placementStart: slice.placement?.start,
    })),
  }));
}
