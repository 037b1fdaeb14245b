/**
 * `AgentService/Report` on the OTLP/gRPC port: takes the streams that the receiver hands over, checks
 * their credentials, frames bytes and keeps one stream per agent.
 *
 * Of two agents on one node the younger one reports; the other is told so, whichever replica it is at
 * (`identity-store.ts`). A stream whose credential ends, or that says nothing, is closed; agents come again
 * by themselves. Each is told what its node's pool wants, and to report less often where there are many.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { every } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { withinMs } from "../within.ts";
import { credentialOf } from "../receive/door.ts";
import type { Authorize, Credential } from "./credential.ts";
import { configFrame, type Hello } from "./frames.ts";
import { openGrpcStream, type GrpcStatus, type GrpcStream } from "./grpc-stream.ts";
import type { AgentName } from "./identity-store.ts";
import * as limits from "./limits.ts";
import type { PoolConfigs } from "./pool-configs.ts";
import { AgentSession, StreamFailure, type SessionDeps } from "./session.ts";

export interface AgentService {
  /** Serves a stream to its end. Never rejects. */
  serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void>;
  /** The pools' configurations changed. */
  retell(): void;
  /** Ends all streams; resolves when what was in work is stored, within `drainMs`. */
  stop(): Promise<void>;
}

interface Running {
  readonly stream: GrpcStream;
  readonly session: AgentSession;
  readonly token: string | undefined;
  name: (AgentName & { epoch: string }) | undefined;
  checkedMs: number;
  /** The configuration that the agent was told last. */
  told: string;
  readonly done: Promise<void>;
}

interface Deps extends SessionDeps {
  readonly authorize: Authorize;
  readonly pools: Pick<PoolConfigs, "of">;
}

/** `cluster`: of agents with a ServiceAccount token; others say theirs. */
export function createAgentService(deps: Deps, options: { cluster: string }): AgentService {
  const { clock, log, metrics } = deps;
  const running = new Set<Running>();
  const abort = new AbortController();
  const tell = createTelling(running, deps.pools);

  const serve: AgentService["serve"] = async (raw, headers) => {
    const token = credentialOf(headers.authorization, undefined);
    const stream = openGrpcStream(raw, {
      frameBytes: limits.frameBytes,
      waiting: limits.framesWaiting,
      now: () => clock.monotonic(),
    });
    const credential =
      running.size >= limits.streams || abort.signal.aborted ? full : await deps.authorize(token);
    if (!credential.ok) {
      metrics.ends.inc({ reason: credential.code });
      stream.end(statuses[credential.code], credential.message);
      return;
    }
    const finished = Promise.withResolvers<void>();
    const admit = async (hello: Hello): Promise<AgentName> => {
      const name = nameFor(hello, credential, options.cluster);
      await takeOver(running, one, { ...name, epoch: hello.epochs[0] ?? "" });
      return name;
    };
    const one: Running = {
      stream,
      session: new AgentSession(deps, { send: (frame) => stream.send(frame), admit }),
      token,
      name: undefined,
      checkedMs: clock.monotonic(),
      told: untold,
      done: finished.promise,
    };
    running.add(one);
    metrics.streams.set(running.size);
    tell();
    const reason = await converse(deps, one, tell);
    running.delete(one);
    metrics.streams.set(running.size);
    metrics.ends.inc({ reason });
    finished.resolve();
  };

  const sweep = every(
    {
      clock,
      ms: limits.sweepMs,
      signal: abort.signal,
      onError: (error) => log.error({ event: "agents.sweep", err: error }),
    },
    async () => {
      for (const one of running) await check(deps, one);
      tell();
    },
  );
  return {
    serve,
    retell: tell,
    stop: async () => {
      abort.abort();
      for (const { stream } of running) stream.end("unavailable", "The server stops; come again.");
      await withinMs(
        clock,
        limits.drainMs,
        Promise.all([...running].map(async ({ done }) => await done)),
      );
      await sweep;
    },
  };
}

/** Before it is told anything, an agent reports this often. */
const defaultPeriodMs = 1_000;
const untold = JSON.stringify({ reportPeriodMs: defaultPeriodMs });

