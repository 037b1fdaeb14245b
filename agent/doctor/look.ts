/**
 * Looks at a node once: the driver, the kubelet, processes, the state folder, the configuration file, the
 * ingest endpoint and its clock. Changes nothing, and may run beside the agent.
 */
import { constants } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { AgentEnv } from "../config.ts";
import { createPodResourcesClient } from "../kubelet/client.ts";
import { openDriver, type Driver } from "../nvml/driver.ts";
import { groups, reasons, type Reason, type Row } from "../nvml/readings.ts";
import type { Gpu } from "../nvml/topology.ts";
import { finish } from "../nvml/work.ts";
import { defaultPoolConfig, poolConfigFrom } from "../pool-config.ts";
import { settingsOf } from "../sampling/settings.ts";
import * as cluster from "./cluster.ts";
import {
  driverFinding,
  gpuFindings,
  migFinding,
  readingFindings,
  versionFinding,
} from "./driver.ts";
import { error, ok, warning, type Finding } from "./finding.ts";
import { ingestFindings } from "./ingest.ts";

export async function lookAtNode(clock: Clock, env: AgentEnv): Promise<Finding[]> {
  const procRoot = env.AXONIZE_AGENT_PROC_ROOT;
  return [
    ...(await driverPart(env)),
    await kubeletPart(clock, env.AXONIZE_POD_RESOURCES_SOCKET),
    cluster.runtimeFinding(await present(runtimeSockets)),
    cluster.cgroupFinding(await cgroupVersion(procRoot)),
    ...(await ingestFindings(clock, env.AXONIZE_INGEST_ENDPOINT)),
    await statePart(env.AXONIZE_AGENT_STATE_DIR),
    ...(await configPart(env.AXONIZE_AGENT_CONFIG)),
  ];
}

const runtimeSockets = [
  "/run/containerd/containerd.sock",
  "/run/k3s/containerd/containerd.sock",
  "/run/crio/crio.sock",
  "/run/docker.sock",
];

async function driverPart(env: AgentEnv): Promise<Finding[]> {
  const procRoot = env.AXONIZE_AGENT_PROC_ROOT;
  const alive = new Set(await readdir(procRoot).catch((): string[] => [])); // none: told below
  const opened = openDriver({
    libraryPath: env.AXONIZE_NVML_LIBRARY,
    pidExists: (pid) => alive.has(String(pid)),
  });
  if (!("driver" in opened)) return [driverFinding(opened)];
  const { driver } = opened;
  try {
    const { gpus, refused, trouble } = finish(driver.topology());
    if (trouble !== undefined) return [driverFinding({ trouble, detail: "while enumerating" })];
    const old = versionFinding(driver.info.driverVersion);
    const processes = finish(driver.processes());
    const pids = processes.rows.map(({ pid }) => pid);
    return [
      driverFinding(driver.info),
      ...(old ? [old] : []),
      ...gpuFindings(gpus, await onBoard(procRoot), refused),
      migFinding(gpus),
      ...readingFindings(readOnce(driver, gpus)),
      cluster.processFinding({
        access: defaultPoolConfig.hostAccess,
        listed: pids.length,
        unseen: pids.filter((pid) => !alive.has(String(pid))).length,
        unreadable: [...processes.missing.values()],
        procRoot,
      }),
      cluster.environmentFinding(await canReadEnvironment(procRoot, pids)),
    ];
  } finally {
    driver.close();
  }
}

/** One of each tick. A first GPM sample has nothing to compare with, which is no trouble. */
function readOnce(
  driver: Driver,
  gpus: readonly Gpu[],
): ReadonlyMap<string, ReadonlyMap<string, Reason>> {
  const missing = new Map<string, Map<string, Reason>>();
  const commit = (device: string, group: keyof typeof groups, row: Row): void => {
    const metrics = missing.get(device) ?? new Map<string, Reason>();
    missing.set(device, metrics);
    for (const [at, metric] of groups[group].entries()) {
      const reason = reasons[(row.reasons[at] ?? 0) - 1];
      if (reason !== undefined && reason !== "no_data") metrics.set(metric, reason);
    }
  };
  if (gpus.length === 0) return missing;
  const { sets } = settingsOf(defaultPoolConfig);
  driver.fast(sets, commit);
  finish(driver.slow(sets, true, commit));
  return missing;
}

/** GPUs that the kernel module knows, whether we may open them or not. */
async function onBoard(procRoot: string): Promise<number | undefined> {
  try {
    return (await readdir(join(procRoot, "driver/nvidia/gpus"))).length;
  } catch {
    return undefined; // no such module, or another /proc
  }
}

