/**
 * What a node needs from the machine, checked before anything starts, so that what is missing is said
 * in one paragraph and not by the kubelet's log.
 */
import { existsSync, readdirSync } from "node:fs";
import { StartError } from "@axonize/core/runtime/error";

/** Controllers without which the kubelet refuses to run pods. */
const wantedControllers = ["cpu", "cpuset", "memory", "pids"] as const;

/** Throws a StartError that lists everything that is missing. */
export function requirePrivileges(): void {
  const missing: string[] = [];
  if (process.platform !== "linux") missing.push(`Linux (this is ${process.platform})`);
  if (process.getuid?.() !== 0) missing.push("root (namespaces, mounts and cgroups; try sudo)");
  if (process.platform === "linux") missing.push(...missingCgroups());
  if (process.platform === "linux" && !existsSync("/dev/kmsg")) {
    missing.push("/dev/kmsg (the kubelet reads it)");
  }
  if (missing.length === 0) return;
  throw new StartError(
    `A test cluster runs a real kubelet and containerd, which need: ${missing.join("; ")}. ` +
      "A control plane without a node (startControlPlane) needs none of this.",
  );
}

function missingCgroups(): string[] {
  const base = "/sys/fs/cgroup";
  if (existsSync(`${base}/cgroup.controllers`)) return [];
  const mounted = existsSync(base) ? readdirSync(base) : [];
  const absent = wantedControllers.filter((name) => !mounted.includes(name));
  return absent.length === 0 ? [] : [`cgroup controllers ${absent.join(", ")} at ${base}`];
}
