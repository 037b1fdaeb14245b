/**
 * What a pool has, in counts: from the agents where they report, else from GPU Feature Discovery's labels,
 * else from what the device plugin or DRA offers. Pure, and stable: the same facts in another order give the
 * same status, which then is not written.
 */
import type { GpuPoolStatus } from "../crds/gpu-pool.ts";
import {
  gpusOf,
  labelCount,
  pluginGpus,
  pluginSlices,
  reportOf,
  type DeviceReport,
  type NodeFacts,
  type PoolFacts,
} from "./facts.ts";
import * as limits from "./limits.ts";

export type Inventory = Pick<GpuPoolStatus, "gpus" | "products" | "mig" | "sampling">;

export function inventoryOf(facts: PoolFacts): Inventory {
  const nodes = facts.nodes.map((node) => countNode(facts, node));
  const sum = (of: (node: NodeCount) => number): number =>
    nodes.reduce((total, node) => total + of(node), 0);
  return {
    gpus: {
      total: sum(({ total }) => total),
      allocatable: sum(({ allocatable }) => allocatable),
      allocated: sum(({ allocated }) => allocated),
      unhealthy: sum(({ unhealthy }) => unhealthy),
    },
    products: productsOf(nodes),
    mig: migOf(nodes),
    ...samplingOf(facts),
  };
}

interface NodeCount {
  readonly node: NodeFacts;
  readonly devices: readonly DeviceReport[] | undefined;
  readonly total: number;
  readonly allocatable: number;
  readonly allocated: number;
  readonly unhealthy: number;
}

function countNode(facts: PoolFacts, node: NodeFacts): NodeCount {
  const report = reportOf(facts, node);
  const devices = report?.resources;
  const gpus = gpusOf(devices ?? []);
  const offered = offeredGpus(facts, node, devices);
  const total = devices === undefined ? (labelledGpus(node) ?? offered ?? 0) : gpus.size;
  const lost = [...gpus.values()].filter((all) => all.some(({ isLost }) => isLost)).length;
  const withheld = Math.max(0, (offered ?? 0) - (offeredGpus(facts, node, devices, true) ?? 0));
  return {
    node,
    devices,
    total,
    allocatable: Math.min(total, offeredGpus(facts, node, devices, true) ?? 0),
    allocated: [...gpus.values()].filter((all) => all.some((each) => each.isAllocated)).length,
    unhealthy: Math.min(total, Math.max(lost, withheld)),
  };
}

/** Under strategy `single` the label counts slices, and says so in the product. */
function labelledGpus(node: NodeFacts): number | undefined {
  const isSlices = /-MIG-/.test(node.labels["nvidia.com/gpu.product"] ?? "");
  return isSlices ? undefined : labelCount(node, "nvidia.com/gpu.count");
}

/** Whole GPUs of which something can be asked for; undefined: nobody offers any. */
function offeredGpus(
  facts: PoolFacts,
  node: NodeFacts,
  devices: readonly DeviceReport[] | undefined,
  isAllocatable = false,
): number | undefined {
  const list = isAllocatable ? node.allocatable : node.capacity;
  const plain = pluginGpus(list);
  const slices = [...pluginSlices(list).values()].reduce((sum, count) => sum + count, 0);
  const partitioned = new Set(
    devices?.filter(({ kind }) => kind === "mig").map(({ gpuUuid }) => gpuUuid),
  ).size;
  if (plain === undefined && slices === 0) return facts.draGpus.get(node.name);
  const isSingle = node.labels["nvidia.com/mig.strategy"] === "single" && partitioned > 0;
  // Slices offered under the plain name: how many GPUs they are parts of only the agent knows.
  if (isSingle) return (plain ?? 0) > 0 ? partitioned : 0;
  const replicas = Math.max(1, labelCount(node, "nvidia.com/gpu.replicas") ?? 1);
  return Math.floor((plain ?? 0) / replicas) + (slices > 0 ? partitioned : 0);
}

/** The agent's model under the name that GPU Feature Discovery gives it. */
const productName = (model: string): string => model.trim().replaceAll(/[^A-Za-z0-9._-]+/g, "-");