async function canReadEnvironment(
  procRoot: string,
  pids: readonly number[],
): Promise<boolean | undefined> {
  for (const pid of pids) {
    try {
      await readFile(join(procRoot, String(pid), "environ"));
      return true;
    } catch (failure) {
      // A process that just ended says nothing; a refusal does.
      if (isCode(failure, "EACCES") || isCode(failure, "EPERM")) return false;
    }
  }
  return undefined;
}

const kubeletFolder = "/var/lib/kubelet";

async function kubeletPart(clock: Clock, socketPath: string): Promise<Finding> {
  if (!(await isThere(socketPath))) {
    // A socket that somebody named, or what a node or a pod of a cluster has: the kubelet's own folder,
    // a ServiceAccount.
    const signs = [kubeletFolder, "/var/run/secrets/kubernetes.io"];
    const isWanted =
      !socketPath.startsWith(`${kubeletFolder}/`) ||
      (await Promise.all(signs.map(isThere))).includes(true);
    return isWanted
      ? cluster.kubeletFinding({ state: "none" }, socketPath)
      : ok("kubelet", "none here: a host without Kubernetes");
  }
  using client = createPodResourcesClient({ clock }, { socketPath });
  const answer = await client.list();
  if (!answer.ok) return cluster.kubeletFinding({ state: "silent", ...answer }, socketPath);
  const containers = answer.value.flatMap((pod) => pod.containers);
  return cluster.kubeletFinding(
    {
      state: "answering",
      pods: answer.value.length,
      containersWithDevices: containers.filter(({ devices }) => devices.length > 0).length,
    },
    socketPath,
  );
}

async function cgroupVersion(procRoot: string): Promise<"v1" | "v2" | "hybrid" | undefined> {
  let lines: string[];
  try {
    lines = (await readFile(join(procRoot, "self/cgroup"), "utf8")).trim().split("\n");
  } catch {
    return undefined; // told as what it means
  }
  const unified = lines.some((line) => line.startsWith("0::"));
  const controllers = lines.some((line) => !line.startsWith("0::") && line !== "");
  if (unified) return controllers ? "hybrid" : "v2";
  return controllers ? "v1" : undefined;
}

const leastFreeBytes = 256 * 2 ** 20;

async function statePart(folder: string): Promise<Finding> {
  const mend = `mkdir -p ${folder} and let the agent's user write to it (hostPath, DirectoryOrCreate), or set AXONIZE_AGENT_STATE_DIR`;
  const consequence = "a restart loses what was not sent";
  let existing = folder;
  try {
    existing = await nearest(folder);
    await access(existing, constants.W_OK);
  } catch (failure) {
    return error("state folder", `${folder}: ${errorMessage(failure)}; ${consequence}`, mend);
  }
  const { bavail, bsize } = await statfs(existing);
  const free = bavail * bsize;
  const mib = Math.round(free / 2 ** 20);
  if (free < leastFreeBytes) {
    return warning(
      "state folder",
      `${folder} has ${mib} MiB free; the spool takes up to 128 MiB`,
      "free space on the node's disk, or set AXONIZE_AGENT_STATE_DIR to another one",
    );
  }
  const making = existing === folder ? "" : ", made at the first start";
  return ok("state folder", `${folder}, ${mib} MiB free${making}`);
}

/** The folder, or the one above it that exists: the agent makes what is missing. */
async function nearest(folder: string): Promise<string> {
  const above = dirname(folder);
  if ((await isThere(folder)) || above === folder) return folder;
  return await nearest(above);
}

async function configPart(path: string | undefined): Promise<Finding[]> {
  if (path === undefined) return [];
  try {
    const parsed = poolConfigFrom(await readFile(path, "utf8"), defaultPoolConfig);
    if (parsed.ok) return [ok("configuration", path)];
    return [error("configuration", `${path}: ${parsed.reason}`, `mend that value in ${path}`)];
  } catch (failure) {
    const mend = "mount the pool's ConfigMap there, or unset AXONIZE_AGENT_CONFIG";
    return [error("configuration", errorMessage(failure), mend)];
  }
}

async function present(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(async (path) => ((await isThere(path)) ? [path] : [])));
  return found.flat();
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false, // not there, or not to be seen: the same to us
  );
}

function isCode(failure: unknown, code: string): boolean {
  return failure instanceof Error && "code" in failure && failure.code === code;
}
