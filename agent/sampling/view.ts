/**
 * The devices as last shown, and what batches and events say of them: samples for the reporter, newest
 * values for who asks now, events of what changed.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { DriverInfo } from "../nvml/driver.ts";
import type { NvmlEvent } from "../nvml/events.ts";
import { groups, localMetrics, type LocalMetric, type Metric } from "../nvml/readings.ts";
import type { Gpu, RefusedGpu } from "../nvml/topology.ts";
import type { DeviceEvent, DeviceFacts, Reporter, Sample } from "../report.ts";
import { readBatch } from "./batch.ts";
import type { DevicesSeen } from "./feed.ts";
import type { Latest } from "./latest.ts";
import type { SamplingMetrics } from "./metrics.ts";
import type { Batch, FromWorker } from "./protocol.ts";
import { createTransitions, type Transitions } from "./transitions.ts";

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly reporter: Reporter;
  readonly metrics: SamplingMetrics;
}
interface Target {
  readonly latest: Latest;
  readonly devices: Value<DevicesSeen>;
}

/** A value that others may look at and listen to. */
export interface Value<T> {
  get(): T | undefined;
  set(next: T): void;
  on(listener: (value: T) => void): () => void;
}

export interface View {
  driver(): DriverInfo | undefined;
  /** What the last batch said of sampling itself. */
  figures(): Figures | undefined;
  /** Since the start: rows and batches that found no room on their way from the sampling thread. */
  dropped(): Readonly<Record<"batch_full" | "not_taken", number>>;
  lastXid(gpuUuid: string): number | undefined;
  opened(info: DriverInfo): void;
  enumerated(message: Extract<FromWorker, { type: "topology" }>): void;
  refused(): readonly RefusedGpu[];
  took(batch: Batch): void;
  happened(event: NvmlEvent, atMs: number): void;
}
export type Figures = Omit<Batch, "numbers" | "missing">;

interface Named {
  readonly uuid: string;
  readonly gpuUuid: string;
}

export function createView(deps: Deps, to: Target): View {
  const { reporter, metrics, log } = deps;
  const transitions = createTransitions();
  let driver: DriverInfo | undefined;
  let gpus: readonly Gpu[] = [];
  let refused: readonly RefusedGpu[] = [];
  let order: readonly Named[] = [];
  let figures: Figures | undefined;
  const xids = new Map<string, number>();
  const dropped = { batch_full: 0, not_taken: 0 };
  const tell = createTell(deps);
  const publish = (atMs: number): void => {
    const driverVersion = driver?.driverVersion ?? "";
    const driverEpoch = `${driverVersion}#${transitions.reloads()}`;
    to.devices.set({ atMs, driverVersion, driverEpoch, gpus });
  };
  return {
    driver: () => driver,
    refused: () => refused,
    figures: () => figures,
    dropped: () => ({ ...dropped }),
    lastXid: (gpuUuid) => xids.get(gpuUuid),
    opened(info) {
      driver = info;
      metrics.opened.set(1);
    },
    enumerated(message) {
      tell(transitions.devices(message.gpus, message.atMs));
      gpus = message.gpus;
      if (message.refused.length !== refused.length && message.refused.length > 0) {
        log.warn({ event: "sampling.refused_gpus", gpus: message.refused });
      }
      refused = message.refused;
      const driverVersion = driver?.driverVersion ?? "";
      if (message.changed) {
        order = gpus.flatMap(namesOf);
        to.latest.retain(order.map(({ uuid }) => uuid));
        reporter.devices(gpus.flatMap((gpu) => factsOf(gpu, driverVersion)));
        metrics.devices.set(order.length);
      }
      publish(message.atMs);
    },
    took({ numbers, missing, ...rest }) {
      figures = rest;
      dropped.batch_full += rest.droppedRows;
      dropped.not_taken += rest.droppedBatches;
      metrics.observe(rest);
      for (const change of missing) {
        to.latest.miss(change);
        log.debug({ event: "sampling.missing", ...change });
      }
      if (missing.length > 0) metrics.unreadable(to.latest.missing());
      const samples = samplesOf(numbers, order, to.latest);
      metrics.samples.inc(samples.length);
      if (samples.length > 0) reporter.samples(samples);
      const reloads = transitions.reloads();
      tell(eventsOf(samples, transitions, deps.clock.monotonic()));
      // Counters began anew: whoever keeps intervals must know before it trusts the next ones.
      if (transitions.reloads() !== reloads) publish(deps.clock.now());
    },
    happened(event, atMs) {
      // A partition's change is told by the enumeration that it causes.
      if (event.kind === "mig" || event.kind === "other") return;
      const gpu = gpus.find(({ uuid }) => uuid === event.gpuUuid);
      if (event.kind === "xid") xids.set(event.gpuUuid, event.data);
      tell([eventOf(event, gpu, atMs)]);
    },
  };
}

