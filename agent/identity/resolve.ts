/**
 * Which compute resource a process means by `cuda:N`: a pure function of the evidence at hand.
 *
 * It never guesses. A level says how sure the answer is; an ambiguous one names its candidates and the
 * reason and no device. The order of ids in an allocation says nothing about ordinals, so it is never
 * used. The evidence that decided is kept with every answer.
 */
import {
  type otherOrdinals,
  wholeAllocation,
  wholeSet,
  wholeSetLevel,
  type AttributionLevel as Level,
} from "@axonize/core/contract/attribution";
import { deviceList, type DeviceList } from "./visible-devices.ts";

export interface Resource {
  /** GPU or MIG UUID. */
  readonly uuid: string;
  readonly gpuUuid: string;
  readonly kind: "whole" | "mig";
  readonly model: string;
  /** `domain:bus:device.function` in hex as NVML prints it. */
  readonly pciBusId: string | undefined;
}

export type Warning =
  | "runtime_not_allocated" // a process computes on a device that its container was not given
  | "visible_not_allocated" // the container sees devices that it was not given
  | "sdk_unchecked"; // the SDK's word stands alone: neither allocation nor visibility is known

export type Unsure =
  | "sdk_contradicts" // the SDK names a device that the container was not given and cannot see
  | "runtime_contradicts" // the process computes on another device than the rules give
  | "ordinal_out_of_range"
  | "several_mig" // which slices CUDA enumerates, and in which order, is no contract
  | "mps_renumbers"
  | "process_remaps" // a framework sets the list inside the process, where it cannot be read
  | "environment_unknown"
  | "processes_differ" // the container's processes number their devices differently
  | "mixed_models" // fastest first says nothing about the order of different cards
  | "list_unreadable" // CUDA_VISIBLE_DEVICES names what does not exist, or mixes forms
  | typeof otherOrdinals // on one device alone; whether this ordinal is that one only spans tell
  | "no_device" // nothing was allocated and nothing runs
  | "allocation_unknown";

export interface Evidence {
  /** undefined: the span names no ordinal and means the container's whole set. */
  readonly ordinal: number | undefined;
  /** From pod-resources, replica suffixes stripped. undefined: unknown, e.g. no kubelet. */
  readonly allocated: readonly Resource[] | undefined;
  /** What the container can open. undefined: could not be read. */
  readonly visible: readonly Resource[] | undefined;
  readonly privileged: boolean;
  /** The process's environment at exec. undefined: could not be read. */
  readonly environment:
    | { readonly visibleDevices: string | undefined; readonly deviceOrder: string | undefined }
    | undefined;
  /** Devices on which NVML has listed the process since it began. undefined: process unknown. */
  readonly runtime: { readonly uuids: readonly string[]; readonly pollCount: number } | undefined;
  /** Devices on which NVML lists any process of the container. */
  readonly containerRuntime: readonly string[];
  /** Every ordinal this process has ever reported, this one included. undefined: unknown. */
  readonly ordinalsReported: readonly number[] | undefined;
  /** The UUID that the process itself reported for this ordinal. */
  readonly sdkUuid: string | undefined;
  readonly mps: boolean;
  /** The process belongs to a framework that renumbers in process (Ray, vLLM, torchrun workers). */
  readonly remaps: boolean;
}

export interface Resolution {
  readonly level: Level;
  /** The devices; empty unless the level is exact, derived or likely. */
  readonly uuids: readonly string[];
  /** For the unsure levels: what it may have been. Never put on a span as its device. */
  readonly candidates: readonly string[];
  readonly reason: Unsure | undefined;
  readonly warnings: readonly Warning[];
  /** Which evidence decided, in words that the interface shows. */
  readonly evidence: readonly string[];
}

export function resolve(from: Evidence): Resolution {
  const warnings = warningsOf(from);
  const answer = bySdk(from) ?? byAbsence(from) ?? bySet(from) ?? byOrdinal(from);
  return warnings.length === 0
    ? answer
    : { ...answer, warnings: [...answer.warnings, ...warnings] };
}

/** Only the process itself knows for certain; its word is still checked against what it was given. */
function bySdk(from: Evidence): Resolution | undefined {
  const { sdkUuid, allocated, visible } = from;
  if (sdkUuid === undefined) return undefined;
  if (allocated === undefined && visible === undefined) {
    return sure("exact.sdk", [sdkUuid], ["the process reported its UUID"], ["sdk_unchecked"]);
  }
  if (hasUuid(allocated, sdkUuid) || hasUuid(visible, sdkUuid)) {
    return sure("exact.sdk", [sdkUuid], ["the process reported its UUID", "its container has it"]);
  }
  const known = [...(allocated ?? []), ...(visible ?? [])];
  return unsure("identity.conflict", known, "sdk_contradicts");
}

