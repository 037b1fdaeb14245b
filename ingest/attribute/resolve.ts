/**
 * Which devices a span ran on: a pure function of what the span and its process say and of the intervals
 * that agents reported, as they were at the span's start.
 *
 * It never guesses. An answer without devices names the reason and, where there are some, the
 * candidates. What a process says of its own UUIDs is checked against what its container was given.
 * Where tenants share a cluster, a pod binds only spans of its namespace's tenant: a payload proves
 * nothing about pods (design §10).
 */
import {
  levelRank,
  otherOrdinals,
  wholeAllocation,
  wholeSet,
  wholeSetLevel,
} from "@axonize/core/contract/attribution";
import type { Attributed, DeviceQuestion } from "../decode/devices.ts";
import type { ResourceFacts } from "../decode/facts.ts";
import * as limits from "./limits.ts";
import { pidKey, podNameKey, type IdentityView, type Interval } from "./view.ts";

export interface ResolveOptions {
  /** Several tenants share what the agents report. */
  readonly checksTenants: boolean;
}

/** Said with a level that stands on `SoleOrdinal`. */
export const onlyOrdinal = "the only ordinal it reported";
/** The one ordinal that a process ever reported; undefined: several, or nobody knows. */
export type SoleOrdinal = (process: string) => number | undefined;

export function resolve(
  view: IdentityView,
  question: DeviceQuestion,
  options: ResolveOptions,
  soleOrdinal: SoleOrdinal = () => undefined,
): Attributed {
  const known = ofProcess(view, question.facts);
  const window = windowOf(known, question.startMs);
  const stranger = options.checksTenants ? ofOthers(view, known, question.tenantNum) : false;
  if (stranger) {
    const reason = "namespace_of_another_tenant";
    return { ...nothing, ...window, level: "identity.conflict", reason };
  }
  const soon = at(known, question.startMs);
  const then = { ...soon, intervals: ofNamed(soon.intervals, question.facts) };
  const answer =
    byItself(then.intervals, question, options) ??
    (question.ordinals.length > 0
      ? byOrdinals(then.intervals, question, soleOrdinal)
      : bySet(then.intervals, known.length > 0));
  const late = then.isLate && answer.level !== "" ? [learnedLate] : [];
  const { devices, level, candidates, reason } = answer;
  const evidence = late.length === 0 ? answer.evidence : distinct([...answer.evidence, ...late]);
  return { devices, level, candidates, reason, evidence, ...window };
}
const lateOf = ({ fromMs }: Interval, startMs: number): readonly string[] =>
  fromMs > startMs ? [learnedLate] : [];

const learnedLate = "its binding was first seen after the span had begun";

type Answer = Omit<Attributed, "fromMs" | "toMs">;
const nothing: Answer = { devices: [], level: "", candidates: [], reason: "", evidence: [] };

/**
 * Intervals of the process's container, or of the process where there is no container. The surest name
 * that anybody knows decides; a weaker one is not asked then.
 */
function ofProcess(view: IdentityView, facts: ResourceFacts): readonly Interval[] {
  const { podUid, namespace, pod, containerId, peer, pid, node } = facts;
  const byUid = podUid === "" ? none : ofContainer(ofPod(view, facts), facts);
  if (byUid.length > 0) return byUid;
  const byContainer = containerId === "" ? none : view.by("containerId", containerId);
  if (byContainer.length > 0) return byContainer;
  if (pod !== "") return ofContainer(view.by("podName", podNameKey(namespace, pod)), facts);
  if (podUid !== "" || containerId !== "") return none;
  if (peer === undefined) {
    return pid === undefined || node === "" ? none : view.by("ownPid", pidKey(node, pid));
  }
  // What the kernel says of the other end of the connection; a forwarding collector names pods itself.
  const byPeerPod = peer.podUid === "" ? none : view.by("podUid", peer.podUid);
  if (byPeerPod.length > 0) return byPeerPod;
  const byPeer = peer.containerId === "" ? none : view.by("containerId", peer.containerId);
  return byPeer.length > 0 ? byPeer : view.by("pid", pidKey(peer.node, peer.pid));
}

const none: readonly Interval[] = [];

