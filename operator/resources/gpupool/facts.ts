/**
 * What is known of a pool's nodes, from three witnesses: the cluster (Node objects, ResourceSlices, agents'
 * pods), the agents (PostgreSQL), and nobody else. Plain data; `inventory.ts` and `consistency.ts` read it.
 */
export interface NodeFacts {
  readonly uid: string;
  readonly name: string;
  readonly createdMs: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: Readonly<Record<string, string>>;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly isReady: boolean;
}

/** The newest life of a node's agent. */
export interface AgentReport {
  readonly lastMs: number;
  readonly driverVersion: string | undefined;
  /** `reason: words`; undefined: it has readings. */
  readonly trouble: string | undefined;
  readonly periodMs: number | undefined;
  readonly wantedPeriodMs: number | undefined;
  readonly resources: readonly DeviceReport[];
}

/** A GPU or a slice that is there now. */
export interface DeviceReport {
  readonly uuid: string;
  readonly gpuUuid: string;
  readonly kind: "whole" | "mig";
  /** `1g.10gb`; empty for a whole GPU. */
  readonly profile: string;
  readonly model: string;
  readonly driverVersion: string;
  readonly memoryMib: number | undefined;
  readonly isLost: boolean;
  readonly isAllocated: boolean;
}

/** Of an agent's pod. */
export interface PodFacts {
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly createdMs: number;
  readonly isReady: boolean;
  readonly isDeleting: boolean;
  /** `ImagePullBackOff`, `CrashLoopBackOff`…; undefined: its container runs or begins. */
  readonly waiting: { readonly reason: string; readonly message: string } | undefined;
}

export interface PoolFacts {
  readonly nowMs: number;
  readonly nodes: readonly NodeFacts[];
  /** By name of the node. */
  readonly reports: ReadonlyMap<string, AgentReport>;
  readonly pods: readonly PodFacts[];
  /** GPUs in the node's ResourceSlices (driver `gpu.nvidia.com`); without DRA the map is empty. */
  readonly draGpus: ReadonlyMap<string, number>;
  /** A process of ingest was heard of lately: agents could report if they lived. */
  readonly isIngestUp: boolean;
}

/** Of this very node: one that was added again under the same name has no report yet. */
export function reportOf(facts: PoolFacts, node: NodeFacts): AgentReport | undefined {
  const report = facts.reports.get(node.name);
  return report !== undefined && report.lastMs >= node.createdMs ? report : undefined;
}

/** "8" → 8; what is no whole number counts as nothing. */
export function countIn(list: Readonly<Record<string, string>>, name: string): number | undefined {
  const text = list[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Device plugins' names: with time-slicing `….shared` beside or instead of the plain one. */
export function pluginGpus(list: Readonly<Record<string, string>>): number | undefined {
  const plain = countIn(list, "nvidia.com/gpu");
  const shared = countIn(list, "nvidia.com/gpu.shared");
  return plain === undefined && shared === undefined ? undefined : (plain ?? 0) + (shared ?? 0);
}

/** `nvidia.com/mig-1g.10gb` → `1g.10gb`; a `+` of a profile is a dot there. */
export function pluginSlices(list: Readonly<Record<string, string>>): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of Object.keys(list)) {
    const profile = /^nvidia\.com\/mig-(.+?)(\.shared)?$/.exec(name)?.[1];
    if (profile === undefined) continue;
    found.set(profile, (found.get(profile) ?? 0) + (countIn(list, name) ?? 0));
  }
  return found;
}

export const gpusOf = (devices: readonly DeviceReport[]): Map<string, DeviceReport[]> =>
  Map.groupBy(devices, ({ gpuUuid }) => gpuUuid);

export const labelCount = (node: NodeFacts, name: string): number | undefined =>
  countIn(node.labels, name);
