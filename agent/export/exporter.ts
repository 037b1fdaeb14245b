/**
 * The agent's `Reporter`: gathers, seals, spools, and keeps a stream to the server for ever.
 *
 * What was sealed is in the spool before it is sent and stays until it is acknowledged, so a killed
 * agent loses at most what it had gathered since the last seal (`reportPeriodMs`, 1 s). Reporting
 * never waits for disk or network.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import { poolConfigFrom } from "../pool-config.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";
import type { Reporter } from "../report.ts";
import { createBatcher } from "./batcher.ts";
import { createOffsetMeter } from "./clock-offset.ts";
import * as limits from "./limits.ts";
import { createExportMetrics, type ExportMetrics } from "./metrics.ts";
import { openSpool, type Spool } from "./spool.ts";
import { openStream, type Stream, type StreamEnd, type StreamOptions } from "./stream.ts";

export interface ExporterDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** 0–1. */
  readonly random: () => number;
}

export interface ExporterOptions extends Omit<StreamOptions, "epoch"> {
  /** undefined: batches wait in memory only. */
  readonly spoolDirectory: string | undefined;
  readonly spoolBytes?: number;
  readonly segmentBytes?: number;
  readonly config: PoolConfig;
}

export interface Exporter extends Reporter, AsyncDisposable {
  readonly epoch: string;
  /** From a file: from now on the server may only ask for fewer reports. */
  configure(config: PoolConfig): void;
  /** Seals what is gathered; resolves when it is in the spool. */
  flush(): Promise<void>;
  state(): {
    connected: boolean;
    lastEnd: { reason: StreamEnd; detail: string } | undefined;
    pendingBatches: number;
    /** This node's clock minus the server's, ms. */
    clockOffsetMs: number | undefined;
  };
}

export async function createExporter(
  deps: ExporterDeps,
  options: ExporterOptions,
): Promise<Exporter> {
  const { clock, log } = deps;
  const metrics = createExportMetrics(deps.registry);
  const epoch = `${Math.floor(clock.now()).toString(16).padStart(12, "0")}${randomBytes(4).toString("hex")}`;
  const batcher = createBatcher({ metrics }, epoch);
  const spool = await openSpool(
    { clock, log, metrics, devices: () => batcher.allDevices() },
    {
      directory: options.spoolDirectory,
      maxBytes: options.spoolBytes ?? limits.spoolBytes,
      segmentBytes: options.segmentBytes ?? limits.segmentBytes,
    },
  );
  const abort = new AbortController();
  const config = createConfig(options.config, log);
  const connection = createConnection(
    { ...deps, metrics, spool, signal: abort.signal },
    { ...options, epoch },
    (json) => config.fromServer(json),
  );
  const store = createStore({ log, metrics, spool, wake: connection.wake });
  const sealing = sealForever(
    { clock, signal: abort.signal, config: config.current },
    async () => await store(batcher.seal()),
  );
  const soon = createSoon(clock, abort.signal, async () => await store(batcher.sealRecords()));
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await store(batcher.seal());
    await connection.drained(limits.flushMs);
    abort.abort();
    await Promise.all([sealing, connection.closed]);
    await spool[Symbol.asyncDispose]();
  };
  return {
    epoch,
    devices: (devices) => {
      const frame = batcher.devices(devices);
      if (frame !== undefined) void store([frame]);
    },
    samples: (batch) => batcher.samples(batch),
    event: (event) => {
      batcher.event(event);
      soon();
    },
    identity: (changes) => {
      batcher.identity(changes);
      soon();
    },
    status: (status) => batcher.status(status),
    config: config.current,
    onConfig: config.onChange,
    configure: config.fromFile,
    flush: async () => await store(batcher.seal()),
    state: () => ({ ...connection.state(), pendingBatches: spool.pending().batches }),
    [Symbol.asyncDispose]: async () => await (closed ??= close()),
  };
}

/** Frames into the spool. What even memory refuses is lost, and said. */
function createStore(deps: { log: Log; metrics: ExportMetrics; spool: Spool; wake: () => void }) {
  return async (frames: readonly Buffer[]): Promise<void> => {
    // All calls before any wait: the spool keeps their order.
    const stored = await Promise.allSettled(
      frames.map(async (frame) => await deps.spool.append(frame)),
    );
    for (const outcome of stored) {
      if (outcome.status === "fulfilled") continue;
      deps.metrics.dropped.inc({ kind: "batches", reason: "spool_failed" });
      deps.log.error({ event: "spool.failed", reason: errorMessage(outcome.reason) });
    }
    deps.wake();
  };
}

