/**
 * From what is known of a node's containers and processes to what their ordinals mean: runs the resolver
 * for every container and every process that computes, and puts together what agrees. Pure.
 *
 * A container's binding speaks for all its processes, so that a span which names no process is joined, too;
 * a process has bindings of its own only where they say more. Outside containers, a process's set is what
 * it computes on, and its ancestors of the same session have the set of their workers.
 */
import type { ContainerName, ObservedBinding } from "./records.ts";
import { levelRank, otherOrdinals } from "@axonize/core/contract/attribution";
import { loneContext, resolve, type Evidence, type Resolution, type Resource } from "./resolve.ts";

export interface KnownContainer {
  /** Its id where it is known, else its names; the same for its processes. */
  readonly key: string;
  readonly owner: ContainerName | undefined;
  readonly podUid: string | undefined;
  readonly containerId: string | undefined;
  /** undefined: no kubelet told. */
  readonly allocated: readonly Resource[] | undefined;
  readonly privileged: boolean;
}

export interface KnownProcess {
  readonly process: NonNullable<ObservedBinding["process"]>;
  /** undefined: in no container. */
  readonly containerKey: string | undefined;
  /** Those of its ancestors that are outside containers and of its session, nearest first. */
  readonly ancestors: readonly NonNullable<ObservedBinding["process"]>[];
  readonly visible: readonly Resource[] | undefined;
  readonly environment: Evidence["environment"];
  readonly mps: boolean;
  readonly remaps: boolean;
  /** Devices on which the driver has listed it since it began. */
  readonly runtime: { readonly uuids: readonly string[]; readonly pollCount: number };
}

/** No machine shows one container more; a larger ordinal is out of range in any case. */
const maxOrdinals = 16;

export function bindingsOf(
  containers: Iterable<KnownContainer>,
  processes: readonly KnownProcess[],
): ObservedBinding[] {
  const byContainer = Map.groupBy(processes, ({ containerKey }) => containerKey);
  const found: ObservedBinding[] = [];
  for (const container of containers) {
    found.push(...ofContainer(container, byContainer.get(container.key) ?? []));
  }
  for (const process of byContainer.get(undefined) ?? []) found.push(...ofHostProcess(process));
  found.push(...ofAncestors(byContainer.get(undefined) ?? []));
  return found;
}

function ofContainer(
  container: KnownContainer,
  processes: readonly KnownProcess[],
): ObservedBinding[] {
  const { owner, podUid, containerId } = container;
  const runtime = [...new Set(processes.flatMap((each) => each.runtime.uuids))];
  const evidenceOf = (process: KnownProcess | undefined, ordinal: number | undefined): Evidence =>
    evidence(process, { container, ordinal, runtime });
  const found: ObservedBinding[] = [];
  for (const ordinal of [undefined, ...ordinalsOf(container, processes)]) {
    const each = processes.map((process) => ({
      process,
      resolution: resolve(evidenceOf(process, ordinal)),
    }));
    const shared =
      ordinal === undefined || each.length === 0
        ? resolve(evidenceOf(together(processes), ordinal))
        : agreed(each.map((e) => e.resolution));
    const whose = { owner, podUid, containerId, ordinal };
    found.push(bindingFrom({ ...whose, process: undefined }, shared));
    if (ordinal === undefined) continue;
    for (const { process, resolution } of each) {
      const own = ofOneContext(process, resolution);
      const isShared = own.uuids.join() === shared.uuids.join() && own.level === shared.level;
      // On one device so far: told from the first list on, so that what the next one adds holds from then.
      const mayDecide = own.uuids.length === 0 && process.runtime.uuids.length === 1;
      if (isShared && !mayDecide) continue;
      found.push(bindingFrom({ ...whose, process: process.process }, own));
    }
  }
  return found;
}

/**
 * Where the rules give nothing: on one device alone, the ordinal that a process uses is that device. Of
 * which ordinals it uses only its spans tell, so ingest decides; it is said of this process alone,
 * because another one of the container may have a device of its own.
 */
function ofOneContext(process: KnownProcess, resolution: Resolution): Resolution {
  const uuid = loneContext(process.runtime);
  if (uuid === undefined || resolution.uuids.length > 0) return resolution;
  const evidence = ["the process computes on it alone"];
  return { ...resolution, level: "ambiguous", candidates: [uuid], reason: otherOrdinals, evidence };
}

