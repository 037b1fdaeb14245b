/**
 * Brings caches, leadership and controllers together, and takes them apart in the right order.
 *
 * Every replica fills its caches, so that the next leader starts from them; only the leader works. A stop
 * takes keys out of no queue any more, lets what runs finish, then ends caches, gives the lease back and
 * closes the connections. A loss of the lease ends everything at once: `onFatal` is to end the process.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { ClusterAccess } from "./access.ts";
import { createKubeClient } from "./client.ts";
import { createController, type Controller } from "./controller.ts";
import { startLeadership, type Leadership } from "./elector-thread.ts";
import type { LeaseOptions } from "./elector.ts";
import { createInformers, type Informers } from "./informers.ts";
import {
  abortMs,
  cacheSyncMs,
  drainMs,
  requestBurst,
  requestsPerSecond,
  resyncMs,
} from "./limits.ts";
import { createKubeMetrics, type KubeMetrics } from "./metrics.ts";
import { createQueue, type WorkQueue } from "./queue.ts";
import { createRateBucket } from "./rate-bucket.ts";
import { createRecorder, type RunningRecorder } from "./recorder.ts";
import { createTransport, type Transport } from "./transport.ts";
import type { ControllerBuilder, KubeClient, Reconciler } from "./types.ts";
import { wireController, type Wiring } from "./wiring.ts";

export interface ManagerDeps {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** 0–1. */
  readonly random: () => number;
  /** The process cannot go on: the lease is lost, or the caches were not filled in time. */
  readonly onFatal: (reason: string) => void;
}

export interface ManagerOptions {
  readonly userAgent: string;
  readonly lease: LeaseOptions;
}

export interface Manager {
  readonly client: KubeClient;
  readonly transport: Transport;
  readonly metrics: KubeMetrics;
  /** The caches; those of all controllers, and of whoever asks. */
  readonly informers: Informers;
  /** Before `start`. */
  add(
    name: string,
    controller: { wire(builder: ControllerBuilder): Reconciler },
    options?: { workers?: number },
  ): void;
  start(): Promise<void>;
  isLeading(): boolean;
  /** Moves the gauges that depend on now. */
  observe(): void;
  /** Why it is not ready; empty: it is. */
  problems(): string[];
  /** In order, within 30 s. */
  stop(): Promise<void>;
}

/** Reconciles at once per controller: 8 × 12 calls fit the client's burst. */
const defaultWorkers = 8;

interface Entry {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly recorder: RunningRecorder;
  readonly wiring: Wiring;
  readonly controller: Controller;
}

export function createManager(deps: ManagerDeps, options: ManagerOptions): Manager {
  const { clock, log, random } = deps;
  const metrics = createKubeMetrics(deps.registry);
  const bucket = createRateBucket(
    { clock, onWait: () => metrics.throttled.inc() },
    { perSecond: requestsPerSecond, burst: requestBurst },
  );
  const transport = createTransport(
    { access: deps.access, clock, bucket, metrics },
    { userAgent: options.userAgent },
  );
  const state: State = { leadership: undefined, isStopping: false, leading: undefined };
  const gate = {
    assertMayWrite: () => {
      if (state.leadership === undefined) throw new Error("written before the manager started");
      state.leadership.assertMayWrite();
    },
  };
  const client = createKubeClient({ transport, gate });
  const informers = createInformers({ ...deps, transport, metrics });
  const entries: Entry[] = [];
  const parts = { ...deps, transport, metrics, informers, entries, state };
  const lifecycle = createLifecycle(parts, options);
  return {
    client,
    transport,
    metrics,
    informers,
    add(name, source, { workers = defaultWorkers } = {}) {
      const queue = createQueue({ clock, random, metrics }, { name });
      const instance = options.lease.identity;
      const recorder = createRecorder(
        { transport, clock, log, metrics, gate },
        { controller: name, instance },
      );
      const wiring = wireController(
        { client, recorder, informers, queue, clock, isLeading: () => state.leading !== undefined },
        source,
      );
      const controller = createController(
        { queue, watermarks: wiring.watermarks, clock, log, metrics },
        wiring.reconciler,
        { workers },
      );
      entries.push({ name, queue, recorder, wiring, controller });
    },
    isLeading: () => state.leading !== undefined && state.leadership?.mayWrite() === true,
    observe: () => {
      for (const { queue } of entries) queue.observe();
    },
    problems: () => [
      ...(state.isStopping ? ["stopping"] : []),
      ...(state.leadership === undefined ? ["not started"] : []),
      ...informers.problems(),
    ],
    ...lifecycle,
  };
}

