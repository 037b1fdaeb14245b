/**
 * What is known of each process that computes: its facts, the devices on which the driver has listed it
 * since it began, what it can open, and how its environment numbers that. Read once a process and kept
 * until it ends.
 */
import { setImmediate as yieldToLoop } from "node:timers/promises";
import type { Resource } from "../identity/resolve.ts";
import type { ProcessList } from "../nvml/processes.ts";
import type { DeviceNodes, MigCapability } from "../proc/device-nodes.ts";
import type { Environment } from "../proc/environment.ts";
import type { Proc, ProcessFacts } from "../proc/proc.ts";
import { listsBetweenLooks, maxAncestors, maxReadTries, processesPerTurn } from "./limits.ts";

export interface ComputingProcess {
  readonly facts: ProcessFacts;
  /** Devices of the newest list. */
  readonly devices: readonly string[];
  /** Devices since it began, and how many lists had it of which nothing was missing. */
  readonly runtime: { readonly uuids: readonly string[]; readonly pollCount: number };
  readonly nodes: DeviceNodes | undefined;
  readonly environment: Environment | undefined;
  readonly mps: boolean;
  readonly ancestors: readonly ProcessFacts[];
}

export interface Evidence {
  observe(list: ProcessList): Promise<void>;
  readonly processes: readonly ComputingProcess[];
  /** Devices with a listed process that /proc does not know. */
  readonly strangers: ReadonlySet<string>;
}

interface Entry {
  facts: ProcessFacts;
  devices: string[];
  uuids: Set<string>;
  listCount: number;
  pollCount: number;
  tries: number;
  nodes: DeviceNodes | undefined;
  environment: Environment | undefined;
  mps: boolean;
  ancestors: readonly ProcessFacts[];
}

export function createEvidence(deps: { proc: Proc }): Evidence {
  const { proc } = deps;
  const entries = new Map<number, Entry>();
  let strangers = new Set<string>();

  const entryOf = (facts: ProcessFacts): Entry => {
    const before = entries.get(facts.pid);
    if (before?.facts.startTime === facts.startTime) {
      before.facts = facts;
      return before;
    }
    const entry = newEntry(facts, ancestorsOf(proc, facts));
    entries.set(facts.pid, entry);
    return entry;
  };
  return {
    get processes() {
      return [...entries.values()].map(
        ({ facts, devices, uuids, pollCount, nodes, environment, mps, ancestors }) => ({
          facts,
          devices,
          runtime: { uuids: [...uuids].sort(), pollCount },
          nodes,
          environment,
          mps: mps || environment?.mps === true,
          ancestors,
        }),
      );
    },
    get strangers() {
      return strangers;
    },
    async observe(list) {
      const byPid = Map.groupBy(
        list.rows.filter(({ kind }) => kind !== "graphics"),
        ({ pid }) => pid,
      );
      const found = await look(proc, entries, new Set([...byPid.keys(), ...entries.keys()]));
      // From here on at once: whoever looks meanwhile sees one list or the next.
      strangers = new Set();
      const unreadable = new Set(list.missing.keys());
      for (const [pid, rows] of byPid) {
        const facts = found.get(pid);
        if (facts === undefined) {
          for (const { device } of rows) strangers.add(device);
          continue;
        }
        const entry = entryOf(facts);
        entry.listCount += 1;
        if (isWhole(list)) entry.pollCount += 1;
        // A device whose list could not be read this time says nothing about who left it.
        const kept = entry.devices.filter((device) => unreadable.has(device));
        entry.devices = [...new Set([...rows.map(({ device }) => device), ...kept])];
        for (const device of entry.devices) entry.uuids.add(device);
        entry.mps ||= rows.some(({ kind }) => kind === "mps");
      }
      for (const [pid, entry] of entries) {
        const isAlive = found.get(pid)?.startTime === entry.facts.startTime;
        const onUnreadable = entry.devices.some((device) => unreadable.has(device));
        if (!isAlive || (!byPid.has(pid) && !onUnreadable)) entries.delete(pid);
      }
      for (const entry of entries.values()) await readMore(proc, entry);
    },
  };
}

