/**
 * The embedded PostgreSQL: real PostgreSQL 18 binaries over a folder of the data directory, on a free
 * loopback port with a random password that is kept in a 0600 file.
 *
 * Runs the binaries itself: the package's own class adds users to the system, writes the password
 * where all can read it and installs signal handlers. A server that a killed process left running is
 * stopped first; a lost one is started again on the same port.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, statSync } from "node:fs";
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { chooseAccount, type Account } from "./account.ts";
import { findBinaries, type Binaries } from "./binaries.ts";
import {
  initBudgetMs,
  readyBudgetMs,
  remoteSettings,
  serverLogBytes,
  serverSettings,
  stopBudgetMs,
} from "./limits.ts";
import { readPidFile, stopOrphan } from "./pid-file.ts";

export interface EmbeddedPostgres extends AsyncDisposable {
  url: string;
  pid(): number | undefined;
}

/** Lets others than this machine's processes in: one account, into one database, by password. */
export interface RemotePostgres {
  readonly listen: { readonly host: string; readonly port: number };
  readonly user: string;
  readonly database: string;
  /** Default: `stopBudgetMs`. */
  readonly stopBudgetMs?: number;
}

export async function startPostgres(options: {
  dataDir: string;
  log: Log;
  signal: AbortSignal;
  /** Default: a free port of loopback. */
  remote?: RemotePostgres;
}): Promise<EmbeddedPostgres> {
  const { log, signal } = options;
  const home = join(options.dataDir, "postgres");
  const binaries = await findBinaries();
  await mkdir(home, { recursive: true });
  const account = await chooseAccount({
    uid: process.getuid?.(),
    path: "/usr/bin:/bin:/usr/sbin:/sbin",
    owner: statSync(join(home, "data"), { throwIfNoEntry: false })?.uid,
    reach: [home, dirname(binaries.postgres)],
  });
  const { remote } = options;
  const cluster = join(home, "data");
  const settings = remote === undefined ? serverSettings : await admitRemote(home, remote);
  const server: Server = { home, cluster, binaries, account, log, port: 0, settings };
  const password = await readPassword(home);
  await stopOrphan(server.cluster, log);
  if (readVersionFile(server.cluster) === undefined) await initialise(server, password, signal);
  server.port = remote?.listen.port || (await freePort());
  let child = await launch(server, signal);
  const state = { stopping: false };
  const supervise = (): void => {
    child.once("exit", (code, exitSignal) => {
      if (state.stopping) return;
      log.error(
        { event: "postgres.died", code, signal: exitSignal },
        "PostgreSQL ended; starting it again",
      );
      void relaunch();
    });
  };
  const relaunch = async (): Promise<void> => {
    for (let pauseMs = 100; !state.stopping; pauseMs = Math.min(pauseMs * 2, 5_000)) {
      try {
        child = await launch(server, undefined);
        supervise();
        return;
      } catch (error) {
        log.error({ event: "postgres.restart_failed", err: error }, "PostgreSQL did not start");
        await sleep(pauseMs);
      }
    }
  };
  supervise();
  return {
    url: `postgres://axonize:${password}@127.0.0.1:${server.port}/postgres`,
    pid: () => child.pid,
    [Symbol.asyncDispose]: async () => {
      state.stopping = true;
      await stopServer(child, remote?.stopBudgetMs);
    },
  };
}

interface Server {
  home: string;
  cluster: string;
  binaries: Binaries;
  account: Account;
  log: Log;
  port: number;
  settings: Readonly<Record<string, string>>;
}

/**
 * The superuser stays on loopback; from elsewhere there is one account and one database. The rules are a
 * file of their own, so that a server without remote access goes back to initdb's.
 */
async function admitRemote(
  home: string,
  remote: RemotePostgres,
): Promise<Readonly<Record<string, string>>> {
  const file = join(home, "remote.hba");
  const anywhere = ["0.0.0.0/0", "::/0"].map(
    (range) => `host ${remote.database} ${remote.user} ${range} scram-sha-256\n`,
  );
  await writeFile(file, `host all all 127.0.0.1/32 scram-sha-256\n${anywhere.join("")}`);
  // "*" is every address of both families; the superuser's own connection needs 127.0.0.1.
  const isEverywhere = ["0.0.0.0", "::"].includes(remote.listen.host);
  return {
    ...serverSettings,
    ...remoteSettings,
    listen_addresses: isEverywhere ? "*" : `127.0.0.1,${remote.listen.host}`,
    hba_file: file,
  };
}

async function readPassword(home: string): Promise<string> {
  const file = join(home, "password");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const password = randomBytes(24).toString("base64url");
  await writeFile(file, `${password}\n`, { mode: 0o600, flag: "wx" });
  return password;
}

