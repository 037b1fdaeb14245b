/**
 * The identity loop: devices from sampling, the kubelet's lists, the pod source, process lists and /proc go
 * into the history as observations; every interval that opens, changes or closes goes to the reporter, in
 * order. Open intervals are kept on disk, so that the next run goes on with them.
 *
 * Stopping ends nothing: the devices go on without us. Nothing here throws after the start; what cannot be
 * read is unknown and said.
 */
import { existsSync } from "node:fs";
import type { Clock } from "@axonize/core/runtime/clock";
import { every, systemClock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { IdentityHistory } from "../identity/history.ts";
import type { ContainerName } from "../identity/records.ts";
import { createPodResourcesClient, type PodResourcesClient } from "../kubelet/client.ts";
import type { ContainerDevices } from "../kubelet/pod-resources.ts";
import { watchKubelet } from "../kubelet/watch.ts";
import { createKubeApi, type KubeAccess } from "../pods/kube-api.ts";
import { createPodInformer, type PodInformer } from "../pods/informer.ts";
import type { DeviceNumber } from "../proc/device-nodes.ts";
import { createProc } from "../proc/proc.ts";
import type { Reporter } from "../report.ts";
import type { DeviceFeed, ProcessesSeen } from "../sampling/feed.ts";
import { createDriverLoads } from "./driver-loads.ts";
import { createJoinHealth, type JoinHealth } from "./health.ts";
import { createKubeletView, type KubeletState, type KubeletView } from "./kubelet-view.ts";
import { allocatableMs, keepMs, maxGapMs, persistMs, pruneMs } from "./limits.ts";
import { createIdentityMetrics, type IdentityMetrics } from "./metrics.ts";
import { createRounds, type Rounds } from "./rounds.ts";
import { createStateFile, type IdentityState } from "./state-file.ts";
import { createTroubles } from "./troubles.ts";

export interface IdentityDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly reporter: Reporter;
  readonly feed: DeviceFeed;
  /** Newest energy counter of a GPU; tells a driver that was loaded anew while no agent ran. */
  readonly energyOf?: (gpuUuid: string) => number | undefined;
  /** 0–1. */
  readonly random?: () => number;
  readonly numberOf?: DeviceNumber;
}

export interface IdentityOptions {
  readonly node: string;
  /** Where the kubelet's socket is, if there is one. */
  readonly podResourcesSocket: string;
  readonly procRoot: string;
  /** undefined: nothing is kept, and a restart begins anew. */
  readonly stateDir: string | undefined;
  /** undefined: no API server; pods are known from the kubelet alone. */
  readonly kube: KubeAccess | undefined;
  /** Names of resources that are GPUs beside NVIDIA's own. */
  readonly resourceNames?: readonly string[];
}

export interface Identity extends AsyncDisposable {
  /** For AgentStatus: seconds of device time in use that nobody is known for. */
  unjoinedSeconds(): Readonly<Record<string, number>>;
  /** Who has a device now by the kubelet's word. */
  holders(deviceUuid: string): readonly ContainerName[];
  /** How its sources are, for doctor. */
  sources(): {
    readonly kubelet: KubeletState;
    readonly pods: PodInformer["state"] | "none";
    readonly podsDetail: string;
    readonly bootId: string | undefined;
  };
}

export async function createIdentity(
  deps: IdentityDeps,
  options: IdentityOptions,
): Promise<Identity> {
  const { clock, log, registry } = deps;
  const random = deps.random ?? Math.random;
  await using opening = new AsyncDisposableStack();
  const metrics = createIdentityMetrics(registry);
  const file =
    options.stateDir === undefined
      ? undefined
      : createStateFile({ log }, { folder: options.stateDir });
  const read = await file?.read();
  const before = read?.node === options.node ? read : undefined;
  const parts = createParts(deps, options, { metrics, before });
  const { history, health, kubelet, loads, proc, rounds } = parts;
  const persist = async (): Promise<void> => {
    if (!file || !rounds.takeDirty()) return;
    const { lastMs } = history;
    const state = { node: options.node, lastMs, driver: loads.state(), open: history.open() };
    const isWritten = await file.write(state);
    metrics.stateWrites.inc({ result: isWritten ? "written" : "failed" });
  };
  opening.defer(persist);
  opening.use(watchSources({ clock, log, random, metrics, persist, ...parts }, options));
  if (options.kube) {
    const api = createKubeApi({ clock }, options.kube);
    const onChange = (): void => rounds.onPods();
    const informer = createPodInformer(
      { api, clock, log, random, onChange },
      { node: options.node },
    );
    parts.pods.informer = opening.use(informer);
  }
  opening.use(watchFeed({ log }, deps.feed, rounds));
  const closing = opening.move();
  return {
    unjoinedSeconds: () => health.seconds().unjoined,
    holders: (deviceUuid) => holdersOf(history, deviceUuid),
    sources: () => ({
      kubelet: kubelet.state(),
      pods: parts.pods.informer?.state ?? "none",
      podsDetail: parts.pods.informer?.detail ?? "",
      bootId: proc.bootId(),
    }),
    [Symbol.asyncDispose]: async () => await closing.disposeAsync(),
  };
}