/**
 * What bears the pod's uid; besides it, where no allocation does yet, what the kubelet listed under the
 * pod's name: its answers have no uids, and the agent learns them a moment later.
 */
function ofPod(view: IdentityView, { podUid, namespace, pod }: ResourceFacts): readonly Interval[] {
  const known = view.by("podUid", podUid);
  if (pod === "" || known.length === 0) return known;
  if (known.some(({ kind }) => kind === "allocation")) return known;
  const named = view.by("podName", podNameKey(namespace, pod));
  return [...known, ...named.filter((each) => each.podUid === "")];
}

/** A pod's intervals, of the named container where one is named. */
function ofContainer(intervals: readonly Interval[], facts: ResourceFacts): readonly Interval[] {
  const isAll = ({ container }: Interval): boolean =>
    container === facts.container || container === "";
  if (facts.container === "" || intervals.every(isAll)) return intervals;
  return intervals.filter(isAll);
}

/** Where the named container was known by then, processes whose container was not yet say nothing of it. */
function ofNamed(then: readonly Interval[], { container }: ResourceFacts): readonly Interval[] {
  if (container === "" || then.every((each) => each.container === container)) return then;
  const named = then.filter((each) => each.container === container);
  return named.length > 0 ? named : then;
}

function ofOthers(view: IdentityView, known: readonly Interval[], tenantNum: number): boolean {
  return known.some(
    ({ cluster, namespace }) => namespace !== "" && view.tenantOf(cluster, namespace) !== tenantNum,
  );
}

/** The stretch around t in which no interval begins or ends: the answer is the same all through it. */
function windowOf(known: readonly Interval[], t: number): { fromMs: number; toMs: number } {
  let fromMs = -Infinity;
  let toMs = Infinity;
  const edge = (at: number): void => {
    if (at <= t) {
      if (at > fromMs) fromMs = at;
    } else if (at < toMs) toMs = at;
  };
  for (const interval of known) {
    edge(interval.fromMs);
    edge(interval.fromMs - limits.learnedLateMs);
    edge(interval.toMs);
  }
  return { fromMs, toMs };
}

/**
 * What was true at t; where nothing was yet, what was first seen soon after and still holds. Nothing
 * that ended before t says anything about it.
 */
function at(
  known: readonly Interval[],
  t: number,
): { intervals: readonly Interval[]; isLate: boolean } {
  const isThen = ({ fromMs, toMs }: Interval): boolean => fromMs <= t && t < toMs;
  if (known.every(isThen)) return { intervals: known, isLate: false };
  const then = known.filter(isThen);
  if (then.length > 0) return { intervals: [...then, ...soonListed(known, t)], isLate: false };
  if (known.some(({ toMs }) => toMs <= t)) return { intervals: [], isLate: false };
  const soon = known.filter(
    ({ fromMs, toMs }) => toMs === Infinity && fromMs - t <= limits.learnedLateMs,
  );
  return { intervals: soon, isLate: soon.length > 0 };
}

/**
 * Bindings of processes that the driver listed soon after t, in a container that was known by then: a
 * process does not renumber, so they speak for its whole life. Not where its pid was another's before.
 */
function soonListed(known: readonly Interval[], t: number): readonly Interval[] {
  return known.filter(
    (each) =>
      each.pid !== undefined &&
      each.ordinal !== undefined &&
      each.toMs === Infinity &&
      t < each.fromMs &&
      each.fromMs - t <= limits.learnedLateMs &&
      !known.some(
        ({ pid, ownPid, fromMs }) =>
          fromMs <= t && pid !== undefined && (pid === each.pid || ownPid === each.ownPid),
      ),
  );
}