interface State {
  leadership: Leadership | undefined;
  isStopping: boolean;
  /** The controllers' work. undefined: another process leads, or the caches are not filled. */
  leading: Promise<unknown> | undefined;
}

interface Parts extends ManagerDeps {
  readonly transport: Transport;
  readonly metrics: KubeMetrics;
  readonly informers: Informers;
  readonly entries: readonly Entry[];
  readonly state: State;
}

function createLifecycle(
  parts: Parts,
  options: ManagerOptions,
): { start(): Promise<void>; stop(): Promise<void> } {
  const { clock, log, state, informers, entries } = parts;
  /** Ends caches and loops. */
  const end = new AbortController();
  /** Ends what reconciles. */
  const work = new AbortController();
  let loops: Promise<unknown> = Promise.resolve();

  const fatal = (reason: string): void => {
    work.abort(new Error(reason));
    if (state.isStopping) return;
    log.error({ event: "kube.fatal", reason });
    parts.onFatal(reason);
  };
  const lead = async (leadership: Leadership): Promise<void> => {
    const epoch = await leadership.acquired;
    await informers.synced(work.signal);
    if (state.isStopping || work.signal.aborted) return;
    state.leading = Promise.all(
      entries.map(async ({ controller }) => await controller.run({ epoch, signal: work.signal })),
    );
    for (const { wiring } of entries) wiring.enqueueAll();
    log.info({ event: "kube.working", epoch, controllers: entries.map(({ name }) => name) });
  };
  return {
    async start() {
      const leadership = await startLeadership(parts, {
        ...options.lease,
        userAgent: options.userAgent,
      });
      state.leadership = leadership;
      leadership.lost.addEventListener("abort", () => fatal(String(leadership.lost.reason)));
      lead(leadership).catch((error: unknown) => {
        if (!work.signal.aborted) fatal(`the start as leader failed: ${String(error)}`);
      });
      loops = Promise.all([
        informers.run(end.signal),
        watchSync(parts, end.signal, fatal),
        runResync(
          parts,
          entries.map(({ wiring }) => wiring),
          end.signal,
        ),
      ]);
    },
    async stop() {
      if (state.isStopping) return;
      state.isStopping = true;
      for (const { queue } of entries) queue.close();
      await atMost(clock, drainMs, state.leading);
      work.abort(new Error("the process stops"));
      // Who ignores its signal, or an event that finds no server, does not keep the lease from being given back.
      await atMost(clock, abortMs, state.leading);
      await atMost(clock, abortMs, Promise.all(entries.map(({ recorder }) => recorder.idle())));
      end.abort(new Error("the process stops"));
      await loops;
      await state.leadership?.release();
      await parts.transport.close();
    },
  };
}

/** Waits for `work`, but not longer. */
async function atMost(clock: Clock, ms: number, work: Promise<unknown> | undefined): Promise<void> {
  const patience = new AbortController();
  // Rejects only when it is cut short.
  await Promise.race([work, clock.sleep(ms, patience.signal).catch(() => undefined)]);
  patience.abort();
}

/** A process whose caches do not fill is of no use: it ends, tells why, and is started again. */
async function watchSync(
  { clock, informers }: Parts,
  signal: AbortSignal,
  fatal: (reason: string) => void,
): Promise<void> {
  const deadline = new AbortController();
  const isLate = clock.sleep(cacheSyncMs, deadline.signal).then(
    () => true,
    () => false, // synced, or stopped
  );
  const isSynced = informers.synced(signal).then(
    () => true,
    () => true, // stopped: nobody is late
  );
  const late = await Promise.race([isLate, isSynced.then(() => false)]);
  deadline.abort();
  if (late)
    fatal(`the caches were not filled in ${cacheSyncMs} ms: ${informers.problems().join("; ")}`);
}

/** Until the signal aborts: heals what no event told of, such as a status that somebody wiped. */
export async function runResync(
  { clock, log, random }: Pick<ManagerDeps, "clock" | "log" | "random">,
  wirings: readonly Pick<Wiring, "enqueueAll">[],
  signal: AbortSignal,
): Promise<void> {
  const onError = (error: unknown): void => log.error({ event: "kube.resync", err: error });
  await every({ clock, ms: resyncMs * (0.9 + 0.2 * random()), signal, onError }, () => {
    for (const wiring of wirings) wiring.enqueueAll();
  });
}