/** What the container's processes have between them. */
function together(processes: readonly KnownProcess[]): KnownProcess | undefined {
  const [first] = processes;
  if (first === undefined) return undefined;
  const uuids = [...new Set(processes.flatMap(({ runtime }) => runtime.uuids))].sort();
  const pollCount = Math.min(...processes.map(({ runtime }) => runtime.pollCount));
  const visible = processes.map((each) => each.visible).find((each) => each !== undefined);
  return { ...first, visible, runtime: { uuids, pollCount } };
}

function ofHostProcess(process: KnownProcess): ObservedBinding[] {
  const nobody = { owner: undefined, podUid: undefined, containerId: undefined };
  const ordinals = Array.from({ length: countOf(process.visible) }, (_, ordinal) => ordinal);
  return [undefined, ...ordinals].map((ordinal) => {
    const known = evidence(process, { container: undefined, ordinal, runtime: [] });
    // All the host's devices are open to it; its set is what it uses of them.
    const visible = ordinal === undefined ? undefined : known.visible;
    const resolution = resolve({ ...known, visible });
    return bindingFrom(
      { ...nobody, process: process.process, ordinal },
      ordinal === undefined ? resolution : ofOneContext(process, resolution),
    );
  });
}

/** A server that has its workers compute for it, e.g. vLLM's API server and its engine. */
function ofAncestors(processes: readonly KnownProcess[]): ObservedBinding[] {
  const own = new Set(processes.map(({ process }) => `${process.pid} ${process.startTime}`));
  const workers = new Map<string, { process: KnownProcess["process"]; uuids: Set<string> }>();
  for (const { ancestors, runtime } of processes) {
    if (runtime.pollCount < 2) continue;
    for (const process of ancestors) {
      const key = `${process.pid} ${process.startTime}`;
      if (own.has(key)) continue;
      const entry = workers.get(key) ?? { process, uuids: new Set() };
      for (const uuid of runtime.uuids) entry.uuids.add(uuid);
      workers.set(key, entry);
    }
  }
  return [...workers.values()].map(({ process, uuids }) => ({
    owner: undefined,
    podUid: undefined,
    containerId: undefined,
    process,
    ordinal: undefined,
    level: "derived.workers",
    resourceUuids: [...uuids].sort(),
    candidates: [],
    reason: undefined,
    warnings: [],
    evidence: ["the processes that it started compute on it"],
  }));
}

function evidence(
  process: KnownProcess | undefined,
  of: {
    container: KnownContainer | undefined;
    ordinal: number | undefined;
    runtime: readonly string[];
  },
): Evidence {
  return {
    ordinal: of.ordinal,
    allocated: of.container?.allocated,
    visible: process?.visible,
    privileged: of.container?.privileged ?? false,
    environment: process?.environment,
    runtime: process?.runtime,
    containerRuntime: of.runtime,
    ordinalsReported: undefined,
    sdkUuid: undefined,
    mps: process?.mps ?? false,
    remaps: process?.remaps ?? false,
  };
}

function ordinalsOf(container: KnownContainer, processes: readonly KnownProcess[]): number[] {
  const counts = [
    countOf(container.allocated),
    ...processes.map(({ visible }) => countOf(visible)),
  ];
  return Array.from({ length: Math.max(...counts) }, (_, ordinal) => ordinal);
}
function countOf(resources: readonly Resource[] | undefined): number {
  return Math.min(resources?.length ?? 0, maxOrdinals);
}

/** What all say, as sure as the least sure; or that they differ, with what each may have meant. */
function agreed(resolutions: readonly Resolution[]): Resolution {
  const ordered = resolutions.toSorted((a, b) => levelRank(a.level) - levelRank(b.level));
  const [least] = ordered;
  if (least === undefined) throw new Error("assertion failed: nobody to agree");
  const warnings = [...new Set(resolutions.flatMap((each) => each.warnings))];
  const isSame = resolutions.every((each) => each.uuids.join() === least.uuids.join());
  if (isSame) return { ...least, warnings };
  const all = resolutions.flatMap((each) => [...each.uuids, ...each.candidates]);
  return {
    level: "ambiguous",
    uuids: [],
    candidates: [...new Set(all)].sort(),
    reason: least.uuids.length === 0 ? (least.reason ?? "processes_differ") : "processes_differ",
    warnings,
    evidence: [],
  };
}

function bindingFrom(
  whose: Pick<ObservedBinding, "owner" | "podUid" | "containerId" | "process" | "ordinal">,
  { level, uuids, candidates, reason, warnings, evidence: words }: Resolution,
): ObservedBinding {
  return { ...whose, level, resourceUuids: uuids, candidates, reason, warnings, evidence: words };
}