/** The process's own word; undefined: it said none. */
function byItself(
  then: readonly Interval[],
  question: DeviceQuestion,
  options: ResolveOptions,
): Answer | undefined {
  const { sdkUuids, ordinals } = question;
  if (sdkUuids.length === 0) return undefined;
  const given = new Set(then.flatMap(({ uuids, candidates }) => [...uuids, ...candidates]));
  const level = ordinals.length > 0 || question.isNamed ? "exact.sdk" : wholeSetLevel(sdkUuids);
  const evidence = ["the process reported its UUID"];
  if (sdkUuids.every((uuid) => given.has(uuid))) {
    return {
      ...nothing,
      devices: sdkUuids,
      level,
      evidence: [...evidence, "its container has it"],
    };
  }
  if (given.size > 0) {
    return {
      ...nothing,
      level: "identity.conflict",
      candidates: [...given],
      reason: "sdk_contradicts",
      evidence: ["the process reported a device that its container was not given"],
    };
  }
  // Nobody can confirm it. On a machine of one's own that is enough, among tenants it is not.
  if (options.checksTenants) {
    return { ...nothing, level: "ambiguous", candidates: sdkUuids, reason: "allocation_unknown" };
  }
  return { ...nothing, devices: sdkUuids, level, evidence };
}

function byOrdinals(
  then: readonly Interval[],
  question: DeviceQuestion,
  soleOrdinal: SoleOrdinal,
): Answer {
  if (then.length === 0) return nothing;
  const { ordinals, facts } = question;
  const containers = containersOf(then);
  const pid = facts.peer?.pid;
  const mine = containers.find((of) => pid !== undefined && of.some((each) => each.pid === pid));
  const [first] = containers;
  const one = mine ?? (containers.length === 1 ? first : undefined);
  if (one === undefined) return severalContainers(containers.map(ofOneContainer));
  const [only = 0] = ordinals;
  if (ordinals.length === 1) return byOrdinal(one, only, question, soleOrdinal);
  const answers = ordinals.map((ordinal) => byOrdinal(one, ordinal, question, soleOrdinal));
  const worst = answers.toSorted((a, b) => levelRank(a.level) - levelRank(b.level))[0] ?? nothing;
  const evidence = distinct(answers.flatMap((each) => each.evidence));
  const isSure = answers.every(({ devices }) => devices.length > 0);
  if (isSure) {
    return { ...worst, devices: distinct(answers.flatMap(({ devices }) => devices)), evidence };
  }
  const candidates = distinct(answers.flatMap((each) => [...each.devices, ...each.candidates]));
  return { ...worst, devices: [], candidates, evidence };
}

function byOrdinal(
  then: readonly Interval[],
  ordinal: number,
  { ordinals, facts, startMs }: DeviceQuestion,
  soleOrdinal: SoleOrdinal,
): Answer {
  const bindings = then.filter((each) => each.kind === "binding" && each.ordinal === ordinal);
  // A process's own binding is surer than one for all of its container's.
  const mine = ofFacts(bindings, facts);
  if (mine?.reason === otherOrdinals && ordinals.length === 1) {
    const why =
      ordinal === 0 && showsOne(facts.visibleDevices)
        ? "its environment shows it one device"
        : soleOrdinal(processKey(mine)) === ordinal
          ? onlyOrdinal
          : undefined;
    const evidence = [
      "the only device the process computes on",
      why ?? "",
      ...lateOf(mine, startMs),
    ];
    if (why) return { ...nothing, devices: mine.candidates, level: "exact.runtime", evidence };
  }
  const shared = bindings.find((each) => each.pid === undefined);
  const found = mine ?? shared;
  if (found !== undefined) {
    const answer = fromBinding(found);
    const late = lateOf(found, startMs);
    return late.length === 0 ? answer : { ...answer, evidence: [...answer.evidence, ...late] };
  }
  const set = bySet(then, true);
  if (set.devices.length === 1 && ordinal === 0) return set;
  if (set.devices.length === 0) return set;
  const reason = ordinal < set.devices.length ? "environment_unknown" : "ordinal_out_of_range";
  return { ...nothing, level: "ambiguous", candidates: set.devices, reason };
}

/** The bindings' own process: as the connection names it, else as the resource does, if that is one. */
function ofFacts(bindings: readonly Interval[], facts: ResourceFacts): Interval | undefined {
  const peer = facts.peer?.pid;
  const byPeer = bindings.filter(({ pid }) => pid !== undefined && pid === peer);
  if (byPeer.length === 1) return byPeer[0];
  const byOwn = bindings.filter(({ ownPid }) => ownPid !== undefined && ownPid === facts.pid);
  return byOwn.length === 1 ? byOwn[0] : undefined;
}

/**
 * The binding that waits for the word of which ordinals its process ever reported; undefined: there is
 * none for this question.
 */
