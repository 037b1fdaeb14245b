/** Ends processes of containers as the kernel would: from outside, without a word to anybody first. */
import { readdirSync, readFileSync } from "node:fs";
import type { Pod } from "./objects.ts";

/** SIGKILL for every process of the pod's containers; its sandbox (pause) stays. */
export function killProcesses(pod: Pod): number {
  const uid = pod.metadata.uid;
  let killed = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    if (!isOf(pid, uid)) continue;
    process.kill(Number(pid), "SIGKILL");
    killed += 1;
  }
  if (killed === 0) throw new Error(`no process of pod ${pod.metadata.name} (${uid})`);
  return killed;
}

function isOf(pid: string, uid: string): boolean {
  try {
    if (!readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(uid)) return false;
    return !readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("/pause");
  } catch {
    return false; // It ended between the listing and the look.
  }
}
