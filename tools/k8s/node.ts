/**
 * The parts of a node in the order they start: which command line each has (the plan, kept so that a
 * killed part can be started again by any process) and what each waits for.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensure } from "@axonize/core/runtime/assert";
import { helperRoles, kwokFlags, metricsServer, storage, volumePaths } from "./addons.ts";
import type { ExecutableName } from "./binaries.ts";
import type { Cluster, ClusterOptions, NodePart } from "./cluster.ts";
import {
  apiserverFlags,
  controllerManagerFlags,
  etcdFlags,
  pkiFile,
  schedulerFlags,
  writeCredentials,
  type ControlPlaneLayout,
  type Credentials,
} from "./flags.ts";
import { nodePath, type Network } from "./namespace.ts";
import { containerdSocket, kubeletRoot, writeNodeFiles } from "./node-files.ts";
import type { Parts } from "./parts.ts";

export interface Command {
  readonly path: string;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
}

export interface NodePlan {
  readonly nodeName: string;
  readonly apiserverPort: number;
  readonly etcdPort: number;
  readonly adminKubeconfig: string;
  readonly kubectlPath: string;
  readonly commands: Partial<Record<NodePart, Command>>;
  /** Objects that the cluster is born with: roles of the helpers, metrics-server's API. */
  readonly objects: readonly object[];
}

type Binaries = Partial<
  Record<ExecutableName<"kubernetes" | "coredns" | "metrics-server" | "kwok">, string>
>;

export interface PlanInput {
  readonly dir: string;
  readonly network: Network;
  readonly cgroupName: string;
  readonly pauseImage: string;
  readonly binaries: Binaries;
  readonly options: ClusterOptions;
}

const nodeName = "node-1";
/** In a network namespace of its own every port is free. */
const ports = { apiserver: 6443, etcd: 2379, etcdPeer: 2380, kwok: 10247 } as const;

/** Writes all files of the node and gives its command lines. Starts nothing. */
export function planNode(input: PlanInput): NodePlan {
  const { dir, network, options } = input;
  const layout: ControlPlaneLayout = {
    dir,
    address: network.nodeIp,
    apiserverPort: ports.apiserver,
    etcdPort: ports.etcd,
    etcdPeerPort: ports.etcdPeer,
    serviceCidr: network.serviceCidr,
    kubernetesServiceIp: network.kubernetesServiceIp,
    publishEndpoint: true,
    audit: true,
    controllers: true,
  };
  const credentials = writeCredentials(layout);
  writeKubeletCertificate(layout, credentials, network);
  for (const path of [kubeletRoot, "/var/log/pods", ...volumePaths()]) {
    mkdirSync(nodePath(dir, path), { recursive: true });
  }
  const adminKubeconfig = credentials.kubeconfig("admin", {
    commonName: "admin",
    organizations: ["system:masters"],
  });
  const commands = {
    ...controlPlaneCommands(input, layout, credentials),
    ...nodeCommands(input, credentials),
  };
  const objects = [...helperRoles(), ...storage(nodeName)];
  if (options.metricsServer === true) {
    const addon = metricsServer({
      dir,
      authority: credentials.authority,
      nodeIp: network.nodeIp,
      kubeconfigFile: credentials.kubeconfig("metrics-server", {
        commonName: "axonize-test:metrics-server",
      }),
    });
    commands["metrics-server"] = { path: program(input, "metrics-server"), args: addon.flags };
    objects.push(...addon.objects);
  }
  if (options.kwok === true) {
    const at = { nodeIp: network.nodeIp, port: ports.kwok };
    const args = kwokFlags({ kubeconfigFile: adminKubeconfig, ...at });
    commands.kwok = { path: program(input, "kwok"), args };
  }
  return {
    nodeName,
    apiserverPort: ports.apiserver,
    etcdPort: ports.etcd,
    adminKubeconfig,
    kubectlPath: program(input, "kubectl"),
    commands,
    objects,
  };
}

function program(input: PlanInput, name: keyof Binaries): string {
  return ensure(input.binaries[name], `${name} was built`);
}

function controlPlaneCommands(
  input: PlanInput,
  layout: ControlPlaneLayout,
  credentials: Credentials,
): NodePlan["commands"] {
  const user = (name: string): string =>
    credentials.kubeconfig(name, { commonName: `system:${name}` });
  const controllerFlags = [
    // A killed kubelet is noticed within a test's patience; the default is 50 s.
    "--node-monitor-grace-period=20s",
    "--horizontal-pod-autoscaler-sync-period=5s",
  ];
  return {
    etcd: { path: program(input, "etcd"), args: etcdFlags(layout) },
    "kube-apiserver": {
      path: program(input, "kube-apiserver"),
      args: apiserverFlags(layout, input.options.flags?.apiserver ?? []),
    },
    "kube-controller-manager": {
      path: program(input, "kube-controller-manager"),
      args: controllerManagerFlags(layout, user("kube-controller-manager"), controllerFlags),
    },
    "kube-scheduler": {
      path: program(input, "kube-scheduler"),
      args: schedulerFlags(user("kube-scheduler")),
    },
  };
}

