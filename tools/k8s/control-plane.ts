/**
 * A Kubernetes control plane for tests: etcd and a real kube-apiserver on loopback, if wanted with
 * the controller manager and the scheduler. Needs Linux and the built binaries, no root and no network.
 *
 * It answers about four seconds after its start. Its data is in memory (/dev/shm). When the process that
 * started it dies, in whatever way, the kernel kills its processes and a guard removes its data.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApi, type ClusterApi } from "./api.ts";
import { ensureBinaries } from "./binaries.ts";
import {
  apiserverFlags,
  auditLogFile,
  controllerManagerFlags,
  etcdFlags,
  schedulerFlags,
  writeCredentials,
  type ControlPlaneLayout,
} from "./flags.ts";
import { startGuard } from "./guard.ts";
import { createParts, freePort, type Parts } from "./parts.ts";

export interface ControlPlaneOptions {
  /** Runs kube-controller-manager: garbage collection, namespaces, ServiceAccounts, DaemonSets. */
  readonly controllers?: boolean;
  readonly scheduler?: boolean;
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
  const binaries = await ensureBinaries(["kubernetes"]);
  const dir = newDataDir("control-plane");
  const guard = startGuard({ dir });
  try {
    const layout = await layoutOf(dir, options);
    const credentials = writeCredentials(layout);
    const kubeconfigFile = credentials.kubeconfig("admin", {
      commonName: "admin",
      organizations: ["system:masters"],
    });
    const parts = createParts({
      dir,
      wrapper: ["setpriv", "--pdeathsig", "KILL", "--"],
      forks: false,
    });
    const api = createApi({
      dir,
      url: `https://${layout.address}:${layout.apiserverPort}`,
      kubeconfigFile,
      kubectlPath: binaries.kubectl,
      etcdUrl: `http://127.0.0.1:${layout.etcdPort}`,
      auditFile: auditLogFile(layout),
    });
    const startApiserver = async (): Promise<void> => {
      const flags = apiserverFlags(layout, options.flags?.apiserver ?? []);
      await parts.start("kube-apiserver", binaries["kube-apiserver"], flags);
      await parts.ready("kube-apiserver", async () => await isReady(api));
    };
    await parts.start("etcd", binaries.etcd, etcdFlags(layout));
    await startApiserver();
    if (options.controllers === true) {
      const file = credentials.kubeconfig("controller-manager", {
        commonName: "system:kube-controller-manager",
      });
      const flags = controllerManagerFlags(layout, file, options.flags?.controllers ?? []);
      await parts.start("kube-controller-manager", binaries["kube-controller-manager"], flags);
      await parts.ready("kube-controller-manager", async () => await hasDefaultServiceAccount(api));
    }
    if (options.scheduler === true) {
      const file = credentials.kubeconfig("scheduler", { commonName: "system:kube-scheduler" });
      await parts.start("kube-scheduler", binaries["kube-scheduler"], schedulerFlags(file));
    }
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
      [Symbol.asyncDispose]: async () => {
        await stop(parts);
        await guard.cleanUp();
      },
    };
  } catch (error) {
    await guard.cleanUp();
    throw error;
  }
}

async function stop(parts: Parts): Promise<void> {
  for (const part of ["kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"]) {
    await parts.kill(part);
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

/** Ready: its own checks pass and the `default` namespace that it makes at its start is there. */
export async function isReady(api: ClusterApi): Promise<boolean> {
  return (await answers(api, "/readyz")) && (await answers(api, "/api/v1/namespaces/default"));
}

/** The first sign of life of the controller manager, and what the first pod waits for. */
export async function hasDefaultServiceAccount(api: ClusterApi): Promise<boolean> {
  return await answers(api, "/api/v1/namespaces/default/serviceaccounts/default");
}

async function answers(api: ClusterApi, path: string): Promise<boolean> {
  try {
    return (await api.request("GET", path)).status === 200;
  } catch {
    return false; // It does not listen yet; the caller polls until its deadline.
  }
}

/** A new data directory, in memory where that is possible. Removes those of owners that are gone. */
export function newDataDir(kind: "control-plane" | "cluster"): string {
  const base = join(memoryDir(), `axonize-k8s-${process.getuid?.() ?? 0}`);
  mkdirSync(base, { recursive: true, mode: 0o700 });
  for (const entry of readdirSync(base)) {
    const owner = /^control-plane-(\d+)-/.exec(entry)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) {
      rmSync(join(base, entry), { recursive: true, force: true });
    }
  }
  return mkdtempSync(join(base, `${kind}-${process.pid}-`));
}

function memoryDir(): string {
  try {
    rmSync(mkdtempSync("/dev/shm/axonize-probe-"), { recursive: true });
    return "/dev/shm";
  } catch {
    return tmpdir(); // No writable shared memory: a disk will do, only slower.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
