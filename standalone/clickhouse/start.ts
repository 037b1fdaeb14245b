/**
 * The embedded ClickHouse as the rest of the process sees it: a URL. The engine runs in a child
 * process (a crash or an exhausted memory limit stays there) which is started again on the same port
 * when it dies; until then connections are refused and clients try again. What was acknowledged is
 * in the data directory, so a restart loses nothing.
 */
import { fork, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { ChildMessage, ChildOptions } from "./child.ts";
import { drainMs, threadPoolSize } from "./limits.ts";
import { missingEngine } from "./native.ts";

export interface EmbeddedClickHouse extends AsyncDisposable {
  /** With user, password and database. */
  url: string;
  version: string;
  /** The engine's process, which changes when it is restarted; undefined while there is none. */
  pid(): number | undefined;
}

/** The library needs about 1 s; a large data directory after a crash may take much longer. */
const startBudgetMs = 60_000;
const restartPauseMs = { first: 50, most: 5_000 };

/** Where others than this machine's processes may come in, and with which password. */
export interface RemoteAccess {
  readonly listen: { readonly host: string; readonly port: number };
  readonly password: string;
}

export async function startClickHouse(options: {
  dataDir: string;
  log: Log;
  signal: AbortSignal;
  /** Default: a free port of loopback, and a password that is new with each start. */
  remote?: RemoteAccess;
}): Promise<EmbeddedClickHouse> {
  const missing = missingEngine(process.platform, process.arch);
  if (missing !== undefined) throw new StartError(missing);
  const child: ChildOptions = {
    path: join(options.dataDir, "clickhouse"),
    host: options.remote?.listen.host ?? "127.0.0.1",
    port: options.remote?.listen.port ?? 0,
    user: "axonize",
    password: options.remote?.password ?? randomBytes(24).toString("base64url"),
    databases: ["axonize"],
  };
  const supervisor = createSupervisor(child, options.log);
  const ready = await supervisor.start(options.signal);
  return {
    url: `http://${child.user}:${encodeURIComponent(child.password)}@127.0.0.1:${ready.port}/axonize`,
    version: ready.version,
    pid: () => supervisor.pid(),
    [Symbol.asyncDispose]: async () => await supervisor.stop(),
  };
}

interface Ready {
  port: number;
  version: string;
}

function createSupervisor(
  options: ChildOptions,
  log: Log,
): {
  start(signal: AbortSignal): Promise<Ready>;
  stop(): Promise<void>;
  pid(): number | undefined;
} {
  let child: ChildProcess | undefined;
  let pauseTimer: NodeJS.Timeout | undefined;
  let stopping = false;
  let pauseMs = restartPauseMs.first;

  const launch = async (signal: AbortSignal | undefined): Promise<Ready> => {
    const started = spawnChild(log);
    child = started;
    started.send(options);
    const ready = await waitReady(started, signal);
    options.port = ready.port;
    pauseMs = restartPauseMs.first;
    started.once("exit", (code, exitSignal) => {
      child = undefined;
      if (stopping) return;
      log.error(
        { event: "clickhouse.died", code, signal: exitSignal },
        "the engine's process ended; starting it again",
      );
      restart();
    });
    return ready;
  };
  const restart = (): void => {
    pauseTimer = setTimeout(() => {
      launch(undefined).then(
        () => log.info({ event: "clickhouse.restarted" }, "the engine serves again"),
        (error: unknown) => {
          if (stopping) return;
          log.error({ event: "clickhouse.restart_failed", err: error }, "the engine did not start");
          restart();
        },
      );
    }, pauseMs);
    pauseMs = Math.min(pauseMs * 2, restartPauseMs.most);
  };
  return {
    start: launch,
    pid: () => child?.pid,
    stop: async () => {
      stopping = true;
      clearTimeout(pauseTimer);
      if (child !== undefined) await stopChild(child);
    },
  };
}

function spawnChild(log: Log): ChildProcess {
  const child = fork(join(import.meta.dirname, "child.ts"), {
    // Nothing of our environment is the engine's business; it runs in UTC.
    env: { UV_THREADPOOL_SIZE: String(threadPoolSize), TZ: "UTC" },
    execArgv: ["--max-semi-space-size=8"],
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      log.warn({ event: "clickhouse.output", text: text.slice(0, 4_000) }, "the engine wrote");
    });
  }
  return child;
}

async function waitReady(child: ChildProcess, signal: AbortSignal | undefined): Promise<Ready> {
  const budget = AbortSignal.timeout(startBudgetMs);
  const stop = new AbortController();
  const either = AbortSignal.any([budget, stop.signal, ...(signal === undefined ? [] : [signal])]);
  const exited = (async () => {
    const [code, exitSignal]: unknown[] = await once(child, "exit", { signal: either });
    throw new Error(
      `the engine's process ended with ${String(code ?? exitSignal)} before it was ready`,
    );
  })();
  try {
    const message = await Promise.race([once(child, "message", { signal: either }), exited]);
    // The one sender is child.ts.
    const reply = message[0] as ChildMessage;
    if (reply.kind === "failed") throw startError(reply);
    return reply;
  } catch (error) {
    child.kill("SIGKILL");
    if (budget.aborted) {
      throw new StartError(
        `The embedded ClickHouse was not ready after ${startBudgetMs / 1000} s. The machine may be overloaded or the data directory damaged; the log has the engine's own words.`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    stop.abort();
    exited.catch(() => undefined); // lost the race
  }
}

function startError(reply: Extract<ChildMessage, { kind: "failed" }>): Error {
  if (reply.code === "EADDRINUSE") return new Error(reply.message);
  if (reply.code === "ENOSPC") {
    return new StartError(
      `The disk is full: the embedded ClickHouse could not start (${reply.message}). Free some space and start again.`,
    );
  }
  return new StartError(
    `The embedded ClickHouse could not open its data (${reply.message.trim()}). If the directory was damaged, move it away (\`mv <data dir>/clickhouse <data dir>/clickhouse.broken\`) to start with an empty store, or restore it from a backup.`,
  );
}

/** Asks the child to finish (its channel closes), then insists. */
async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), drainMs + 1_000);
  if (child.connected) child.disconnect();
  await exited;
  clearTimeout(timer);
}
