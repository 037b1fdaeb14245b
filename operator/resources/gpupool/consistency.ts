/**
 * Where the agents, the device plugin and DRA tell of different GPUs: pure. A finding names the node and
 * why; what a node does not offer by one way is not compared with it.
 */
import {
  gpusOf,
  labelCount,
  pluginGpus,
  pluginSlices,
  reportOf,
  type AgentReport,
  type NodeFacts,
  type PoolFacts,
} from "./facts.ts";
import * as limits from "./limits.ts";

/** From the gravest: what the condition says where nodes differ. */
export const findingReasons = [
  "DriverMissing",
  "AgentsSilent",
  "CapacityMismatch",
  "MigReconfiguring",
] as const;
export type FindingReason = (typeof findingReasons)[number];

export interface Finding {
  readonly node: string;
  readonly reason: FindingReason;
  readonly message: string;
}

export interface Consistency {
  readonly findings: readonly Finding[];
  /** Nodes whose agents began too lately to have told everything. */
  readonly collecting: readonly string[];
}

export function consistencyOf(facts: PoolFacts): Consistency {
  const findings: Finding[] = [];
  const collecting: string[] = [];
  for (const node of facts.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const report = reportOf(facts, node);
    if (report === undefined || facts.nowMs - report.lastMs > limits.silentMs) {
      const since = silentSince(facts, node, report);
      if (since === undefined || facts.nowMs - since <= limits.silentMs) collecting.push(node.name);
      else
        findings.push({
          node: node.name,
          reason: "AgentsSilent",
          message: "its agent runs and does not report",
        });
      continue;
    }
    const finding = findingOf(facts, node, report);
    if (finding !== undefined) findings.push({ node: node.name, ...finding });
  }
  return { findings, collecting };
}

/** undefined: it has no agent that runs, which the rollout's condition tells. */
function silentSince(
  facts: PoolFacts,
  node: NodeFacts,
  report: AgentReport | undefined,
): number | undefined {
  const pod = facts.pods.find((each) => each.node === node.name && !each.isDeleting);
  if (pod === undefined || !pod.isReady || !node.isReady) return undefined;
  return Math.max(pod.createdMs, report?.lastMs ?? 0);
}

function findingOf(
  facts: PoolFacts,
  node: NodeFacts,
  report: AgentReport,
): Omit<Finding, "node"> | undefined {
  if (report.trouble !== undefined) return { reason: "DriverMissing", message: report.trouble };
  const difference = differenceOf(facts, node, report);
  if (difference === undefined) return undefined;
  const state = node.labels["nvidia.com/mig.config.state"];
  const isChanging = state === "pending" || state === "rebooting";
  return { reason: isChanging ? "MigReconfiguring" : "CapacityMismatch", message: difference };
}

/** In words; undefined: all tell the same. */
function differenceOf(
  facts: PoolFacts,
  node: NodeFacts,
  { resources }: AgentReport,
): string | undefined {
  const gpus = gpusOf(resources);
  const slices = resources.filter(({ kind }) => kind === "mig");
  const parents = new Set(slices.map(({ gpuUuid }) => gpuUuid)).size;
  const offered = pluginGpus(node.capacity);
  const offeredSlices = pluginSlices(node.capacity);
  const isOffered = offered !== undefined || offeredSlices.size > 0;
  if (isOffered) {
    const strategy =
      node.labels["nvidia.com/mig.strategy"] ?? (offeredSlices.size > 0 ? "mixed" : "none");
    const whole = gpus.size - parents;
    const expected =
      strategy === "single" && slices.length > 0
        ? slices.length
        : strategy === "none"
          ? gpus.size
          : whole;
    if (!isMultiple(offered ?? 0, expected, labelCount(node, "nvidia.com/gpu.replicas"))) {
      return `the device plugin offers ${offered ?? 0} GPUs, the agent sees ${expected}`;
    }
    if (strategy === "mixed") return sliceDifference(slices, offeredSlices);
    return undefined;
  }
  const dra = facts.draGpus.get(node.name);
  return dra === undefined || dra === gpus.size
    ? undefined
    : `ResourceSlices have ${dra} GPUs, the agent sees ${gpus.size}`;
}

function sliceDifference(
  slices: readonly { readonly profile: string }[],
  offered: ReadonlyMap<string, number>,
): string | undefined {
  const seen = new Map<string, number>();
  for (const { profile } of slices) {
    const name = profile.replaceAll("+", ".");
    seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  for (const profile of [...new Set([...seen.keys(), ...offered.keys()])].sort()) {
    const [there, here] = [offered.get(profile) ?? 0, seen.get(profile) ?? 0];
    if (!isMultiple(there, here, undefined)) {
      return `the device plugin offers ${there} slices ${profile}, the agent sees ${here}`;
    }
  }
  return undefined;
}

/** Time-slicing multiplies what is offered, and where no label tells by how much, any multiple fits. */
function isMultiple(offered: number, seen: number, replicas: number | undefined): boolean {
  if (replicas !== undefined && replicas > 1) return offered === seen * replicas;
  return seen === 0 ? offered === 0 : offered >= seen && offered % seen === 0;
}
