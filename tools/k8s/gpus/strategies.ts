/**
 * Which resources a node's devices become, as NVIDIA's device plugin has it: MIG strategies `none`,
 * `single` and `mixed`, time-slicing into replicas (`GPU-…::0`), and what a container is told of its devices.
 */
import type { Resource } from "./plugin.ts";
import type { PluginDevice } from "./protocol.ts";

export interface Gpu {
  readonly uuid: string;
  readonly numaNode?: number;
  /** Empty: not partitioned. */
  readonly slices: readonly { readonly uuid: string; readonly profile: string }[];
}

export interface Strategy {
  /**
   * `none` gives whole GPUs and hides slices, `single` gives slices as `nvidia.com/gpu`, `mixed` gives
   * each profile a resource of its own.
   */
  readonly mig: "none" | "single" | "mixed";
  /** Containers that share a device. 1: nobody shares. */
  readonly replicas: number;
  /** Shared resources get a name that says so. */
  readonly renameShared?: boolean;
}

export function resourcesOf(gpus: readonly Gpu[], strategy: Strategy): Resource[] {
  const byName = new Map<string, PluginDevice[]>();
  const add = (name: string, uuid: string, numaNode: number | undefined): void => {
    const shared = strategy.replicas > 1 && strategy.renameShared === true ? ".shared" : "";
    const list = byName.get(`${name}${shared}`) ?? [];
    byName.set(`${name}${shared}`, list);
    for (let replica = 0; replica < strategy.replicas; replica += 1) {
      list.push({
        ID: strategy.replicas > 1 ? `${uuid}::${replica}` : uuid,
        health: "Healthy",
        ...(numaNode === undefined ? {} : { topology: { nodes: [{ ID: numaNode }] } }),
      });
    }
  };
  for (const gpu of gpus) {
    if (gpu.slices.length === 0 || strategy.mig === "none") {
      add("nvidia.com/gpu", gpu.uuid, gpu.numaNode);
      continue;
    }
    for (const slice of gpu.slices) {
      const name = strategy.mig === "single" ? "gpu" : `mig-${slice.profile.replace("+", ".")}`;
      add(`nvidia.com/${name}`, slice.uuid, gpu.numaNode);
    }
  }
  return [...byName].map(([name, devices]) => ({
    name,
    devices,
    answer: (ids) => ({
      envs: { NVIDIA_VISIBLE_DEVICES: [...new Set(ids.map(physicalId))].join(",") },
    }),
    prefer: spread,
  }));
}

/** `GPU-…::3` → `GPU-…` */
export function physicalId(id: string): string {
  return id.replace(/::\d+$/, "");
}

/** Replicas of different devices first, as a container gains nothing from two of one. */
function spread(available: readonly string[], size: number): string[] {
  const taken: string[] = [];
  const rest = [...available].sort();
  while (taken.length < size && rest.length > 0) {
    const fresh = rest.findIndex(
      (id) => !taken.some((other) => physicalId(other) === physicalId(id)),
    );
    taken.push(...rest.splice(Math.max(fresh, 0), 1));
  }
  return taken;
}

/** The statements that make the false driver have these devices (agent/testing/fake-nvml/README.md). */
export function fakeNode(gpus: readonly (Gpu & { readonly card: string })[]): string[] {
  return [
    "load steady 0.5",
    ...gpus.flatMap((gpu, index) => [
      `gpu ${index} ${gpu.card}${gpu.slices.length > 0 ? " mig=1" : ""} uuid=${gpu.uuid}`,
      ...gpu.slices.map(
        (slice, at) => `slice ${index} ${at} ${slice.profile} gi=${7 + at} uuid=${slice.uuid}`,
      ),
    ]),
  ];
}