/**
 * Tells every agent its configuration where that changed. More agents report less often each, so that
 * ClickHouse gets a bounded number of inserts.
 */
function createTelling(running: ReadonlySet<Running>, pools: Pick<PoolConfigs, "of">): () => void {
  return () => {
    const pace = Math.max(1, Math.ceil(running.size / limits.batchesPerSecond));
    for (const one of running) {
      if (one.name === undefined) continue;
      const pool = pools.of(one.name);
      const wanted = pool?.["reportPeriodMs"];
      const reportPeriodMs = Math.max(
        pace * defaultPeriodMs,
        typeof wanted === "number" ? wanted : defaultPeriodMs,
      );
      const config = JSON.stringify({ ...pool, reportPeriodMs });
      if (config === one.told) continue;
      one.told = config;
      one.stream.send(configFrame(config));
    }
  };
}

/** Frames one after another until the stream ends. Answers why it did. */
async function converse(deps: Deps, one: Running, tell: () => void): Promise<string> {
  const { log } = deps;
  const { stream, session } = one;
  let reason = "closed";
  try {
    for (;;) {
      const frame = await stream.next();
      if (frame === undefined) break;
      await session.take(frame);
      if (one.name === undefined && session.agent !== undefined) {
        one.name = session.agent;
        log.info({ event: "agent.connected", ...session.agent });
        tell();
      }
    }
    reason = stream.ended() ?? reason;
  } catch (error) {
    const failure =
      error instanceof StreamFailure
        ? error
        : new StreamFailure("unavailable", "The server failed on its own.", { cause: error });
    reason = failure.code;
    log.warn({
      event: "agent.failed",
      ...session.agent,
      reason: failure.message,
      err: failure.cause,
    });
    stream.end(statuses[failure.code], failure.message);
  }
  try {
    await session.close();
  } catch (error) {
    // The mark is behind; the batches' tokens recognise what is sent again.
    log.warn({ event: "agent.mark", ...session.agent, reason: errorMessage(error) });
  }
  log.info({ event: "agent.left", ...session.agent, reason });
  stream.end("unavailable", "The stream ended.");
  return reason;
}

const full: Credential & { ok: false } = {
  ok: false,
  code: "unavailable",
  message: "No room for another agent.",
};

const statuses: Readonly<
  Record<StreamFailure["code"] | (Credential & { ok: false })["code"], GrpcStatus>
> = {
  unauthenticated: "unauthenticated",
  forbidden: "permission-denied",
  unavailable: "unavailable",
  invalid: "invalid-argument",
  superseded: "already-exists",
};

function nameFor(hello: Hello, credential: Credential & { ok: true }, cluster: string): AgentName {
  const { node } = credential;
  if (node === undefined) return { cluster: hello.cluster, node: hello.node };
  if (node !== hello.node) {
    throw new StreamFailure("forbidden", `This token speaks for node ${node} only.`);
  }
  return { cluster, node };
}

/** Of the streams of one node only the youngest life's goes on; its own older stream is half open. */
async function takeOver(
  running: ReadonlySet<Running>,
  mine: Running,
  name: AgentName & { epoch: string },
): Promise<void> {
  for (const other of running) {
    const { name: theirs } = other;
    if (other === mine || theirs?.node !== name.node || theirs.cluster !== name.cluster) continue;
    if (theirs.epoch > name.epoch) {
      throw new StreamFailure("superseded", "A younger agent reports for this node.");
    }
    other.stream.end("already-exists", "Another stream reports for this node now.");
    await other.done; // a batch in its hands is stored before ours are looked at
  }
}

async function check(deps: Deps, one: Running): Promise<void> {
  const now = deps.clock.monotonic();
  if (now - one.stream.heardMs() > limits.silenceMs) {
    one.stream.end("unavailable", "Nothing was heard for too long.");
    return;
  }
  if (now - one.checkedMs < limits.recheckMs) return;
  one.checkedMs = now;
  const credential = await deps.authorize(one.token);
  if (credential.ok || credential.code === "unavailable") return;
  one.stream.end("unauthenticated", credential.message);
}