/** What the loop is made of, from where the run before left off. */
function createParts(
  deps: IdentityDeps,
  options: IdentityOptions,
  { metrics, before }: { metrics: IdentityMetrics; before: IdentityState | undefined },
) {
  const { clock, log, reporter, numberOf } = deps;
  const history = new IdentityHistory();
  if (before) history.restore(before.open, before.lastMs);
  const proc = createProc({ clock, ...(numberOf ? { numberOf } : {}) }, { root: options.procRoot });
  const loads = createDriverLoads(before?.driver);
  const health = createJoinHealth({ maxGapMs });
  const kubelet = createKubeletView({ heardBefore: history.allocations.size > 0 });
  const troubles = createTroubles({ clock, log, metrics });
  const pods: { informer: PodInformer | undefined } = { informer: undefined };
  const rounds = createRounds(
    {
      clock,
      log,
      reporter,
      metrics,
      history,
      proc,
      loads,
      health,
      kubelet,
      troubles,
      pods: () => pods.informer,
      energyOf: deps.energyOf ?? (() => undefined),
    },
    {
      node: options.node,
      resourceNames: options.resourceNames ?? [],
      wasRestored: before !== undefined,
    },
  );
  return { history, proc, loads, health, kubelet, pods, rounds };
}

function holdersOf(history: IdentityHistory, deviceUuid: string): ContainerName[] {
  return history.allocations
    .allOpen()
    .filter(({ value }) => value.resourceUuid === deviceUuid)
    .map(({ value: { namespace, pod, container } }) => ({ namespace, pod, container }));
}

/** Devices and process lists, as sampling has them; one list at a time, the newest goes next. */
function watchFeed(deps: { log: Log }, feed: DeviceFeed, rounds: Rounds): AsyncDisposable {
  let running: Promise<void> | undefined;
  let next: ProcessesSeen | undefined;
  const run = async (): Promise<void> => {
    while (next) {
      const seen = next;
      next = undefined;
      try {
        await rounds.onProcesses(seen);
      } catch (error) {
        deps.log.error({ event: "agent.identity_round", error: errorMessage(error) });
      }
    }
  };
  const onProcesses = (seen: ProcessesSeen): void => {
    next = seen;
    running ??= run().finally(() => {
      running = undefined;
    });
  };
  const stops = [feed.onDevices(rounds.onDevices), feed.onProcesses(onProcesses)];
  const devices = feed.devices();
  if (devices) rounds.onDevices(devices);
  const processes = feed.processes();
  if (processes) onProcesses(processes);
  return {
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
      next = undefined;
      await running;
    },
  };
}

interface SourceDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  readonly kubelet: KubeletView;
  readonly rounds: Rounds;
  readonly metrics: IdentityMetrics;
  readonly history: IdentityHistory;
  readonly health: JoinHealth;
  readonly persist: () => Promise<void>;
}

/** The kubelet's words, and what is to be done from time to time. */
function watchSources(deps: SourceDeps, options: IdentityOptions): AsyncDisposable {
  const { clock, log, random, kubelet, rounds, metrics, history, health } = deps;
  const stop = new AbortController();
  const { signal } = stop;
  const socketPath = options.podResourcesSocket;
  // gRPC holds its deadlines against the process's own wall clock, whatever clock we are given.
  const client = createPodResourcesClient({ clock: systemClock }, { socketPath });
  const onError = (error: unknown): void =>
    log.error({ event: "agent.identity_task", error: errorMessage(error) });
  const periodically = (ms: number, task: () => Promise<void> | void): Promise<void> =>
    every({ clock, ms, signal, onError }, task);
  const running = [
    watchKubelet(
      { client: whereThere(client, socketPath), clock, random },
      {
        signal,
        onWord(_, word) {
          try {
            rounds.onKubelet(word, existsSync(socketPath));
          } catch (error) {
            onError(error);
          }
        },
      },
    ),
    periodically(allocatableMs, async () => {
      if (kubelet.state().state !== "answering") return;
      const answer = await client.allocatable();
      if (answer.ok) metrics.allocatable.set(countOf(answer.value));
    }),
    periodically(persistMs, deps.persist),
    periodically(pruneMs, () => {
      history.prune(clock.now() - keepMs);
      for (const [layer, open] of Object.entries(history.open())) {
        metrics.openIntervals.set({ layer }, open.length);
      }
      const { inUse, unjoined } = health.seconds();
      metrics.inUse.set(inUse);
      for (const [reason, s] of Object.entries(unjoined)) metrics.unjoined.set({ reason }, s);
    }),
  ];
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      client[Symbol.dispose]();
      await Promise.all(running);
    },
  };
}

/** Where there is no socket there is nobody to ask, and no connection to try. */
function whereThere(client: PodResourcesClient, socketPath: string): PodResourcesClient {
  return {
    ...client,
    async list() {
      if (existsSync(socketPath)) return await client.list();
      return { ok: false, refusal: "unavailable", detail: `there is no ${socketPath}` };
    },
  };
}

/** A device on two NUMA nodes is listed twice. */
function countOf(devices: readonly ContainerDevices[]): number {
  return new Set(devices.flatMap(({ deviceIds }) => deviceIds)).size;
}