function byAbsence(from: Evidence): Resolution | undefined {
  const ran = (from.runtime?.uuids.length ?? 0) + from.containerRuntime.length > 0;
  if (ran) return undefined;
  if (from.allocated?.length === 0) return unsure("unattributed", [], "no_device");
  const seen = from.visible?.length ?? 0;
  if (from.allocated === undefined && seen === 0) {
    return unsure("unattributed", [], "allocation_unknown");
  }
  return undefined;
}

/**
 * A span without an ordinal belongs to everything its container was given. Where nothing was handed out
 * (no kubelet, or a pod that took what it was not given), to everything it computes on.
 */
function bySet(from: Evidence): Resolution | undefined {
  if (from.ordinal !== undefined) return undefined;
  const { allocated = [], visible, runtime } = from;
  const isOpen = (uuid: string): boolean => visible === undefined || hasUuid(visible, uuid);
  const given = wholeSet(uuidsOf(allocated), isOpen);
  if (given !== undefined) return sure(given.level, given.uuids, [wholeAllocation]);
  if (from.allocated === undefined && visible?.length === 1) {
    return sure("exact.single", uuidsOf(visible), ["the only device it can open"]);
  }
  if (runtime && runtime.uuids.length > 0 && runtime.pollCount >= 2) {
    return runtime.uuids.length === 1
      ? sure("exact.runtime", runtime.uuids, ["the only device it computes on"])
      : sure(wholeSetLevel(runtime.uuids), runtime.uuids, ["all devices it computes on"]);
  }
  const ran = runtime?.uuids ?? from.containerRuntime;
  const candidates = ran.length > 0 ? ran : uuidsOf(visible ?? []);
  return { ...unsure("ambiguous", [], "allocation_unknown"), candidates };
}

function byOrdinal(from: Evidence): Resolution {
  const ordinal = from.ordinal ?? 0;
  const seen = from.visible ?? (from.privileged ? undefined : from.allocated);
  const ruled = seen === undefined ? undefined : byRules(from, seen, ordinal);
  const holds = ruled !== undefined && ruled.uuids.length > 0 && !contradicted(from, ruled);
  if (holds && ruled.level.startsWith("exact.")) return ruled;
  const byRuntime = byContext(from, seen, ordinal);
  if (byRuntime) return byRuntime;
  if (holds) return ruled;
  const candidates = seen ?? from.allocated ?? [];
  if (ruled && ruled.uuids.length > 0)
    return unsure("ambiguous", candidates, "runtime_contradicts");
  return ruled ?? unsure("ambiguous", candidates, "allocation_unknown");
}

/** The one context of a process that has used one ordinal is that ordinal's. */
function byContext(
  from: Evidence,
  seen: readonly Resource[] | undefined,
  ordinal: number,
): Resolution | undefined {
  const uuid = loneContext(from.runtime);
  if (uuid === undefined) return undefined;
  const alone = "the only device the process computes on";
  if (from.ordinalsReported?.every((each) => each === ordinal) === true) {
    return sure("exact.runtime", [uuid], [alone, "the only ordinal it reported"]);
  }
  if (ordinal === 0 && seesOne(from, seen)) {
    return sure("exact.runtime", [uuid], [alone, "its environment shows it one device"]);
  }
  return undefined;
}

/** The one device on which the driver has listed the process since it began; once is no proof. */
export function loneContext(runtime: Evidence["runtime"]): string | undefined {
  const [uuid] = runtime?.uuids ?? [];
  return runtime?.uuids.length === 1 && runtime.pollCount >= 2 ? uuid : undefined;
}

/** Its list has one entry, so it has no other ordinal than 0; a framework may have set another list. */
function seesOne(from: Evidence, seen: readonly Resource[] | undefined): boolean {
  const value = from.environment?.visibleDevices;
  if (value === undefined || seen === undefined || from.remaps || from.mps) return false;
  const list = listOf(orderOf(seen), value, seen);
  const entries = list.form === "uuids" ? list.resources : list.form === "integers" && list.indices;
  return entries ? entries.length === 1 : false;
}

/** What the rules of CUDA's numbering give for these visible devices. */
function byRules(from: Evidence, seen: readonly Resource[], ordinal: number): Resolution {
  const [only] = seen;
  if (only && seen.length === 1 && ordinal === 0) {
    return sure("exact.single", [only.uuid], ["the container has one device"]);
  }
  const no = (reason: Unsure): Resolution => unsure("ambiguous", seen, reason);
  if (ordinal >= seen.length) return no("ordinal_out_of_range");
  if (from.mps) return no("mps_renumbers");
  if (from.remaps) return no("process_remaps");
  if (from.environment === undefined) return no("environment_unknown");
  const order = orderOf(seen);
  const list = listOf(order, from.environment.visibleDevices, seen);
  if (list.form === "mixed") return no("list_unreadable");
  if (list.form === "uuids") return byUuidList(from, list.resources, seen, ordinal);
  if (order.hasMig) return no("several_mig");
  return byPciOrder(from.environment.deviceOrder, list.indices, seen, ordinal);
}