async function sealForever(
  deps: { clock: Clock; signal: AbortSignal; config: () => PoolConfig },
  seal: () => Promise<void>,
): Promise<void> {
  while (!deps.signal.aborted) {
    try {
      await deps.clock.sleep(deps.config().reportPeriodMs, deps.signal);
    } catch {
      return; // aborted: the only way sleep rejects
    }
    await seal();
  }
}

/** Runs a task a moment after the first of several calls. */
function createSoon(clock: Clock, signal: AbortSignal, task: () => Promise<void>): () => void {
  let due = false;
  const run = async (): Promise<void> => {
    try {
      await clock.sleep(limits.recordsWaitMs, signal);
    } catch {
      return; // aborted: closing seals everything
    }
    due = false;
    await task();
  };
  return () => {
    if (due) return;
    due = true;
    void run();
  };
}

function createConfig(initial: PoolConfig, log: Log) {
  let current = initial;
  let base = initial;
  let hasFile = false;
  /** The server bounds how often all agents together report, whatever a file says. */
  let paceMs = 0;
  const listeners = new Set<(config: PoolConfig) => void>();
  const set = (config: PoolConfig): void => {
    if (JSON.stringify(config) === JSON.stringify(current)) return;
    current = config;
    for (const listener of listeners) listener(config);
  };
  const settle = (): void =>
    set({ ...base, reportPeriodMs: Math.max(base.reportPeriodMs, paceMs) });
  return {
    current: () => current,
    onChange: (listener: (config: PoolConfig) => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    fromFile: (config: PoolConfig) => {
      hasFile = true;
      base = config;
      settle();
    },
    fromServer: (json: string) => {
      const parsed = poolConfigFrom(json, base);
      if (!parsed.ok) {
        log.warn({ event: "config.refused", reason: parsed.reason });
        return;
      }
      paceMs = parsed.config.reportPeriodMs;
      if (!hasFile) base = parsed.config;
      settle();
    },
  };
}

function createConnection(
  deps: ExporterDeps & { metrics: ExportMetrics; spool: Spool; signal: AbortSignal },
  options: StreamOptions,
  onConfig: (json: string) => void,
) {
  const { clock, log, metrics, spool, signal } = deps;
  const meter = createOffsetMeter();
  let stream: Stream | undefined;
  let connected = false;
  let failures = 0;
  let lastEnd: { reason: StreamEnd; detail: string } | undefined;
  const handlers = {
    welcomed: () => {
      connected = true;
      failures = 0;
      metrics.connected.set(1);
      log.info({ event: "stream.up", endpoint: options.endpoint });
    },
    acknowledged: async (durable: { epoch: string; sequence: number }) => {
      const before = spool.pending().batches;
      await spool.acknowledge(durable);
      metrics.acked.inc(Math.max(0, before - spool.pending().batches));
    },
    configured: onConfig,
    measured: () => metrics.clockOffsetSeconds.set((meter.best()?.us ?? 0) / 1e6),
  };
  const once = async (): Promise<void> => {
    const opened = await openStream({ clock, spool, meter }, options, handlers);
    stream = opened;
    const end = (): void => opened.end();
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    lastEnd = await opened.ended;
    signal.removeEventListener("abort", end);
    stream = undefined;
    connected = false;
    metrics.connected.set(0);
    metrics.connects.inc({ reason: lastEnd.reason });
    if (!signal.aborted) log.warn({ event: "stream.ended", ...lastEnd });
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await once();
      } catch (error) {
        // The token could not be read, or the address is none: said, and tried again.
        lastEnd = { reason: "refused", detail: errorMessage(error) };
        metrics.connects.inc({ reason: "refused" });
        log.warn({ event: "stream.failed", reason: lastEnd.detail });
      }
      failures += 1;
      const pauseMs = pauseAfter(failures, lastEnd?.reason) * (0.5 + deps.random());
      await clock.sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop ends
    }
  };
  return {
    closed: run(),
    wake: () => stream?.wake(),
    state: () => {
      const offset = meter.best();
      return { connected, lastEnd, clockOffsetMs: offset && offset.us / 1000 };
    },
    /** Resolves when everything is acknowledged, or after `ms`. Nothing waits for a server that is away. */
    drained: async (ms: number) => {
      const deadline = clock.monotonic() + ms;
      const isWaiting = (): boolean => connected && spool.pending().batches > 0;
      while (isWaiting() && clock.monotonic() < deadline) await clock.sleep(20);
    },
  };
}

function pauseAfter(failures: number, reason: StreamEnd | undefined): number {
  if (reason === "superseded") return limits.supersededMs;
  return Math.min(
    limits.reconnectMostMs,
    limits.reconnectFirstMs * 2 ** Math.min(failures - 1, 10),
  );
}
