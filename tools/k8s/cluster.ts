/**
 * A whole Kubernetes cluster of one real node for tests and for development: control plane, kubelet,
 * containerd, pod network, Service network, DNS, if wanted metrics-server and kwok.
 *
 * Everything runs in namespaces of its own (`namespace.ts`) and ends with the process that called
 * `startCluster`. Another process uses the same cluster through `attachCluster` and its state file.
 * Needs root on Linux. Two clusters may run side by side.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, connect, type Server } from "node:net";
import { join } from "node:path";
import { ensure } from "@axonize/core/runtime/assert";
import { ensureClusterPackages } from "../../scripts/system-packages.ts";
import { createApi, run, type ClusterApi } from "./api.ts";
import { ensureBinaries } from "./binaries.ts";
import { newDataDir } from "./data-dir.ts";
import { auditLogFile, openCredentials } from "./flags.ts";
import { startGuard } from "./guard.ts";
import { buildPause } from "./images/build.ts";
import { createCgroups, createNamespace, enter, nodePath, type Network } from "./namespace.ts";
import { containerdSocket } from "./node-files.ts";
import { planNode, startNode, type NodePlan } from "./node.ts";
import { createParts, type Parts } from "./parts.ts";
import { requirePrivileges } from "./requirements.ts";

export interface ClusterOptions {
  /** Runs metrics-server: `kubectl top`, HorizontalPodAutoscalers. */
  readonly metricsServer?: boolean;
  /** Runs kwok for nodes annotated `kwok.x-k8s.io/node: fake`. */
  readonly kwok?: boolean;
  readonly flags?: { readonly apiserver?: readonly string[]; readonly kubelet?: readonly string[] };
  /** Gets a line when a step begins. */
  readonly say?: (line: string) => void;
}

export type NodePart =
  | "etcd"
  | "kube-apiserver"
  | "kube-controller-manager"
  | "kube-scheduler"
  | "containerd"
  | "kubelet"
  | "kube-proxy"
  | "coredns"
  | "metrics-server"
  | "kwok";

export interface Cluster extends ClusterApi {
  readonly dir: string;
  /** For `attachCluster` in another process. */
  readonly stateFile: string;
  readonly nodeName: string;
  /** NodePorts are reached here; so is everything else on the node. */
  readonly nodeIp: string;
  /** The host as pods see it; also `host.axonize.test` in their DNS. */
  readonly hostIp: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** Makes an image of an OCI or docker tar known to the node; pods name it with `imagePullPolicy: Never`. */
  importImage(tar: string): Promise<void>;
  /** Gives an image of the node a second name, such as `axonize.io/ingest:0.1.0`. */
  tagImage(name: string, alias: string): Promise<void>;
  /** Runs a command on the node, in its namespaces; its standard output. */
  run(command: string, ...args: readonly string[]): Promise<string>;
  /** Where this process finds a file of the node below /var/lib, /var/log or /run. */
  nodePath(path: string): string;
  kill(part: NodePart, signal?: NodeJS.Signals): Promise<void>;
  /** Starts a killed part as it was; waits for the apiserver to be ready, not for the others. */
  start(part: NodePart): Promise<void>;
  killApiserver(): Promise<void>;
  startApiserver(): Promise<void>;
  /** Lets pods reach what listens on the host's loopback: `hostIp` and the port this resolves with. */
  forward(toPort: number): Promise<{ port: number } & AsyncDisposable>;
  kubeconfigFor(user: string, groups?: readonly string[]): string;
}

/** What another process needs to use a cluster. */
export interface ClusterState {
  readonly dir: string;
  readonly pid: number;
  readonly network: Network;
  readonly nodeName: string;
  readonly plan: NodePlan;
}

