/**
 * The spool's directory for one process: a file in it has the owner's pid. A lock whose owner is gone is
 * taken over.
 *
 * In a container every life of the agent may have the same pid: a lock with our own pid is a former
 * life's.
 */
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { ExportMetrics } from "./metrics.ts";

/** Undefined where it cannot be had; then batches are held in memory. */
export async function takeDirectory(
  deps: { log: Log; metrics: ExportMetrics },
  path: string | undefined,
): Promise<{ path: string; release(): Promise<void> } | undefined> {
  if (path === undefined) return undefined;
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const release = await lockDirectory(path);
    if (release !== undefined) return { path, release };
    deps.log.error({ event: "spool.locked", path }, "another agent has this spool; using memory");
  } catch (error) {
    deps.log.error(
      { event: "spool.refused", path, reason: errorMessage(error) },
      "the spool's directory cannot be used; batches are held in memory",
    );
  }
  deps.metrics.spoolFaults.inc({ reason: "directory" });
  return undefined;
}

/** Answers how to give it back, or undefined where another living process has it. */
async function lockDirectory(path: string): Promise<(() => Promise<void>) | undefined> {
  const file = join(path, "lock");
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const handle = await open(file, "wx", 0o600);
      await handle.writeFile(String(process.pid));
      await handle.close();
      return async () => await rm(file, { force: true });
    } catch (error) {
      if (!isExisting(error)) throw error;
    }
    const owner = Number(await readFile(file, "utf8").catch(() => "")); // gone in between: not alive
    if (owner !== process.pid && isAlive(owner)) return undefined;
    await rm(file, { force: true });
  }
  return undefined; // somebody else took it at the same moment
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

const isExisting = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "EEXIST";