function nodeCommands(input: PlanInput, credentials: Credentials): NodePlan["commands"] {
  const user = (name: string, commonName: string, ...organizations: string[]): string =>
    credentials.kubeconfig(name, { commonName, organizations });
  const kubeconfigs = {
    kubelet: user("kubelet", `system:node:${nodeName}`, "system:nodes"),
    proxy: user("kube-proxy", "system:kube-proxy"),
    dns: user("dns", "axonize-test:dns"),
  };
  const files = writeNodeFiles({ ...input, kubeconfigs });
  return {
    containerd: { path: "containerd", args: [`--config=${files.containerd}`] },
    kubelet: {
      path: program(input, "kubelet"),
      args: [
        `--config=${files.kubelet}`,
        `--kubeconfig=${kubeconfigs.kubelet}`,
        `--hostname-override=${nodeName}`,
        `--node-ip=${input.network.nodeIp}`,
        `--root-dir=${kubeletRoot}`,
        `--cert-dir=${join(input.dir, "pki")}`,
        ...(input.options.flags?.kubelet ?? []),
      ],
    },
    "kube-proxy": {
      path: program(input, "kube-proxy"),
      args: [`--config=${files.proxy}`, `--hostname-override=${nodeName}`],
    },
    coredns: { path: program(input, "coredns"), args: [`-conf=${files.corefile}`] },
  };
}

function writeKubeletCertificate(
  layout: ControlPlaneLayout,
  credentials: Credentials,
  network: Network,
): void {
  const pair = credentials.authority.issue({
    commonName: `system:node:${nodeName}`,
    organizations: ["system:nodes"],
    hosts: [nodeName, network.nodeIp, "127.0.0.1"],
  });
  writeFileSync(pkiFile(layout, "kubelet.crt"), pair.cert);
  writeFileSync(pkiFile(layout, "kubelet.key"), pair.key, { mode: 0o600 });
}

export interface StartContext {
  readonly cluster: Cluster;
  readonly parts: Parts;
  readonly pauseTar: string;
  readonly say: (line: string) => void;
}

/** Starts every part and resolves when pods can run and reach Services by name. */
export async function startNode(plan: NodePlan, context: StartContext): Promise<void> {
  const { cluster, parts, say } = context;
  const answers = async (path: string): Promise<boolean> =>
    (await cluster.request("GET", path)).status === 200;
  say("Starting etcd, kube-apiserver and containerd …");
  await cluster.start("containerd");
  await cluster.start("etcd");
  await cluster.start("kube-apiserver");
  await cluster.apply(plan.objects);
  say("Starting the kubelet, the controllers, Service network and DNS …");
  await parts.ready("containerd", async () => await containerdAnswers(cluster));
  await cluster.importImage(context.pauseTar);
  for (const part of [
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "metrics-server",
    "kwok",
  ] as const) {
    if (plan.commands[part] !== undefined) await cluster.start(part);
  }
  await parts.ready(
    "kube-controller-manager",
    async () => await answers("/api/v1/namespaces/default/serviceaccounts/default"),
  );
  await parts.ready("kubelet", async () => await isNodeReady(cluster, plan.nodeName));
  await parts.ready(
    "kube-proxy",
    async () => await succeeds(cluster, "nft", "list", "table", "ip", "kube-proxy"),
  );
  await parts.ready("coredns", async () => await dnsIsReady(cluster));
  if (plan.commands["metrics-server"] !== undefined) {
    await parts.ready(
      "metrics-server",
      async () => await answers("/apis/metrics.k8s.io/v1beta1/nodes"),
    );
  }
}

async function isNodeReady(cluster: Cluster, name: string): Promise<boolean> {
  const answer = await cluster.request("GET", `/api/v1/nodes/${name}`);
  if (answer.status !== 200) return false;
  const node = JSON.parse(answer.body) as {
    status: { conditions?: { type: string; status: string }[] };
  };
  return (node.status.conditions ?? []).some(
    ({ type, status }) => type === "Ready" && status === "True",
  );
}

async function containerdAnswers(cluster: Cluster): Promise<boolean> {
  return await succeeds(cluster, "ctr", `--address=${containerdSocket}`, "version");
}

async function dnsIsReady(cluster: Cluster): Promise<boolean> {
  try {
    return (await fetch(`http://${cluster.nodeIp}:8181/ready`)).status === 200;
  } catch {
    return false; // It does not listen yet; the caller polls until its deadline.
  }
}

async function succeeds(cluster: Cluster, command: string, ...args: string[]): Promise<boolean> {
  try {
    await cluster.run(command, ...args);
    return true;
  } catch {
    return false; // Not yet; the caller polls until its deadline and then shows the part's log.
  }
}
