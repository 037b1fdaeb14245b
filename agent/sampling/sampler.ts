/**
 * Sampling for the rest of the agent: keeps a driver open (again and again, where it goes away), turns its
 * batches into samples for the reporter, and offers the devices and process lists to identity.
 *
 * Never throws after its creation: no driver is a state that it tells and mends by trying again.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { DriverInfo } from "../nvml/driver.ts";
import type { GpuDetails } from "../nvml/links.ts";
import type { RefusedGpu } from "../nvml/topology.ts";
import type { Reporter } from "../report.ts";
import type { DeviceFeed, DevicesSeen, ProcessesSeen } from "./feed.ts";
import { createLatest, type Latest } from "./latest.ts";
import { mismatchesBeforeExit, reopenFirstMs, reopenMostMs } from "./limits.ts";
import type { SamplingMetrics } from "./metrics.ts";
import type { FromWorker } from "./protocol.ts";
import { settingsOf } from "./settings.ts";
import { startThread, type SamplingThread, type ThreadEnd } from "./thread.ts";
import { createValue, createView, type Figures, type View } from "./view.ts";

export interface SamplerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly reporter: Reporter;
  readonly metrics: SamplingMetrics;
  /** The driver was replaced and its new library does not load into this process: it must start again. */
  readonly onHopeless: () => void;
}

export interface SamplerOptions {
  /** AXONIZE_NVML_LIBRARY. */
  readonly libraryPath: string | undefined;
  readonly procRoot: string;
}

export interface SamplerState {
  readonly driver: DriverInfo | undefined;
  /** Why there are no readings; undefined when there are, or at the very start. */
  readonly trouble: { readonly reason: string; readonly detail: string } | undefined;
  /** What the last batch said of sampling itself. */
  readonly batch: Figures | undefined;
  readonly dropped: Readonly<Record<string, number>>;
  /** GPUs that the driver counts and does not open. */
  readonly refused: readonly RefusedGpu[];
}

export interface Sampler extends DeviceFeed, AsyncDisposable {
  state(): SamplerState;
  readonly latest: Latest;
  details(): readonly GpuDetails[];
  /** The newest XID of a GPU since the start. */
  lastXid(gpuUuid: string): number | undefined;
}

export function createSampler(deps: SamplerDeps, options: SamplerOptions): Sampler {
  const { clock, log, reporter, metrics } = deps;
  const closing = new AbortController();
  const latest = createLatest(() => clock.monotonic());
  const devices = createValue<DevicesSeen>();
  const processes = createValue<ProcessesSeen>();
  const view = createView(deps, { latest, devices });
  let thread: SamplingThread | undefined;
  let trouble: SamplerState["trouble"];
  let details: readonly GpuDetails[] = [];

  const onMessage = createReader(deps, view, {
    opened: () => {
      trouble = undefined;
    },
    processes: (seen) => processes.set(seen),
    details: (read) => {
      details = read;
    },
  });
  const ended = (end: ThreadEnd): void => {
    latest.retain([]);
    details = [];
    const before = trouble?.reason;
    trouble = { reason: end.reason ?? "failed", detail: end.detail };
    metrics.opened.set(0);
    if (before === trouble.reason) return;
    log.warn({ event: "sampling.no_driver", ...trouble }, "no readings; trying again");
  };
  const lives = liveForEver(deps, closing.signal, {
    start() {
      const settings = settingsOf(reporter.config());
      const { libraryPath, procRoot } = options;
      thread = startThread({ libraryPath, procRoot, settings }, onMessage);
      return thread;
    },
    ended,
  });
  const stopListening = reporter.onConfig((config) => thread?.configure(settingsOf(config)));

  return {
    devices: () => devices.get(),
    processes: () => processes.get(),
    onDevices: (listener) => devices.on(listener),
    onProcesses: (listener) => processes.on(listener),
    latest,
    details: () => details,
    lastXid: (gpuUuid) => view.lastXid(gpuUuid),
    state: () => ({
      driver: view.driver(),
      trouble,
      batch: view.figures(),
      dropped: view.dropped(),
      refused: view.refused(),
    }),
    async [Symbol.asyncDispose]() {
      stopListening();
      closing.abort();
      await lives;
    },
  };
}

function createReader(
  { log, metrics }: SamplerDeps,
  view: View,
  on: {
    opened(): void;
    processes(seen: ProcessesSeen): void;
    details(details: readonly GpuDetails[]): void;
  },
): (message: Exclude<FromWorker, { type: "trouble" }>) => void {
  return (message) => {
    switch (message.type) {
      case "opened":
        on.opened();
        view.opened(message.info);
        log.info({ event: "sampling.opened", ...message.info }, "the driver is open");
        return;
      case "topology":
        view.enumerated(message);
        return;
      case "batch":
        view.took(message.batch);
        return;
      case "processes":
        on.processes({ atMs: message.atMs, list: message.list });
        return;
      case "details":
        on.details(message.details);
        return;
      case "event":
        view.happened(message.event, message.atMs);
        return;
      case "jump":
        metrics.clockJumps.inc();
        log.warn({ event: "sampling.clock_jump", ms: message.ms }, "the wall clock jumped");
        return;
    }
  };
}

/** One thread after another, with growing pauses while there is no driver. */
async function liveForEver(
  { clock, onHopeless }: SamplerDeps,
  signal: AbortSignal,
  life: { start(): SamplingThread; ended(end: ThreadEnd): void },
): Promise<void> {
  let pauseMs = reopenFirstMs;
  let mismatches = 0;
  while (!signal.aborted) {
    const startedMs = clock.monotonic();
    const thread = life.start();
    const close = (): void => thread.close();
    signal.addEventListener("abort", close, { once: true });
    const end = await thread.ended;
    signal.removeEventListener("abort", close);
    if (signal.aborted) return;
    life.ended(end);
    const livedMs = clock.monotonic() - startedMs;
    if (livedMs > reopenMostMs) pauseMs = reopenFirstMs;
    mismatches = end.reason === "library_mismatch" ? mismatches + 1 : 0;
    if (mismatches >= mismatchesBeforeExit) onHopeless();
    await clock.sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop's condition
    pauseMs = Math.min(pauseMs * 2, reopenMostMs);
  }
}
