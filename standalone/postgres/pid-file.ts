/**
 * `postmaster.pid`: how a running PostgreSQL says who and how far it is, and how one that outlived
 * its killed parent is found. The data directory's lock is ours by then, so a live server there
 * belongs to nobody.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { stopBudgetMs } from "./limits.ts";

export interface PidFile {
  pid: number;
  ready: boolean;
}

export async function readPidFile(cluster: string): Promise<PidFile | undefined> {
  let text: string;
  try {
    text = await readFile(join(cluster, "postmaster.pid"), "utf8");
  } catch {
    return undefined; // not started, or stopped
  }
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, ready: lines[7]?.trim() === "ready" };
}

/** Stops a server that still runs on `cluster`; removes a pid file whose process is another program. */
export async function stopOrphan(cluster: string, log: Log): Promise<void> {
  const found = await readPidFile(cluster);
  if (found === undefined) return;
  if (!(await servesCluster(found.pid, cluster))) {
    await rm(join(cluster, "postmaster.pid"), { force: true });
    return;
  }
  log.warn(
    { event: "postgres.orphan", pid: found.pid },
    "a PostgreSQL of a killed process still runs; stopping it",
  );
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    try {
      process.kill(found.pid, signal);
    } catch {
      return; // gone between the look and the signal
    }
    const deadline = performance.now() + stopBudgetMs;
    while (performance.now() < deadline) {
      if (!(await servesCluster(found.pid, cluster))) return;
      await sleep(20);
    }
  }
  throw new StartError(
    `A PostgreSQL of an earlier run (process ${found.pid}) holds ${cluster} and does not stop. End it (\`kill -9 ${found.pid}\`) and start again.`,
  );
}

async function servesCluster(pid: number, cluster: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  if (process.platform !== "linux") return true;
  try {
    // An ended process that nobody has waited for has an empty command line.
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(cluster);
  } catch {
    return false; // ended meanwhile
  }
}