/** `GPU-4f2…: throttle, thermal slowdown`: a terminal shows the sentence alone. */
function sentence({ kind, gpuUuid, detail }: DeviceEvent): string {
  const { code, ...words } = detail;
  const what = [
    kind === "xid" && code !== undefined ? `XID ${code}` : kind,
    ...Object.values(words),
  ];
  return `${gpuUuid}: ${what.join(", ")}`;
}

/** Events for the reporter, the log and the count. */
function createTell({ metrics, log, reporter }: Deps): (events: readonly DeviceEvent[]) => void {
  return (events) => {
    for (const event of events) {
      metrics.events.inc({ kind: event.kind });
      const entry = { event: `device.${event.kind}`, ...event.detail, gpu: event.gpuUuid };
      log[event.detail["code"] === 0 ? "info" : "warn"](entry, sentence(event));
      reporter.event(event);
    }
  };
}

export function createValue<T>(): Value<T> {
  let value: T | undefined;
  const listeners = new Set<(value: T) => void>();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const listener of listeners) listener(next);
    },
    on(listener) {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
  };
}

/** The order of ordinals in batches: each GPU before its slices. */
function namesOf(gpu: Gpu): Named[] {
  const slices = gpu.slices.map(({ uuid }) => ({ uuid, gpuUuid: gpu.uuid }));
  return [{ uuid: gpu.uuid, gpuUuid: gpu.uuid }, ...slices];
}

function samplesOf(numbers: Float64Array, order: readonly Named[], latest: Latest): Sample[] {
  const samples: Sample[] = [];
  readBatch(numbers, (ordinal, group, atMs, row) => {
    const device = order[ordinal];
    if (!device) return;
    const values = valuesOf(groups[group], row, (metric, value) =>
      latest.put(device.uuid, metric, value, atMs),
    );
    if (!values) return;
    samples.push({ atMs, deviceUuid: device.uuid, gpuUuid: device.gpuUuid, values });
  });
  return samples;
}

function eventsOf(
  samples: readonly Sample[],
  transitions: Transitions,
  monotonicMs: number,
): DeviceEvent[] {
  return samples
    .filter(({ deviceUuid, gpuUuid }) => deviceUuid === gpuUuid)
    .flatMap(({ gpuUuid, values, atMs }) =>
      transitions.reading(gpuUuid, values, { ms: atMs, monotonicMs }),
    );
}

function valuesOf(
  metrics: readonly (Metric | LocalMetric)[],
  row: Float64Array,
  each: (metric: Metric | LocalMetric, value: number) => void,
): Partial<Record<Metric, number>> | undefined {
  const values: Partial<Record<Metric, number>> = {};
  let any = false;
  for (let at = 0; at < metrics.length; at += 1) {
    const metric = metrics[at];
    const value = row[at];
    if (metric === undefined || value === undefined || Number.isNaN(value)) continue;
    each(metric, value);
    if (isLocal(metric)) continue;
    values[metric] = value;
    any = true;
  }
  return any ? values : undefined;
}

const local: ReadonlySet<string> = new Set(localMetrics);
function isLocal(metric: Metric | LocalMetric): metric is LocalMetric {
  return local.has(metric);
}

function factsOf(gpu: Gpu, driverVersion: string): DeviceFacts[] {
  const shared = { gpuUuid: gpu.uuid, model: gpu.name, driverVersion, index: gpu.index };
  return [
    { ...shared, uuid: gpu.uuid, kind: "whole", migProfile: "" },
    ...gpu.slices.map(({ uuid, profile }): DeviceFacts => ({
      ...shared,
      uuid,
      kind: "mig",
      migProfile: profile,
    })),
  ];
}

function eventOf(event: NvmlEvent, gpu: Gpu | undefined, atMs: number): DeviceEvent {
  const slice = gpu?.slices.find(
    ({ gpuInstanceId, computeInstanceId }) =>
      gpuInstanceId === event.gpuInstanceId &&
      (event.computeInstanceId === undefined || computeInstanceId === event.computeInstanceId),
  );
  return {
    atMs,
    gpuUuid: event.gpuUuid,
    ...(slice ? { deviceUuid: slice.uuid } : {}),
    kind: event.kind === "xid" ? "xid" : "ecc",
    detail: {
      code: event.kind === "xid" ? event.data : event.type,
      ...(event.gpuInstanceId === undefined ? {} : { gpuInstanceId: event.gpuInstanceId }),
      ...(event.computeInstanceId === undefined
        ? {}
        : { computeInstanceId: event.computeInstanceId }),
    },
  };
}
