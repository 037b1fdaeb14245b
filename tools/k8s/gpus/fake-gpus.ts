/**
 * GPUs that are not there, for a whole node: the false driver in a folder of the node, as an agent's pod
 * mounts it, the device plugin that gives the same devices to pods, and the labels that GPU Feature
 * Discovery would put on the node.
 */
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildFakeDriver } from "../../../agent/testing/fake-driver.ts";
import type { Cluster } from "../cluster.ts";
import { startDevicePlugin, type DevicePlugin } from "./plugin.ts";
import { fakeNode, resourcesOf, type Gpu, type Strategy } from "./strategies.ts";

/** One partitioned H100, one whole; uuids are fixed so that a failure can be read. */
export const gpus = [
  {
    card: "h100",
    uuid: "GPU-aaaaaaaa-0000-4000-8000-000000000000",
    numaNode: 0,
    slices: [
      { uuid: "MIG-aaaaaaaa-0000-4000-8000-000000000001", profile: "1g.10gb" },
      { uuid: "MIG-aaaaaaaa-0000-4000-8000-000000000002", profile: "1g.10gb" },
      { uuid: "MIG-aaaaaaaa-0000-4000-8000-000000000003", profile: "2g.20gb" },
    ],
  },
  {
    card: "h100",
    uuid: "GPU-bbbbbbbb-0000-4000-8000-000000000000",
    numaNode: 1,
    slices: [],
  },
] as const satisfies readonly (Gpu & { card: string })[];

/** On the node; the agents' `fakeDriverDirectory`. */
export const fakeDriverDirectory = "/var/lib/axonize-fake-driver";
const mixed: Strategy = { mig: "mixed", replicas: 1 };

/** Lays the driver's library and its control file into the node's folder. */
export function installFakeDriver(cluster: Cluster, lines = fakeNode(gpus)): void {
  const folder = cluster.nodePath(fakeDriverDirectory);
  mkdirSync(folder, { recursive: true });
  copyFileSync(
    join(buildFakeDriver(), "default/libnvidia-ml.so.1"),
    join(folder, "libnvidia-ml.so.1"),
  );
  const control = join(folder, "control");
  writeFileSync(`${control}.new`, `${lines.join("\n")}\n`);
  renameSync(`${control}.new`, control);
}

export async function plugInGpus(
  cluster: Cluster,
  strategy: Strategy = mixed,
): Promise<DevicePlugin> {
  const directory = cluster.nodePath("/var/lib/kubelet/device-plugins");
  return await startDevicePlugin(directory, resourcesOf(gpus, strategy));
}

/** What GPU Feature Discovery says of these devices, as far as pools select by it or count with it. */
async function labelNode(cluster: Cluster): Promise<void> {
  const slices = gpus.reduce((sum, gpu) => sum + gpu.slices.length, 0);
  const labels = {
    "gpu.present": "true",
    "gpu.product": "NVIDIA-H100-80GB-HBM3",
    "gpu.count": String(gpus.length),
    "gpu.memory": "81559",
    "mig.capable": "true",
    "mig.strategy": slices > 0 ? mixed.mig : "none",
  };
  const pairs = Object.entries(labels).map(([name, value]) => `nvidia.com/${name}=${value}`);
  await cluster.kubectl("label", "--overwrite", "node", cluster.nodeName, ...pairs);
}

/** All of it: a node with GPUs, for as long as what this resolves with is kept. */
export async function addFakeGpus(cluster: Cluster): Promise<DevicePlugin> {
  installFakeDriver(cluster);
  await labelNode(cluster);
  // Last, since nobody would stop a plugin if what comes after it failed.
  return await plugInGpus(cluster);
}