function byUuidList(
  from: Evidence,
  listed: readonly Resource[],
  seen: readonly Resource[],
  ordinal: number,
): Resolution {
  const entry = listed[ordinal];
  if (entry === undefined) return unsure("ambiguous", seen, "ordinal_out_of_range");
  // Older CUDA enumerates the first slice only, and no whole GPU beside a slice.
  const severalMig = listed.some(({ kind }) => kind === "mig") && listed.length > 1;
  if (severalMig && ordinal > 0) return unsure("ambiguous", seen, "several_mig");
  const named = "CUDA_VISIBLE_DEVICES names it";
  const runs = from.runtime?.uuids ?? [];
  // Stricter than "the runtime contains it": with contexts on several devices, a list that was
  // changed after exec would look the same.
  return runs.length === 1 && runs[0] === entry.uuid
    ? sure("exact.uuidlist", [entry.uuid], [named, "the process computes on it alone"])
    : sure("derived.uuidlist", [entry.uuid], [named, "as the environment was at exec"]);
}

function byPciOrder(
  deviceOrder: string | undefined,
  indices: readonly number[] | undefined,
  seen: readonly Resource[],
  ordinal: number,
): Resolution {
  const { byPci, isOneModel } = orderOf(seen);
  if (byPci === undefined) return unsure("ambiguous", seen, "allocation_unknown");
  const byBus = deviceOrder === "PCI_BUS_ID";
  if (!byBus && !isOneModel) return unsure("ambiguous", seen, "mixed_models");
  const index = indices === undefined ? ordinal : indices[ordinal];
  const device = index === undefined ? undefined : byPci[index];
  if (device === undefined) return unsure("ambiguous", seen, "ordinal_out_of_range");
  return byBus
    ? sure("derived.pci", [device.uuid], ["CUDA_DEVICE_ORDER is PCI_BUS_ID"])
    : sure("likely.homogeneous", [device.uuid], ["all devices are the same model, in PCI order"]);
}

/** What follows from a set of devices alone; one set is looked up for many processes and ordinals. */
interface Order {
  readonly hasMig: boolean;
  readonly isOneModel: boolean;
  /** undefined: one has no known address. */
  readonly byPci: readonly Resource[] | undefined;
  readonly listed: { value: string | undefined; list: DeviceList<Resource> } | undefined;
}
const orders = new WeakMap<readonly Resource[], Order>();

function orderOf(seen: readonly Resource[]): Order {
  const known = orders.get(seen);
  if (known) return known;
  const isPlaced = seen.every(({ pciBusId }) => pciBusId !== undefined);
  const order: Order = {
    hasMig: seen.some(({ kind }) => kind === "mig"),
    isOneModel: new Set(seen.map(({ model }) => model)).size === 1,
    byPci: isPlaced
      ? seen.toSorted((a, b) => ((a.pciBusId ?? "") < (b.pciBusId ?? "") ? -1 : 1))
      : undefined,
    listed: undefined,
  };
  orders.set(seen, order);
  return order;
}

/** The list as last read for this set: its processes have mostly the same. */
function listOf(
  order: Order,
  value: string | undefined,
  seen: readonly Resource[],
): DeviceList<Resource> {
  if (order.listed && order.listed.value === value) return order.listed.list;
  const list = deviceList(value, seen);
  orders.set(seen, { ...order, listed: { value, list } });
  return list;
}

/** The process computes somewhere, and not on what the rules gave. */
function contradicted(from: Evidence, ruled: Resolution): boolean {
  const runs = from.runtime?.uuids ?? [];
  return runs.length > 0 && !ruled.uuids.every((uuid) => runs.includes(uuid));
}

function warningsOf(from: Evidence): readonly Warning[] {
  const { allocated, visible, runtime, containerRuntime } = from;
  if (allocated === undefined) return none;
  const isStray = (uuid: string): boolean => !hasUuid(allocated, uuid);
  const ran = runtime?.uuids.some(isStray) === true || containerRuntime.some(isStray);
  const sees = visible?.some((each) => !has(allocated, each)) === true;
  if (!ran && !sees) return none;
  return [
    ...(ran ? (["runtime_not_allocated"] as const) : []),
    ...(sees ? (["visible_not_allocated"] as const) : []),
  ];
}
const none: readonly Warning[] = [];

function has(resources: readonly Resource[], wanted: Resource): boolean {
  return resources.includes(wanted) || hasUuid(resources, wanted.uuid);
}
function hasUuid(resources: readonly Resource[] | undefined, wanted: string): boolean {
  return resources?.some(({ uuid }) => uuid === wanted) === true;
}

function uuidsOf(resources: readonly Resource[]): string[] {
  return [...new Set(resources.map(({ uuid }) => uuid))];
}

function sure(
  level: Level,
  uuids: readonly string[],
  evidence: readonly string[],
  warnings: readonly Warning[] = [],
): Resolution {
  return { level, uuids, candidates: [], reason: undefined, warnings, evidence };
}

function unsure(level: Level, candidates: readonly Resource[], reason: Unsure): Resolution {
  return { level, uuids: [], candidates: uuidsOf(candidates), reason, warnings: [], evidence: [] };
}
