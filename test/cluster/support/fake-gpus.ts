/**
 * GPUs that are not there, for a whole node: the false driver in a folder of the node, as an agent's pod
 * mounts it, and the device plugin that gives the same devices to pods.
 */
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildFakeDriver } from "../../../agent/testing/fake-driver.ts";
import type { Cluster } from "../../../tools/k8s/cluster.ts";
import { startDevicePlugin, type DevicePlugin } from "../device-plugin/plugin.ts";
import { fakeNode, resourcesOf, type Gpu, type Strategy } from "../device-plugin/strategies.ts";

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
export const mixed: Strategy = { mig: "mixed", replicas: 1 };

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
