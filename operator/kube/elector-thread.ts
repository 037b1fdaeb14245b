/**
 * Leadership as the main thread sees it: starts the elector's thread, beats for it, answers whether this
 * process may write now, and hears of the loss.
 *
 * Whether it may write is read from shared memory, not from messages: after a stop of the whole process the
 * answer is no at once, before any message could be delivered.
 */
import { Worker } from "node:worker_threads";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { ClusterAccess } from "./access.ts";
import { ApiError } from "./api-error.ts";
import type { WriteGate } from "./client.ts";
import { slots, type ElectorData, type ToMain, type ToWorker } from "./elector-messages.ts";
import type { LeaseOptions } from "./elector.ts";
import { beatMs, credentialsMs, threadMemoryMb } from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";

export interface Leadership extends WriteGate {
  /** Resolves with the epoch; never, where another leads all the time. */
  readonly acquired: Promise<number>;
  /** Aborts when the lease is lost. The process has to end then. */
  readonly lost: AbortSignal;
  mayWrite(): boolean;
  holder(): string | undefined;
  /** Gives the lease back and ends the thread. */
  release(): Promise<void>;
}

interface LeadershipDeps {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: KubeMetrics;
}

export async function startLeadership(
  deps: LeadershipDeps,
  options: LeaseOptions & { userAgent: string },
): Promise<Leadership> {
  const { access, metrics } = deps;
  const { userAgent, ...lease } = options;
  const shared = new BigInt64Array(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT));
  Atomics.store(shared, slots.beat, process.hrtime.bigint());
  const credentials = await access.credentials();
  const data: ElectorData = {
    url: access.url,
    userAgent,
    credentials,
    lease,
    shared: shared.buffer,
  };
  const worker = new Worker(new URL("./elector-worker.ts", import.meta.url), {
    workerData: data,
    resourceLimits: threadMemoryMb,
  });
  const stop = new AbortController();
  const state = listen(deps, worker, lease, stop.signal);
  const loops = startLoops(deps, worker, shared, stop.signal);
  const { lost } = state;
  const mayWrite = (): boolean =>
    process.hrtime.bigint() < Atomics.load(shared, slots.validUntil) && !lost.aborted;
  return {
    acquired: state.acquired,
    lost,
    holder: () => state.holder(),
    mayWrite,
    assertMayWrite: () => {
      if (mayWrite()) return;
      throw new ApiError("this process does not hold the lease: nothing is written", {
        status: 0,
        reason: "NotLeader",
      });
    },
    async release() {
      if (stop.signal.aborted) return;
      // The beat goes on until the thread has ended: its own end is no reason for another.
      tell(worker, { type: "release" });
      await state.released;
      stop.abort();
      metrics.leaderMaster.set({ name: lease.name }, 0);
      await loops;
      await worker.terminate();
    },
  };
}

// A thread is no window: it has no origin to name.
const tell = (worker: Worker, message: ToWorker): void => worker.postMessage(message, []);

/** What the thread says, as promises and a signal. */
function listen(
  { access, log, metrics }: LeadershipDeps,
  worker: Worker,
  lease: LeaseOptions,
  stopping: AbortSignal,
) {
  const lost = new AbortController();
  const acquired = Promise.withResolvers<number>();
  const released = Promise.withResolvers<void>();
  let holder: string | undefined;
  const label = { name: lease.name };
  metrics.leaderMaster.set(label, 0);
  metrics.leaderSlowpath.inc(label, 0);
  const lose = (reason: string): void => {
    metrics.leaderMaster.set(label, 0);
    if (!stopping.aborted) lost.abort(new Error(reason));
  };
  const onMessage: { [T in ToMain["type"]]: (message: ToMain & { type: T }) => void } = {
    acquired: ({ epoch }) => {
      metrics.leaderMaster.set(label, 1);
      log.info({ event: "kube.leading", epoch, identity: lease.identity });
      acquired.resolve(epoch);
    },
    lost: ({ reason }) => lose(reason),
    slowpath: () => metrics.leaderSlowpath.inc(label),
    refused: () => {
      refresh(access, worker, true).catch((error: unknown) =>
        log.warn({ event: "kube.credentials", reason: errorMessage(error) }),
      );
    },
    holder: ({ identity }) => {
      holder = identity;
      log.info({ event: "kube.leader", holder });
    },
    trouble: ({ reason }) => log.warn({ event: "kube.lease", reason }),
    released: ({ failure }) => {
      if (failure !== undefined) log.warn({ event: "kube.release", reason: failure });
      released.resolve();
    },
  };
  worker.on("message", (message: ToMain) => {
    // Each handler is named after the message that it takes.
    (onMessage[message.type] as (message: ToMain) => void)(message);
  });
  worker.on("error", (error) => lose(`the elector's thread failed: ${errorMessage(error)}`));
  worker.on("exit", () => {
    released.resolve();
    lose("the elector's thread ended");
  });
  return {
    acquired: acquired.promise,
    released: released.promise,
    lost: lost.signal,
    holder: () => holder,
  };
}

async function refresh(access: ClusterAccess, worker: Worker, refused: boolean): Promise<void> {
  tell(worker, { type: "credentials", credentials: await access.credentials(refused) });
}

/** The beat, and credentials while they are fresh. */
async function startLoops(
  { access, clock, log }: LeadershipDeps,
  worker: Worker,
  shared: BigInt64Array,
  signal: AbortSignal,
): Promise<void> {
  const onError = (error: unknown): void => {
    log.warn({ event: "kube.credentials", reason: errorMessage(error) });
  };
  await Promise.all([
    every({ clock, ms: beatMs, signal, onError }, () => {
      Atomics.store(shared, slots.beat, process.hrtime.bigint());
    }),
    every({ clock, ms: credentialsMs / 2, signal, onError }, async () => {
      await refresh(access, worker, false);
    }),
  ]);
}
