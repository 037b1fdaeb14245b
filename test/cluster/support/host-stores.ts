/**
 * The stores as services outside of the cluster: the process that the stores image runs, on the host, where
 * pods reach it at `hostIp`. Tests kill its PostgreSQL, its ClickHouse, or all of it.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../support/free-ports.ts";
import { eventually } from "./eventually.ts";

export interface HostStores extends AsyncDisposable {
  readonly clickhouseUrl: string;
  readonly postgresUrl: string;
  /** Ends PostgreSQL with SIGKILL, as a machine that loses power would; its keeper starts it again. */
  killPostgres(): void;
  /** The same for the engine's process of ClickHouse. */
  killClickHouse(): void;
}

const root = join(import.meta.dirname, "../../..");

export async function startHostStores(hostIp: string): Promise<HostStores> {
  // On all addresses: the process itself speaks to both over loopback.
  const { clickhouse, postgres, ops } = await freePorts("clickhouse", "postgres", "ops");
  const home = mkdtempSync(join(tmpdir(), "axonize-stores-"));
  const password = randomBytes(16).toString("hex");
  const log = createWriteStream(join(home, "stores.log"));
  const child = spawn(process.execPath, [join(root, "standalone/stores/main.ts")], {
    env: {
      PATH: process.env["PATH"],
      AXONIZE_DATA_DIR: join(home, "data"),
      AXONIZE_STORES_CLICKHOUSE_LISTEN: `0.0.0.0:${clickhouse}`,
      AXONIZE_STORES_POSTGRES_LISTEN: `0.0.0.0:${postgres}`,
      AXONIZE_STORES_OPS_LISTEN: `127.0.0.1:${ops}`,
      AXONIZE_STORES_CLICKHOUSE_PASSWORD: password,
      AXONIZE_STORES_POSTGRES_PASSWORD: password,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.pipe(log);
  child.stderr.pipe(log);
  const stop = async (): Promise<void> => {
    await end(child);
    log.end();
    rmSync(home, { recursive: true, force: true });
  };
  try {
    await eventually("the stores are ready", async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(home, "stores.log"), "utf8"));
      return (await fetch(`http://127.0.0.1:${ops}/readyz`)).ok || undefined;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    clickhouseUrl: `http://axonize:${password}@${hostIp}:${clickhouse}/axonize`,
    postgresUrl: `postgres://app:${password}@${hostIp}:${postgres}/axonize`,
    killPostgres: () => {
      const pidFile = join(home, "data/postgres/data/postmaster.pid");
      process.kill(Number(readFileSync(pidFile, "utf8").split("\n")[0]), "SIGKILL");
    },
    killClickHouse: () => {
      const engine = childrenOf(child.pid).find((pid) =>
        readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("clickhouse/child.ts"),
      );
      if (engine === undefined) throw new Error("the engine has no process");
      process.kill(engine, "SIGKILL");
    },
    [Symbol.asyncDispose]: stop,
  };
}

function childrenOf(pid: number | undefined): number[] {
  const text = readFileSync(`/proc/${pid ?? 0}/task/${pid ?? 0}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
