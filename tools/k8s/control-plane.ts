/**
 * A Kubernetes control plane for tests: etcd and a real kube-apiserver on loopback, if wanted with
 * the controller manager and the scheduler. Needs Linux and the built binaries, no root and no network.
 *
 * It answers about four seconds after its start. Its data is in memory (/dev/shm). When the process that
 * started it dies, in whatever way, the kernel kills its processes and a guard removes its data.
 */
import { kwokFlags } from "./addons.ts";
import { createApi, type ClusterApi } from "./api.ts";
import { ensureBinaries, type ExecutableName } from "./binaries.ts";
import { newDataDir } from "./data-dir.ts";
import {
  apiserverFlags,
  auditLogFile,
  controllerManagerFlags,
  etcdFlags,
  schedulerFlags,
  writeCredentials,
  type ControlPlaneLayout,
  type Credentials,
} from "./flags.ts";
import { startGuard } from "./guard.ts";
import { createParts, freePort, type Parts } from "./parts.ts";

export interface ControlPlaneOptions {
  /** Runs kube-controller-manager: garbage collection, namespaces, ServiceAccounts, DaemonSets. */
  readonly controllers?: boolean;
  readonly scheduler?: boolean;
  /** Runs kwok, which plays the kubelet of nodes annotated `kwok.x-k8s.io/node: fake`. */
  readonly kwok?: boolean;
  /** Writes the audit log; on unless false. */
  readonly audit?: boolean;
  /** Flags after ours, so that they win: feature gates, `--runtime-config`, `--emulated-version`. */
  readonly flags?: {
    readonly apiserver?: readonly string[];
    readonly controllers?: readonly string[];
  };
}

export interface ControlPlane extends ClusterApi, AsyncDisposable {
  /** Where certificates, logs (`log/<part>.log`) and data are. */
  readonly dir: string;
  /** SIGKILL; what was committed to etcd stays. */
  killApiserver(): Promise<void>;
  /** Starts it again on the same port and waits until it is ready. */
  startApiserver(): Promise<void>;
  /** A kubeconfig file for another user, by client certificate. */
  kubeconfigFor(user: string, groups?: readonly string[]): string;
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = {
    ...(await ensureBinaries(["kubernetes"])),
    ...(options.kwok === true ? await ensureBinaries(["kwok"]) : {}),
  };
  const dir = newDataDir("control-plane");
  const guard = startGuard({ dir });
  const parts = createParts({
    dir,
    wrapper: ["setpriv", "--pdeathsig", "KILL", "--"],
    forks: false,
  });
  const stop = async (): Promise<void> => {
    for (const part of partNames.toReversed()) await parts.kill(part);
    await guard.cleanUp();
  };
  try {
    const layout = await layoutOf(dir, options);
    const credentials = writeCredentials(layout);
    const kubeconfigFile = credentials.kubeconfig("admin", {
      commonName: "admin",
      organizations: ["system:masters"],
    });
    const api = createApi({
      dir,
      url: `https://${layout.address}:${layout.apiserverPort}`,
      kubeconfigFile,
      kubectlPath: binaries.kubectl,
      etcdUrl: `http://${layout.address}:${layout.etcdPort}`,
      auditFile: auditLogFile(layout),
    });
    const startApiserver = async (): Promise<void> => {
      const flags = apiserverFlags(layout, options.flags?.apiserver ?? []);
      await parts.start("kube-apiserver", binaries["kube-apiserver"], flags);
      await parts.ready("kube-apiserver", async () => await api.isReady());
    };
    await parts.start("etcd", binaries.etcd, etcdFlags(layout));
    await startApiserver();
    await startOthers({ options, binaries, layout, credentials, parts, api });
    return {
      ...api,
      dir,
      startApiserver,
      killApiserver: async () => {
        await parts.kill("kube-apiserver");
      },
      kubeconfigFor: (user, groups = []) =>
        credentials.kubeconfig(`user-${user.replaceAll(/\W+/g, "-")}`, {
          commonName: user,
          organizations: groups,
        }),
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** In the order they start. */
const partNames = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"];

/** What comes after the apiserver, as far as it is wanted. */
async function startOthers(context: {
  options: ControlPlaneOptions;
  binaries: Record<ExecutableName<"kubernetes">, string> & { kwok?: string };
  layout: ControlPlaneLayout;
  credentials: Credentials;
  parts: Parts;
  api: ClusterApi;
}): Promise<void> {
  const { options, binaries, layout, credentials, parts, api } = context;
  const answers = async (path: string): Promise<boolean> =>
    (await api.request("GET", path)).status === 200;
  if (options.controllers === true) {
    const user = { commonName: "system:kube-controller-manager" };
    const file = credentials.kubeconfig("controller-manager", user);
    const flags = controllerManagerFlags(layout, file, options.flags?.controllers ?? []);
    await parts.start("kube-controller-manager", binaries["kube-controller-manager"], flags);
    // Its first sign of life, and what the first pod waits for.
    await parts.ready(
      "kube-controller-manager",
      async () => await answers("/api/v1/namespaces/default/serviceaccounts/default"),
    );
  }
  if (options.scheduler === true) {
    const file = credentials.kubeconfig("scheduler", { commonName: "system:kube-scheduler" });
    await parts.start("kube-scheduler", binaries["kube-scheduler"], schedulerFlags(file));
  }
  if (binaries.kwok !== undefined) {
    const port = await freePort(layout.address);
    const flags = kwokFlags({ kubeconfigFile: api.kubeconfigFile, nodeIp: layout.address, port });
    await parts.start("kwok", binaries.kwok, flags);
  }
}

async function layoutOf(dir: string, options: ControlPlaneOptions): Promise<ControlPlaneLayout> {
  const [apiserverPort, etcdPort, etcdPeerPort] = [
    await freePort("127.0.0.1"),
    await freePort("127.0.0.1"),
    await freePort("127.0.0.1"),
  ];
  return {
    dir,
    address: "127.0.0.1",
    apiserverPort,
    etcdPort,
    etcdPeerPort,
    serviceCidr: "10.96.0.0/16",
    kubernetesServiceIp: "10.96.0.1",
    publishEndpoint: false,
    audit: options.audit ?? true,
    controllers: options.controllers ?? false,
  };
}