function productsOf(nodes: readonly NodeCount[]): NonNullable<Inventory["products"]> {
  const found = new Map<
    string,
    { count: number; memory: Set<number>; drivers: Set<string>; migCapable: boolean }
  >();
  const add = (product: string, count: number) => {
    const entry = found.get(product) ?? {
      count: 0,
      memory: new Set(),
      drivers: new Set(),
      migCapable: false,
    };
    entry.count += count;
    found.set(product, entry);
    return entry;
  };
  for (const { node, devices, total } of nodes) {
    const isCapable = node.labels["nvidia.com/mig.capable"] === "true";
    if (devices === undefined) {
      const label = (node.labels["nvidia.com/gpu.product"] ?? "").replace(/-(SHARED|MIG-.*)$/, "");
      if (label === "" || total === 0) continue;
      const entry = add(label, total);
      entry.migCapable ||= isCapable;
      const memory = labelCount(node, "nvidia.com/gpu.memory");
      if (memory !== undefined) entry.memory.add(memory);
      const driver = node.labels["nvidia.com/cuda.driver-version.full"];
      if (driver !== undefined) entry.drivers.add(driver);
      continue;
    }
    for (const parts of gpusOf(devices).values()) {
      const [first] = parts;
      if (first === undefined) continue;
      const entry = add(productName(first.model), 1);
      entry.migCapable ||= isCapable || parts.some(({ kind }) => kind === "mig");
      if (first.driverVersion !== "") entry.drivers.add(first.driverVersion);
      if (first.kind === "whole" && first.memoryMib !== undefined)
        entry.memory.add(first.memoryMib);
    }
  }
  return [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, limits.products)
    .map(([product, { count, memory, drivers, migCapable }]) => ({
      product,
      count,
      // Cards of one product that differ in memory have none in common.
      ...(memory.size === 1 ? { memoryMiB: Math.max(...memory) } : {}),
      ...(drivers.size > 0
        ? { driverVersions: [...drivers].sort().slice(0, limits.driverVersions) }
        : {}),
      migCapable,
    }));
}

function migOf(nodes: readonly NodeCount[]): NonNullable<Inventory["mig"]> {
  const found = new Map<string, { count: number; allocated: number }>();
  const strategies = new Set<string>();
  for (const { node, devices } of nodes) {
    const slices = devices?.filter(({ kind }) => kind === "mig") ?? [];
    for (const { profile, isAllocated } of slices) {
      const entry = found.get(profile) ?? { count: 0, allocated: 0 };
      entry.count += 1;
      if (isAllocated) entry.allocated += 1;
      found.set(profile, entry);
    }
    if (devices === undefined) {
      for (const [profile, count] of pluginSlices(node.capacity)) {
        const entry = found.get(profile) ?? { count: 0, allocated: 0 };
        found.set(profile, { ...entry, count: entry.count + count });
      }
    }
    if (slices.length > 0 || pluginSlices(node.capacity).size > 0) {
      strategies.add(node.labels["nvidia.com/mig.strategy"] ?? "mixed");
    }
  }
  const devices = [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, limits.profiles)
    .map(([profile, counts]) => ({ profile, ...counts }));
  const isSingle = strategies.size === 1 && strategies.has("single");
  return {
    strategy: found.size === 0 ? "None" : isSingle ? "Single" : "Mixed",
    ...(devices.length > 0 ? { devices } : {}),
  };
}

/** The slowest agent's period: what a reader of the pool's series can count on. */
function samplingOf(facts: PoolFacts): Pick<Inventory, "sampling"> {
  const reports = facts.nodes.flatMap((node) => reportOf(facts, node) ?? []);
  const periods = reports.flatMap(({ periodMs }) => periodMs ?? []);
  if (periods.length === 0) return {};
  const slower = reports.filter(isReduced).length;
  return {
    sampling: {
      effectivePeriodMilliseconds: Math.round(Math.max(...periods)),
      reason:
        slower === 0
          ? "AsConfigured"
          : `${slower} of ${reports.length} agents sample less often to stay within overheadBudgetMillicores`,
    },
  };
}

export const isReduced = (report: {
  readonly periodMs: number | undefined;
  readonly wantedPeriodMs: number | undefined;
}): boolean => (report.periodMs ?? 0) > (report.wantedPeriodMs ?? Infinity);
