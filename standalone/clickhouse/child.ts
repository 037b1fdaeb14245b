/**
 * The engine's own process, forked by `start.ts`: opens the engine, serves it over HTTP, and goes
 * when its parent says so or is gone. Takes its options in the first message, because arguments and
 * environment of a process can be read by others and hold the password otherwise.
 */
import { createHash } from "node:crypto";
import { mkdir, rm, statfs } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { openEngine, type Engine } from "./engine.ts";
import { createFifos } from "./fifo.ts";
import { createFront } from "./front.ts";
import { activeQueries, drainMs, tmpfsFreeBytes } from "./limits.ts";

export interface ChildOptions {
  path: string;
  host: string;
  port: number;
  user: string;
  password: string;
  databases: readonly string[];
}

export type ChildMessage =
  | { kind: "ready"; port: number; version: string }
  | { kind: "failed"; message: string; code: string | undefined };

process.once("message", (message) => {
  // The one sender is start.ts, which sends ChildOptions.
  serve(message as ChildOptions).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code;
    send({ kind: "failed", message: error instanceof Error ? error.message : String(error), code });
    process.exitCode = 1;
    process.disconnect();
  });
});
// Signals of a terminal reach the whole group; the parent decides when the engine goes.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);

function send(message: ChildMessage): void {
  if (process.connected) process.send?.(message);
}

async function serve(options: ChildOptions): Promise<void> {
  const engine = await openEngine({ path: options.path, threads: availableParallelism() });
  for (const database of options.databases) await createDatabase(engine, database);
  const scratch = await makeScratch(options.path);
  const fifos = await createFifos(scratch, activeQueries);
  const front = createFront({
    engine,
    fifos,
    bodyDir: scratch,
    credentials: { user: options.user, password: options.password },
  });
  await new Promise<void>((resolve, reject) => {
    front.server.once("error", reject);
    front.server.listen(options.port, options.host, resolve);
  });
  const address = front.server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  process.once("disconnect", () => {
    front.server.close();
    front.server.closeIdleConnections();
    void (async () => {
      const deadline = performance.now() + drainMs;
      while (front.active() > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      if (front.active() === 0) engine.close();
      await rm(scratch, { recursive: true, force: true });
      // Not process.exit: it joins libuv's threads, and one that still waits in the engine or at a
      // FIFO would keep this process for ever. What was acknowledged is in the parts already.
      process.kill(process.pid, "SIGKILL");
    })();
  });
  send({ kind: "ready", port: address.port, version: engine.version });
}

async function createDatabase(engine: Engine, name: string): Promise<void> {
  await engine.run({
    sql: `CREATE DATABASE IF NOT EXISTS \`${name}\` ENGINE = Atomic`,
    format: "Null",
    database: undefined,
    settings: new Map(),
    parameters: new Map(),
    queryId: "start",
    signal: undefined,
  });
}

/**
 * A folder for bodies and FIFOs: in memory where there is room, else beside the data; never a path
 * that FROM INFILE would expand. Its name comes from the data path, so that what a killed engine
 * left behind is found and removed.
 */
async function makeScratch(path: string): Promise<string> {
  const name = `axonize-${createHash("sha256").update(path).digest("hex").slice(0, 16)}`;
  for (const root of ["/dev/shm", path, tmpdir()]) {
    if (/[*?{}[\]]/.test(root)) continue;
    const dir = join(root, name);
    try {
      await rm(dir, { recursive: true, force: true });
      const { bavail, bsize } = await statfs(root);
      if (bavail * bsize < tmpfsFreeBytes) continue;
      await mkdir(dir, { mode: 0o700 });
      return dir;
    } catch {
      continue; // not there, not writable, or another user's: the next one
    }
  }
  throw new Error(`less than ${tmpfsFreeBytes / 1024 / 1024} MiB are free for insert data`);
}