export async function startCluster(
  options: ClusterOptions = {},
): Promise<Cluster & AsyncDisposable> {
  const say = options.say ?? (() => undefined);
  requirePrivileges();
  ensureClusterPackages();
  const binaries = await ensureBinaries(
    [
      "kubernetes",
      "coredns",
      ...(options.metricsServer === true ? (["metrics-server"] as const) : []),
      ...(options.kwok === true ? (["kwok"] as const) : []),
    ],
    { say },
  );
  const pause = buildPause();
  const dir = newDataDir("cluster");
  const cgroupName = `axonize-${ensure(dir.split("/").at(-1), "a directory name")}`;
  const guard = startGuard({ dir, cgroupName });
  let initPid: number | undefined;
  const stop = async (): Promise<void> => {
    // The first process of a PID namespace takes all others with it.
    if (initPid !== undefined) process.kill(initPid, "SIGKILL");
    await guard.cleanUp();
  };
  try {
    say("Making the node's namespaces and network …");
    createCgroups(cgroupName);
    const { pid, network } = await createNamespace(dir);
    initPid = pid;
    const plan = planNode({ dir, network, cgroupName, pauseImage: pause.name, binaries, options });
    const state: ClusterState = { dir, pid, network, nodeName: plan.nodeName, plan };
    writeFileSync(stateFileOf(dir), JSON.stringify(state));
    const cluster = attach(state);
    await startNode(plan, { cluster, parts: partsOf(state), pauseTar: pause.tar, say });
    return { ...cluster, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A cluster that another process started and keeps. */
export function attachCluster(stateFile: string): Cluster {
  return attach(JSON.parse(readFileSync(stateFile, "utf8")) as ClusterState);
}

function stateFileOf(dir: string): string {
  return join(dir, "cluster.json");
}

function partsOf(state: ClusterState): Parts {
  return createParts({ dir: state.dir, wrapper: enter(state.pid), forks: true });
}

function attach(state: ClusterState): Cluster {
  const { dir, network, plan } = state;
  const parts = partsOf(state);
  const api = createApi({
    dir,
    url: `https://${network.nodeIp}:${plan.apiserverPort}`,
    kubeconfigFile: plan.adminKubeconfig,
    kubectlPath: plan.kubectlPath,
    etcdUrl: `http://${network.nodeIp}:${plan.etcdPort}`,
    auditFile: auditLogFile({ dir }),
  });
  const [program = "", ...before] = enter(state.pid);
  const runInside = async (command: string, ...args: readonly string[]): Promise<string> =>
    await run(program, [...before, command, ...args]);
  const images = async (...args: readonly string[]): Promise<string> =>
    await runInside("ctr", `--address=${containerdSocket}`, "-n", "k8s.io", "images", ...args);
  const start = async (part: NodePart): Promise<void> => {
    const command = ensure(plan.commands[part], `the cluster was started with ${part}`);
    await parts.start(part, command.path, command.args, command.env);
    if (part === "kube-apiserver") await parts.ready(part, async () => await api.isReady());
  };
  return {
    ...api,
    dir,
    stateFile: stateFileOf(dir),
    nodeName: state.nodeName,
    nodeIp: network.nodeIp,
    hostIp: network.hostIp,
    podCidr: network.podCidr,
    serviceCidr: network.serviceCidr,
    importImage: async (tar) => {
      await images("import", tar);
    },
    tagImage: async (name, alias) => {
      await images("tag", "--force", name, alias);
    },
    run: runInside,
    nodePath: (path) => nodePath(dir, path),
    kill: async (part, signal) => {
      await parts.kill(part, signal);
    },
    start,
    killApiserver: async () => {
      await parts.kill("kube-apiserver");
    },
    startApiserver: async () => {
      await start("kube-apiserver");
    },
    forward: async (toPort) => await forward(network.hostIp, toPort),
    kubeconfigFor: (user, groups = []) =>
      openCredentials({
        dir,
        address: network.nodeIp,
        apiserverPort: plan.apiserverPort,
      }).kubeconfig(`user-${user.replaceAll(/\W+/g, "-")}`, {
        commonName: user,
        organizations: groups,
      }),
  };
}

/** A TCP forwarder: what tests start listens on loopback, which pods cannot reach. */
async function forward(
  hostIp: string,
  toPort: number,
): Promise<{ port: number } & AsyncDisposable> {
  const open = new Set<{ destroy(): void }>();
  const server: Server = createServer((from) => {
    const to = connect(toPort, "127.0.0.1");
    for (const [socket, other] of [
      [from, to],
      [to, from],
    ] as const) {
      open.add(socket);
      // Either side's end or failure ends the other: that is what a direct connection would do.
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        open.delete(socket);
        other.destroy();
      });
    }
    from.pipe(to).pipe(from);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, hostIp, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}