/**
 * Whether who is on it nowhere else is on it alone: a device whose list could not be read may have the
 * process, too. On a lost one nothing computes.
 */
function isWhole({ missing, truncatedCount }: ProcessList): boolean {
  return truncatedCount === 0 && [...missing.values()].every((reason) => reason === "gpu_lost");
}

/** What the kernel says of each pid now; what is known is only asked whether it lives, mostly. */
async function look(
  proc: Proc,
  entries: ReadonlyMap<number, Entry>,
  pids: Iterable<number>,
): Promise<ReadonlyMap<number, ProcessFacts>> {
  const found = new Map<number, ProcessFacts>();
  let looked = 0;
  for (const pid of pids) {
    const before = entries.get(pid);
    const isDue = before === undefined || before.listCount % listsBetweenLooks === 0;
    const isSame = before !== undefined && proc.isAlive(before.facts);
    // An exec may have moved it to another cgroup.
    const facts = isSame && !isDue ? before.facts : proc.facts(pid);
    if (facts) found.set(pid, facts);
    looked += 1;
    if (looked % processesPerTurn === 0) await yieldToLoop();
  }
  return found;
}

function newEntry(facts: ProcessFacts, ancestors: readonly ProcessFacts[]): Entry {
  return {
    facts,
    ancestors,
    devices: [],
    uuids: new Set(),
    listCount: 0,
    pollCount: 0,
    tries: 0,
    nodes: undefined,
    environment: undefined,
    mps: false,
  };
}

async function readMore(proc: Proc, entry: Entry): Promise<void> {
  if (entry.tries >= maxReadTries) return;
  if (entry.environment !== undefined && entry.nodes !== undefined) return;
  entry.tries += 1;
  entry.environment ??= await proc.environment(entry.facts);
  entry.nodes ??= await proc.deviceNodes(entry.facts);
}

/** Outside containers and of its session: what a person or a service manager started together. */
function ancestorsOf(proc: Proc, facts: ProcessFacts): ProcessFacts[] {
  const found: ProcessFacts[] = [];
  if (facts.containerId !== undefined || facts.podUid !== undefined) return found;
  let pid = facts.parentPid;
  while (pid > 1 && found.length < maxAncestors) {
    const parent = proc.facts(pid);
    if (parent === undefined || parent.session !== facts.session) break;
    if (parent.containerId !== undefined) break;
    found.push(parent);
    pid = parent.parentPid;
  }
  return found;
}

/** A device of this node, as far as the mapping of device nodes needs it. */
export interface NodeGpu {
  readonly resource: Resource;
  readonly minor: number | undefined;
  readonly migEnabled: boolean;
  readonly slices: readonly {
    readonly resource: Resource;
    readonly gpuInstanceId: number;
    readonly computeInstanceId: number;
  }[];
}

/** What these nodes open. undefined: a partitioned GPU whose capabilities are not known. */
export function visibleResources(
  nodes: DeviceNodes,
  gpus: readonly NodeGpu[],
  capabilities: ReadonlyMap<number, MigCapability>,
): Resource[] | undefined {
  const open = gpus.filter(({ minor }) => minor !== undefined && nodes.gpus.includes(minor));
  if (capabilities.size === 0 && open.some(({ migEnabled }) => migEnabled)) return undefined;
  const granted = nodes.capabilities.flatMap((minor) => capabilities.get(minor) ?? []);
  return open.flatMap((gpu) => {
    if (!gpu.migEnabled) return [gpu.resource];
    return gpu.slices
      .filter((slice) =>
        granted.some(
          (cap) =>
            cap.gpuMinor === gpu.minor &&
            cap.gpuInstanceId === slice.gpuInstanceId &&
            cap.computeInstanceId === slice.computeInstanceId,
        ),
      )
      .map(({ resource }) => resource);
  });
}
