/**
 * From what was to what is: the events that no driver tells. GPUs lost and back, partitions changed,
 * throttling begun and ended, errors counted up, and a driver that was loaded anew, whose counters fell.
 */
import type { Gpu } from "../nvml/topology.ts";
import type { Metric } from "../nvml/readings.ts";
import type { DeviceEvent } from "../report.ts";
import { throttleEventLeastMs } from "./limits.ts";

export interface Transitions {
  /** A new enumeration. */
  devices(gpus: readonly Gpu[], atMs: number): DeviceEvent[];
  /** A GPU's long tick. `monotonicMs` paces the events. */
  reading(
    gpuUuid: string,
    values: Readonly<Partial<Record<Metric, number>>>,
    at: { readonly ms: number; readonly monotonicMs: number },
  ): DeviceEvent[];
  /** How often the driver was seen loaded anew. */
  reloads(): number;
}

/** Bits that mean "slower than it would be": caps and slowdowns; not idle, not chosen clocks. */
const throttleBits: readonly (readonly [bit: number, name: string])[] = [
  [0x4, "software power cap"],
  [0x8, "hardware slowdown"],
  [0x20, "software thermal slowdown"],
  [0x40, "hardware thermal slowdown"],
  [0x80, "hardware power brake"],
];
const throttleMask = throttleBits.reduce((mask, [bit]) => mask | bit, 0);

/** Counters whose growth is an event. */
const errorCounters = [
  ["eccUncorrected", "uncorrectable memory errors"],
  ["remappedRowsUncorrected", "rows remapped after uncorrectable errors"],
  ["remapPending", "a row remapping waits for a reset"],
  ["remapFailed", "a row remapping failed"],
] as const satisfies readonly (readonly [Metric, string])[];

interface Known {
  energyMillijoules: number | undefined;
  throttle: number;
  throttleToldMs: number;
  readonly counters: Map<Metric, number>;
}

export function createTransitions(): Transitions {
  let gpus: readonly Gpu[] | undefined;
  const known = new Map<string, Known>();
  let reloads = 0;
  return {
    devices(next, atMs) {
      const events = gpus === undefined ? lostAtFirst(next, atMs) : changesOf(gpus, next, atMs);
      gpus = next;
      for (const uuid of known.keys())
        if (!next.some((gpu) => gpu.uuid === uuid)) known.delete(uuid);
      return events;
    },
    reading(gpuUuid, values, at) {
      let state = known.get(gpuUuid);
      if (!state) {
        const throttleToldMs = Number.NEGATIVE_INFINITY;
        state = { energyMillijoules: undefined, throttle: 0, throttleToldMs, counters: new Map() };
        known.set(gpuUuid, state);
      }
      const energy = values.energyMillijoules;
      if (energy !== undefined) {
        if (state.energyMillijoules !== undefined && energy < state.energyMillijoules) reloads += 1;
        state.energyMillijoules = energy;
      }
      return [...throttled(gpuUuid, state, values, at), ...counted(gpuUuid, state, values, at.ms)];
    },
    reloads: () => reloads,
  };
}

function lostAtFirst(gpus: readonly Gpu[], atMs: number): DeviceEvent[] {
  return gpus.filter(({ lost }) => lost).map(({ uuid }) => lostEvent(uuid, atMs, "at the start"));
}

function changesOf(before: readonly Gpu[], after: readonly Gpu[], atMs: number): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  for (const gpu of after) {
    const was = before.find(({ uuid }) => uuid === gpu.uuid);
    if (!was) continue;
    if (gpu.lost && !was.lost) events.push(lostEvent(gpu.uuid, atMs, "fell off the bus"));
    if (!gpu.lost && was.lost) {
      events.push({ atMs, gpuUuid: gpu.uuid, kind: "recovered", detail: {} });
    }
    const change = partitionChange(was, gpu);
    if (change) events.push({ atMs, gpuUuid: gpu.uuid, kind: "mig", detail: change });
  }
  for (const { uuid, lost } of before) {
    if (lost || after.some((gpu) => gpu.uuid === uuid)) continue;
    events.push(lostEvent(uuid, atMs, "not enumerated any more"));
  }
  return events;
}

function lostEvent(gpuUuid: string, atMs: number, why: string): DeviceEvent {
  return { atMs, gpuUuid, kind: "lost", detail: { why } };
}

function partitionChange(was: Gpu, gpu: Gpu): DeviceEvent["detail"] | undefined {
  if (was.migEnabled !== gpu.migEnabled) {
    return { change: gpu.migEnabled === true ? "MIG enabled" : "MIG disabled" };
  }
  const nameOf = (slice: Gpu["slices"][number]): string =>
    `${slice.profile} ${slice.uuid} ${slice.gpuInstanceId}/${slice.computeInstanceId}`;
  const then = new Set(was.slices.map(nameOf));
  const now = new Set(gpu.slices.map(nameOf));
  const added = gpu.slices.filter((slice) => !then.has(nameOf(slice)));
  const removed = was.slices.filter((slice) => !now.has(nameOf(slice)));
  if (added.length === 0 && removed.length === 0) return undefined;
  const profiles = (slices: Gpu["slices"]): string =>
    slices.map(({ profile }) => profile).join(" ");
  return { change: "repartitioned", added: profiles(added), removed: profiles(removed) };
}

function throttled(
  gpuUuid: string,
  state: Known,
  values: Readonly<Partial<Record<Metric, number>>>,
  at: { readonly ms: number; readonly monotonicMs: number },
): DeviceEvent[] {
  if (values.throttleReasons === undefined) return [];
  const bits = values.throttleReasons & throttleMask;
  if (bits === state.throttle) return [];
  if (at.monotonicMs - state.throttleToldMs < throttleEventLeastMs) return [];
  state.throttle = bits;
  state.throttleToldMs = at.monotonicMs;
  const names = throttleBits.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
  const detail = { code: bits, reasons: names.join(", ") || "none: full speed again" };
  return [{ atMs: at.ms, gpuUuid, kind: "throttle", detail }];
}

function counted(
  gpuUuid: string,
  state: Known,
  values: Readonly<Partial<Record<Metric, number>>>,
  atMs: number,
): DeviceEvent[] {
  const events: DeviceEvent[] = [];
  for (const [metric, what] of errorCounters) {
    const value = values[metric];
    if (value === undefined) continue;
    const before = state.counters.get(metric);
    state.counters.set(metric, value);
    if (before === undefined || value <= before) continue;
    events.push({ atMs, gpuUuid, kind: "ecc", detail: { what, count: value, before } });
  }
  return events;
}
