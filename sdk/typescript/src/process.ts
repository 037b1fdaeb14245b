/**
 * The SDK's life in a thread of the program: init, flush, shutdown, exit, SIGTERM. A child process
 * (fork, cluster) is a program of its own; a worker thread has its own ring and exporter and flushes
 * when it ends by itself. At exit what is finished is sent within EXIT_MS.
 */
import { isMainThread } from "node:worker_threads";
import { resolve, type InitOptions } from "./config.ts";
import { Control } from "./layout.ts";
import { EXIT_MS } from "./limits.ts";
import { warnOnce } from "./log.ts";
import { resourceAttributes } from "./resource.ts";
import { Session } from "./session.ts";
import { shared } from "./shared.ts";

/** Counters of this process. */
export interface Stats {
  /** Spans that ended while recording. */
  readonly recorded: number;
  /** Of those: waiting or on their way. */
  readonly pending: number;
  /** Taken by the server. */
  readonly sent: number;
  /** Not recorded because the buffer was full. */
  readonly dropped: number;
  /** Refused by the server or given up. */
  readonly lost: number;
  /** Attributes and events that did not fit their span. */
  readonly truncated: number;
}

export function startSession(options: InitOptions): void {
  if (options.log !== undefined) shared.log = options.log;
  const config = resolve(options, process.env);
  end(shared.session);
  if (config.disabled) return;
  if (options.gpuProfiling === true) {
    warnOnce("gpu", "gpuProfiling: GPU readings come from the node's agent in this version");
  }
  const resource = resourceAttributes(config.resource, process.env);
  const session = new Session(config, resource, () => {
    if (shared.session === session) shared.ring = undefined;
  });
  shared.session = session;
  shared.ring = session.ring;
  shared.exitTimeoutMs = config.exitTimeoutMs;
  hook(options.handleSignals ?? true);
}

export async function flushSession(timeoutMs: number): Promise<boolean> {
  const { session } = shared;
  return session === undefined ? true : await session.flush(bounded(timeoutMs));
}

export async function stopSession(timeoutMs: number): Promise<boolean> {
  const { session } = shared;
  if (session === undefined) return true;
  shared.session = undefined;
  shared.ring = undefined;
  return await ending(session, bounded(timeoutMs));
}

export function sessionStats(): Stats {
  const ring = shared.session?.ring;
  return {
    recorded: ring?.recorded ?? 0,
    pending: shared.session?.pending ?? 0,
    sent: ring?.control(Control.SENT) ?? 0,
    dropped: ring?.dropped ?? 0,
    lost: shared.lostBefore + (ring?.control(Control.LOST) ?? 0),
    truncated: shared.truncated,
  };
}

/** A session that another takes over from sends what it has in the background. */
function end(session: Session | undefined): void {
  if (session === undefined) return;
  shared.session = undefined;
  shared.ring = undefined;
  void ending(session, EXIT_MS);
}

async function ending(session: Session, timeoutMs: number): Promise<boolean> {
  shared.ending.add(session);
  try {
    return await session.stop(timeoutMs);
  } finally {
    shared.ending.delete(session);
    shared.lostBefore += session.pending + session.ring.control(Control.LOST);
  }
}

function hook(handleSignals: boolean): void {
  if (shared.hooked) return;
  shared.hooked = true;
  process.on("exit", () => flushAllSync(shared.exitTimeoutMs));
  process.on("beforeExit", () => {
    for (const session of [shared.session, ...shared.ending]) {
      session?.flushBeforeExit(shared.exitTimeoutMs);
    }
  });
  if (!handleSignals || !isMainThread) return;
  // First in line, so that a handler of the program's that removes itself is still counted.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.prependListener(signal, onSignal);
}

function flushAllSync(timeoutMs: number): void {
  const deadline = performance.now() + timeoutMs;
  for (const session of [shared.session, ...shared.ending]) {
    session?.flushSync(Math.max(0, deadline - performance.now()));
  }
}

/** Where the program handles the signal itself it will end as it likes, and `exit` flushes then. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  flushAllSync(shared.exitTimeoutMs / 2);
  process.removeListener(signal, onSignal);
  process.kill(process.pid, signal);
}

function bounded(timeoutMs: number): number {
  return timeoutMs >= 0 ? Math.min(timeoutMs, 3_600_000) : 0;
}