export function waitingBinding(
  view: IdentityView,
  question: DeviceQuestion,
  options: ResolveOptions,
): Interval | undefined {
  const [ordinal] = question.ordinals;
  if (question.ordinals.length !== 1 || question.sdkUuids.length > 0) return undefined;
  const known = ofProcess(view, question.facts);
  if (options.checksTenants && ofOthers(view, known, question.tenantNum)) return undefined;
  const then = at(known, question.startMs).intervals;
  const found = ofFacts(
    then.filter((each) => each.kind === "binding" && each.ordinal === ordinal),
    question.facts,
  );
  return found?.reason === otherOrdinals ? found : undefined;
}

/** Keys of the processes that may have sent this: the named one, or any of its container's. */
export function possibleProcesses(view: IdentityView, facts: ResourceFacts): readonly string[] {
  const processes = ofProcess(view, facts).filter(({ pid }) => pid !== undefined);
  const named = processes.filter(
    ({ pid, ownPid }) => pid === facts.peer?.pid || ownPid === facts.pid,
  );
  const isNamed = facts.pid !== undefined || named.length > 0;
  return distinct((isNamed ? named : processes).map(processKey));
}

/** A process of a node: pids that are used again only make an answer less sure. */
export const processKey = ({ cluster, node, pid }: Interval): string =>
  `${cluster}\0${node}\0${String(pid)}`;

const showsOne = (visibleDevices: string | undefined): boolean =>
  visibleDevices !== undefined && /^\s*[^,\s-][^,\s]*\s*$/.test(visibleDevices);

/** A span without an ordinal belongs to all that its container was given. */
function bySet(then: readonly Interval[], isKnown: boolean): Answer {
  if (then.length === 0) {
    return isKnown ? { ...nothing, level: "unattributed", reason: "no_device" } : nothing;
  }
  const containers = containersOf(then);
  const answers = containers.map(ofOneContainer).filter(({ level }) => level !== "");
  const [first] = answers;
  if (first === undefined) return { ...nothing, level: "unattributed", reason: "no_device" };
  return answers.length === 1 ? first : severalContainers(answers);
}

function containersOf(then: readonly Interval[]): readonly (readonly Interval[])[] {
  const nameOf = ({ container, containerId }: Interval): string => container || containerId;
  const [first] = then;
  const name = first && nameOf(first);
  if (then.every((each) => nameOf(each) === name)) return [then];
  return [...Map.groupBy(then, nameOf).values()];
}

function severalContainers(answers: readonly Answer[]): Answer {
  const candidates = distinct(answers.flatMap((each) => [...each.devices, ...each.candidates]));
  return { ...nothing, level: "ambiguous", candidates, reason: "several_containers" };
}

function ofOneContainer(then: readonly Interval[]): Answer {
  const allocated = then.filter(({ kind }) => kind === "allocation").flatMap(({ uuids }) => uuids);
  const given = wholeSet(allocated);
  if (given !== undefined) {
    return { ...nothing, devices: given.uuids, level: given.level, evidence: [wholeAllocation] };
  }
  const sets = then.filter((each) => each.kind === "binding" && each.ordinal === undefined);
  // Nobody allocates on a host without a kubelet, and nothing to a privileged container.
  const whole =
    sets.find(({ pid }) => pid === undefined) ?? (sets.length === 1 ? sets[0] : undefined);
  if (whole !== undefined) return fromBinding(whole);
  const candidates = distinct(sets.flatMap((each) => [...each.uuids, ...each.candidates]));
  if (candidates.length === 0) return nothing;
  return { ...nothing, level: "ambiguous", candidates, reason: "several_processes" };
}

function fromBinding(binding: Interval): Answer {
  const { uuids, level, candidates, reason, warnings, evidence } = binding;
  return {
    devices: uuids,
    level,
    candidates,
    reason,
    evidence:
      warnings.length === 0
        ? evidence
        : [...evidence, ...warnings.map((warning) => `warning: ${warning}`)],
  };
}

/** Mostly of one, which needs no set. */
function distinct<T>(items: readonly T[]): readonly T[] {
  return items.length < 2 ? items : [...new Set(items)];
}