/** Builds the cluster beside its place and renames it, so that an interrupted start leaves no half. */
async function initialise(server: Server, password: string, signal: AbortSignal): Promise<void> {
  const { home, account, binaries } = server;
  const fresh = join(home, "data.new");
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  const passwordFile = join(home, "password.init");
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account.ids !== undefined) {
    await chmod(home, 0o711);
    await chown(fresh, account.ids.uid, account.ids.gid);
    await chown(passwordFile, account.ids.uid, account.ids.gid);
  }
  const args = ["-D", fresh, "-U", "axonize", `--pwfile=${passwordFile}`, "--auth=scram-sha-256"];
  args.push(
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--wal-segsize=4",
    "--data-checksums",
  );
  const run = account.wrap(binaries.initdb, args);
  const child = spawn(run.command, run.args, {
    ...(run.uid === undefined ? {} : { uid: run.uid, gid: run.gid }),
    cwd: "/",
    env: { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "ignore", "pipe"],
    signal: AbortSignal.any([signal, AbortSignal.timeout(initBudgetMs)]),
  });
  let words = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-4_000);
  });
  try {
    const [code]: unknown[] = await once(child, "close");
    if (code !== 0) throw initError(words);
  } finally {
    await rm(passwordFile, { force: true });
  }
  await writeFile(
    join(fresh, "postgresql.auto.conf"),
    "# Settings are given on the command line.\n",
  );
  await rename(fresh, server.cluster);
}

function initError(words: string): StartError {
  const reason = /No space left/.test(words)
    ? "the disk is full"
    : words.trim() || "initdb gave no reason";
  return new StartError(
    `The embedded PostgreSQL could not create its data: ${reason}. Free space or choose another AXONIZE_DATA_DIR, and start again.`,
  );
}

async function launch(server: Server, signal: AbortSignal | undefined): Promise<ChildProcess> {
  const { account, binaries, cluster } = server;
  const settings = { ...server.settings, port: String(server.port) };
  const args = [
    "-D",
    cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
  const run = account.wrap(binaries.postgres, args);
  const logFile = join(server.home, "server.log");
  const output = openSync(logFile, sizeOf(logFile) > serverLogBytes ? "w" : "a", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(run.command, run.args, {
      ...(run.uid === undefined ? {} : { uid: run.uid, gid: run.gid }),
      cwd: "/",
      env: { LC_ALL: "C", TZ: "UTC", PATH: "/usr/bin:/bin" },
      stdio: ["ignore", output, output],
      // Ctrl-C in a terminal is for us: a server that stops first would fail what is in flight.
      detached: true,
    });
  } finally {
    closeSync(output);
  }
  await waitReady(server, child, signal);
  return child;
}

async function waitReady(
  server: Server,
  child: ChildProcess,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadline = performance.now() + readyBudgetMs;
  let failure: Error | undefined;
  child.once("error", (error) => {
    failure = error;
  });
  for (;;) {
    const pidFile = await readPidFile(server.cluster);
    if (pidFile !== undefined && pidFile.pid === child.pid && pidFile.ready) return;
    if (failure !== undefined || child.exitCode !== null || child.signalCode !== null) {
      throw await startError(server, failure);
    }
    if (signal?.aborted === true || performance.now() > deadline) {
      await stopServer(child);
      signal?.throwIfAborted();
      throw new StartError(
        `The embedded PostgreSQL was not ready after ${readyBudgetMs / 1000} s; ${join(server.home, "server.log")} has its own words.`,
      );
    }
    await sleep(15);
  }
}

async function startError(server: Server, failure: Error | undefined): Promise<StartError> {
  const words =
    failure?.message ?? (await readFile(join(server.home, "server.log"), "utf8")).slice(-2_000);
  const lines = words
    .trim()
    .split("\n")
    .filter((line) => /FATAL|PANIC|ERROR/.test(line));
  const reason = (lines.at(-1) ?? words.trim().split("\n").at(-1) ?? "it gave no reason").replace(
    /^.*?(FATAL|PANIC|ERROR):\s*/,
    "",
  );
  if (/No space left/.test(words)) {
    return new StartError(
      "The disk is full: the embedded PostgreSQL could not start. Free some space and start again.",
    );
  }
  return new StartError(
    `The embedded PostgreSQL could not open its data: ${reason}. If the directory was damaged, move it away (\`mv ${server.cluster} ${server.cluster}.broken\`) to start with empty tenants and keys, or restore it from a backup.`,
    { cause: failure },
  );
}

/** SIGINT is PostgreSQL's fast shutdown; what does not end in time is cut short and recovers later. */
async function stopServer(child: ChildProcess, budgetMs = stopBudgetMs): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGINT");
  const timer = setTimeout(() => child.kill("SIGQUIT"), budgetMs);
  await exited;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}

function readVersionFile(cluster: string): number | undefined {
  try {
    return statSync(join(cluster, "PG_VERSION")).size;
  } catch {
    return undefined; // no cluster yet
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
