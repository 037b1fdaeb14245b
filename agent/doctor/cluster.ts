/**
 * What surrounds the driver on a node, as findings: the kubelet, pods, processes, cgroups. Pure.
 */
import type { PoolConfig } from "@axonize/core/contract/agent";
import { error, ok, warning, type Finding } from "./finding.ts";

export type KubeletFact =
  | { readonly state: "none" }
  | { readonly state: "answering"; readonly pods?: number; readonly containersWithDevices?: number }
  | { readonly state: "silent"; readonly refusal: string; readonly detail: string };

export function kubeletFinding(kubelet: KubeletFact, socket: string): Finding {
  if (kubelet.state === "answering") {
    const counts =
      kubelet.pods === undefined
        ? ""
        : `: ${kubelet.pods} pods, ${kubelet.containersWithDevices ?? 0} containers with devices`;
    return ok("kubelet", `pod-resources answers${counts}`);
  }
  if (kubelet.state === "none") {
    return warning(
      "kubelet",
      `no socket at ${socket}: on a host without Kubernetes that is right; in a cluster no device has an owner`,
      "mount the folder /var/lib/kubelet/pod-resources (hostPath, read-only), " +
        "or set AXONIZE_POD_RESOURCES_SOCKET where the kubelet's root is elsewhere (k0s, microk8s)",
    );
  }
  const permission = /EACCES|permission/i.test(kubelet.detail);
  return error(
    "kubelet",
    `${socket} does not answer: ${kubelet.refusal} (${kubelet.detail})`,
    permission
      ? "run the agent's container as user 0: the kubelet's socket is root's"
      : "`systemctl status kubelet` on the node; mount the socket's folder and not the socket, which a restart replaces",
  );
}

export function podsFinding(state: string, detail: string): Finding {
  if (state === "watching") return ok("pods", "the API server tells the pods of this node");
  if (state === "none") {
    return warning(
      "pods",
      "no API server: pods have names and no UID, labels or owner",
      "in a cluster, give the agent's pod its ServiceAccount token (automountServiceAccountToken: true)",
    );
  }
  const forbidden = /403|forbidden/i.test(detail);
  return (state === "starting" ? warning : error)(
    "pods",
    `the pods of this node are not known: ${state} ${detail}`,
    forbidden
      ? "let the agent's ServiceAccount get, list and watch pods (ClusterRole, verbs get, list, watch)"
      : "look at the API server's address and the network policy of the agent's namespace",
  );
}

/** `unseen`: pids of the driver that are not in our /proc. */
export function processFinding(facts: {
  readonly access: PoolConfig["hostAccess"];
  readonly listed: number;
  readonly unseen: number;
  readonly unreadable: readonly string[];
  readonly procRoot: string;
}): Finding {
  const { access, listed, unseen, unreadable, procRoot } = facts;
  if (access === "PodResourcesOnly") {
    return ok("processes", "not looked at (hostAccess is PodResourcesOnly)");
  }
  if (unreadable.length > 0) {
    const permission = unreadable.includes("no_permission");
    return warning(
      "processes",
      `the driver does not tell who computes on ${unreadable.length} devices: ${[...new Set(unreadable)].join(", ")}`,
      permission
        ? "add capability SYS_ADMIN and NVIDIA_MIG_MONITOR_DEVICES=all to the agent's container"
        : "see the driver's finding above",
    );
  }
  if (listed > 0 && unseen > 0) {
    return error(
      "processes",
      `${unseen} of ${listed} processes on the GPUs are not in ${procRoot}: the driver tells the host's pids`,
      "set hostPID: true, or mount the host's /proc and set AXONIZE_AGENT_PROC_ROOT=/host/proc",
    );
  }
  return ok("processes", `${listed} on the GPUs, all of them in ${procRoot}`);
}

/** undefined: there was no process to try it on. */
export function environmentFinding(canRead: boolean | undefined): Finding {
  if (canRead === undefined) return ok("environment", "no process on a GPU to try it on");
  if (canRead)
    return ok("environment", "CUDA_VISIBLE_DEVICES and devices of processes can be read");
  return warning(
    "environment",
    "the environment of other users' processes cannot be read: with several GPUs in a container, cuda:N is a guess and stays ambiguous",
    "add capability SYS_PTRACE to the agent's container, or let the SDK report UUIDs",
  );
}

export function cgroupFinding(version: "v1" | "v2" | "hybrid" | undefined): Finding {
  if (version !== undefined) return ok("cgroups", version);
  return warning(
    "cgroups",
    "neither version of cgroups can be seen: processes cannot be joined to containers",
    "mount the host's /proc and set AXONIZE_AGENT_PROC_ROOT",
  );
}

export function runtimeFinding(sockets: readonly string[]): Finding {
  return ok(
    "container runtime",
    sockets.length === 0
      ? "no socket seen; none is needed, containers are known by their cgroups"
      : sockets.join(", "),
  );
}
