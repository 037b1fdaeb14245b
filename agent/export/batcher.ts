/**
 * Gathers what samplers and identity report and seals it into numbered frames: records first, samples
 * after them, so that a sample never overtakes the device or slice it belongs to.
 *
 * Pure: no clock, no I/O. Gathering is bounded; samples that do not fit push out the oldest ones.
 */
import type { AgentStatus, DeviceEvent, DeviceFacts, IdentityChange, Sample } from "../report.ts";
import { batchFrame, devicesFrame, encodeRecords } from "./frames.ts";
import * as limits from "./limits.ts";
import type { ExportMetrics } from "./metrics.ts";
import { encodeSamples } from "./samples.ts";

export interface Batcher {
  /** The frame that tells them, where they are new or changed. */
  devices(devices: readonly DeviceFacts[]): Buffer | undefined;
  samples(batch: readonly Sample[]): void;
  event(event: DeviceEvent): void;
  identity(changes: readonly IdentityChange[]): void;
  status(status: AgentStatus): void;
  /** Everything gathered, in order. */
  seal(): Buffer[];
  /** Records alone. */
  sealRecords(): Buffer[];
  /** All devices of the epoch so far; undefined: none. */
  allDevices(): Buffer | undefined;
}

type Known = DeviceFacts & { number: number };

export function createBatcher(deps: { metrics: ExportMetrics }, epoch: string): Batcher {
  const { metrics } = deps;
  const { known, learn } = createNumbers(deps, epoch);
  const frame = createFramer(deps, epoch);
  let samples: Sample[] = [];
  let changes: IdentityChange[] = [];
  let events: DeviceEvent[] = [];
  let status: AgentStatus | undefined;

  const sealRecords = (): Buffer[] => {
    const frames: Buffer[] = [];
    while (changes.length + events.length > 0 || status !== undefined) {
      const identity = changes.splice(0, limits.batchRecords);
      const told = events.splice(0, limits.batchRecords);
      frames.push(frame({ records: encodeRecords({ identity, events: told, status }) }));
      status = undefined;
    }
    return frames;
  };
  const sealSamples = (): Buffer[] => {
    const named = samples.filter(({ deviceUuid }) => known.has(deviceUuid));
    const unnamed = samples.length - named.length;
    if (unnamed > 0) metrics.dropped.inc({ kind: "samples", reason: "too_many_devices" }, unnamed);
    samples = [];
    return chunksOf(named).map((chunk) => {
      const encoded = encodeSamples(chunk, ({ deviceUuid }) => known.get(deviceUuid)?.number ?? 0);
      metrics.points.inc(encoded.points);
      metrics.dropped.inc({ kind: "values", reason: "not_a_reading" }, encoded.refused);
      return frame({ samples: encoded.bytes });
    });
  };
  return {
    devices: learn,
    samples: (batch) => {
      for (const sample of batch) if (Number.isFinite(sample.atMs)) samples.push(sample);
      const over = samples.length - limits.gatheredRows;
      if (over <= 0) return;
      samples.splice(0, over);
      metrics.dropped.inc({ kind: "samples", reason: "gathered_full" }, over);
    },
    event: (event) => {
      if (events.length < limits.gatheredEvents) events.push(event);
      else metrics.dropped.inc({ kind: "events", reason: "gathered_full" });
    },
    identity: (fresh) => {
      changes.push(...fresh);
      const over = changes.length - limits.gatheredChanges;
      if (over <= 0) return;
      changes.splice(0, over);
      metrics.dropped.inc({ kind: "changes", reason: "gathered_full" }, over);
    },
    status: (latest) => {
      status = latest;
    },
    sealRecords,
    seal: () => {
      // A sampler may be ahead of the device list: what the sample itself says is enough to begin.
      const late = learn(strangers(samples, known));
      return [...(late === undefined ? [] : [late]), ...sealRecords(), ...sealSamples()];
    },
    allDevices: () => (known.size === 0 ? undefined : devicesFrame(epoch, [...known.values()])),
  };
}

/** Devices under the numbers that samples use. */
function createNumbers({ metrics }: { metrics: ExportMetrics }, epoch: string) {
  const known = new Map<string, Known>();
  return {
    known,
    learn: (devices: readonly DeviceFacts[]): Buffer | undefined => {
      const told: Known[] = [];
      for (const facts of devices) {
        const before = known.get(facts.uuid);
        if (before === undefined && known.size >= limits.devices) {
          metrics.dropped.inc({ kind: "devices", reason: "too_many" });
          continue;
        }
        const device = { ...facts, number: before?.number ?? known.size + 1 };
        if (before !== undefined && sameFacts(before, device)) continue;
        known.set(facts.uuid, device);
        told.push(device);
      }
      return told.length === 0 ? undefined : devicesFrame(epoch, told);
    },
  };
}

/** Numbers the batches. */
function createFramer({ metrics }: { metrics: ExportMetrics }, epoch: string) {
  let sequence = 0;
  return (content: { samples: Buffer } | { records: Buffer }): Buffer => {
    sequence += 1;
    const bytes = batchFrame(epoch, sequence, content);
    const name = "samples" in content ? "samples" : "records";
    metrics.batches.inc({ content: name });
    metrics.sealedBytes.inc({ content: name }, bytes.length);
    return bytes;
  };
}

function sameFacts(a: Known, b: Known): boolean {
  return JSON.stringify(factsOf(a)) === JSON.stringify(factsOf(b));
}
const factsOf = (device: Known): unknown[] => [
  device.gpuUuid,
  device.kind,
  device.model,
  device.driverVersion,
  device.index,
  device.migProfile,
];

function strangers(samples: readonly Sample[], known: ReadonlyMap<string, Known>): DeviceFacts[] {
  const found = new Map<string, DeviceFacts>();
  for (const { deviceUuid, gpuUuid } of samples) {
    if (known.has(deviceUuid)) continue;
    found.set(deviceUuid, {
      uuid: deviceUuid,
      gpuUuid,
      kind: deviceUuid === gpuUuid ? "whole" : "mig",
      model: "",
      driverVersion: "",
      index: undefined,
      migProfile: "",
    });
  }
  return [...found.values()];
}

const dayMs = 86_400_000;

/** A batch holds samples of one UTC day: one partition, one insert. */
function chunksOf(samples: readonly Sample[]): Sample[][] {
  const days = Map.groupBy(samples, ({ atMs }) => Math.floor(Math.round(atMs) / dayMs));
  return [...days.values()].flatMap((day) =>
    Array.from({ length: Math.ceil(day.length / limits.batchRows) }, (_, index) =>
      day.slice(index * limits.batchRows, (index + 1) * limits.batchRows),
    ),
  );
}
