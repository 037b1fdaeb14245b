/**
 * The processes of a test cluster: start, ask, kill, read the log.
 *
 * A part's pid is in `<dir>/pids/<name>` and its output in `<dir>/log/<name>.log`, so that another
 * process than the one that started it can kill and start it too. What makes parts end with their
 * owner is in the wrapper that they are started through: for a control plane setpriv(1) with a parent
 * death signal, for a node its PID namespace.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { ensure } from "@axonize/core/runtime/assert";
import { killTimeoutMs, logTailLines, portRange, readyPollMs, readyTimeoutMs } from "./limits.ts";

export interface Parts {
  /** Starts a part, without waiting for it to be ready; its output is appended to its log. */
  start(
    name: string,
    command: string,
    args: readonly string[],
    env?: Record<string, string>,
  ): Promise<void>;
  /** Ends a part and waits until it is gone. Does nothing if it does not run. */
  kill(name: string, signal?: NodeJS.Signals): Promise<void>;
  isRunning(name: string): boolean;
  /** The part's process id as this process sees it. */
  pid(name: string): number | undefined;
  logFile(name: string): string;
  /** Polls until `isReady` says so; rejects with the end of the part's log if it ends or is too slow. */
  ready(name: string, isReady: () => Promise<boolean>): Promise<void>;
}

export interface PartsOptions {
  readonly dir: string;
  /** What stands before each command. */
  readonly wrapper: readonly string[];
  /** Whether the wrapper stays as the part's parent (nsenter into a PID namespace does). */
  readonly forks: boolean;
}

export function createParts(options: PartsOptions): Parts {
  const { dir, wrapper, forks } = options;
  for (const folder of ["pids", "log"]) mkdirSync(join(dir, folder), { recursive: true });
  const logFile = (name: string): string => join(dir, "log", `${name}.log`);
  const pidFile = (name: string): string => join(dir, "pids", name);

  const pid = (name: string): number | undefined => {
    if (!existsSync(pidFile(name))) return undefined;
    const [recorded, startedAt] = readFileSync(pidFile(name), "utf8").split(" ");
    const started = startTicks(Number(recorded));
    return started !== undefined && started === startedAt ? Number(recorded) : undefined;
  };
  const isRunning = (name: string): boolean => pid(name) !== undefined;

  return {
    pid,
    isRunning,
    logFile,
    start: async (name, command, args, env = {}) => {
      const log = openSync(logFile(name), "a");
      const [program, ...before] = [...wrapper, command];
      const child = spawn(program, [...before, ...args], {
        stdio: ["ignore", log, log],
        env: { PATH: process.env["PATH"], HOME: dir, ...env },
        cwd: dir,
        // Apart from the terminal's process group: Ctrl-C reaches the owner, which then cleans up.
        detached: true,
      });
      closeSync(log);
      // A part that cannot be spawned has no pid; `ready` reports it with the log.
      child.on("error", (error) => {
        writeFileSync(logFile(name), `${error.message}\n`, { flag: "a" });
      });
      child.unref();
      if (child.pid === undefined) return;
      const part = forks ? await childOf(child.pid) : child.pid;
      if (part !== undefined) writeFileSync(pidFile(name), `${part} ${startTicks(part) ?? ""}`);
    },
    kill: async (name, signal = "SIGKILL") => {
      const running = pid(name);
      if (running !== undefined) {
        process.kill(running, signal);
        await until(() => !isRunning(name), killTimeoutMs, `${name} to end after ${signal}`);
      }
      rmSync(pidFile(name), { force: true });
    },
    ready: async (name, isReady) => {
      const deadline = performance.now() + readyTimeoutMs;
      while (!(await isReady())) {
        if (!isRunning(name))
          throw new Error(`${name} ended while it started.\n${tail(logFile(name))}`);
        if (performance.now() > deadline) {
          throw new Error(
            `${name} was not ready in ${readyTimeoutMs / 1000} s.\n${tail(logFile(name))}`,
          );
        }
        await sleep(readyPollMs);
      }
    },
  };
}

/** Polls `condition` until it holds; rejects after `timeoutMs` saying what was waited for. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  what: string,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
    await sleep(readyPollMs);
  }
}

/** A TCP port that nobody listens on at `host` now. */
export async function freePort(host: string): Promise<number> {
  for (;;) {
    const port = randomInt(portRange.from, portRange.to);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once("error", () => {
        resolve(false);
      });
      server.listen(port, host, () => {
        server.close(() => {
          resolve(true);
        });
      });
    });
    if (isFree) return port;
  }
}

function tail(file: string): string {
  if (!existsSync(file)) return "It wrote no log.";
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return `The end of ${file}:\n${lines.slice(-logTailLines).join("\n")}`;
}

/**
 * When a living process started, in clock ticks: with the pid it names a process for good. One that was
 * killed counts as living until its last thread is gone: only then are its sockets closed.
 */
export function startTicks(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // No such process any more: that is the answer.
  }
  // The command in parentheses may hold spaces; what follows is the state and then plain fields.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const isDead = fields[0] === "Z" || fields[0] === "X";
  // num_threads: a dead process that others have yet to reap has none but itself.
  return isDead && Number(fields[17]) <= 1 ? undefined : fields[19];
}

/** The one child of a wrapper that forks. It appears within a millisecond of the wrapper's start. */
export async function childOf(parent: number): Promise<number | undefined> {
  const deadline = performance.now() + killTimeoutMs;
  while (startTicks(parent) !== undefined && performance.now() < deadline) {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim();
    if (children !== "") return Number(ensure(children.split(" ")[0], "a child's pid"));
    await sleep(1);
  }
  return undefined;
}
