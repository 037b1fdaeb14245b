/**
 * The newest value of each metric of each device, for whoever asks now (the node's metrics page). A value
 * that was not renewed for a while, or that the device stopped telling, is not given out.
 */
import {
  gpmMetrics,
  slowMetrics,
  type LocalMetric,
  type Metric as SampleMetric,
  type Reason,
} from "../nvml/readings.ts";
import { rarePeriodMs } from "./limits.ts";
import type { MissingChange } from "./batch.ts";

export type Metric = SampleMetric | LocalMetric;

export interface LatestDevice {
  value(metric: Metric): number | undefined;
  /** Growth per second of a counter between its two newest readings. */
  rate(metric: Metric): number | undefined;
}

export interface Latest {
  put(device: string, metric: Metric, value: number, atMs: number): void;
  miss(change: MissingChange): void;
  /** Forgets every other device. */
  retain(devices: readonly string[]): void;
  device(uuid: string): LatestDevice;
  /** Device → metric → why it cannot be read. */
  missing(): ReadonlyMap<string, ReadonlyMap<Metric, Reason>>;
}

interface Reading {
  value: number;
  atMs: number;
  before: { readonly value: number; readonly atMs: number } | undefined;
}

/** Three times what the longest period may become (32 s), and rare values three of theirs. */
const freshMs = 96_000;
const rareFreshMs = 3 * rarePeriodMs + freshMs;

/** `monotonicMs` judges age: the wall clock may jump. */
export function createLatest(monotonicMs: () => number): Latest {
  const devices = new Map<string, Map<Metric, Reading & { readMs: number }>>();
  const missing = new Map<string, Map<Metric, Reason>>();
  return {
    put(device, metric, value, atMs) {
      const readings = entry(devices, device);
      const known = readings.get(metric);
      const readMs = monotonicMs();
      if (!known) {
        readings.set(metric, { value, atMs, before: undefined, readMs });
        return;
      }
      known.before = { value: known.value, atMs: known.atMs };
      known.value = value;
      known.atMs = atMs;
      known.readMs = readMs;
    },
    miss({ device, metric, reason }) {
      if (reason === undefined) {
        missing.get(device)?.delete(metric);
        return;
      }
      entry(missing, device).set(metric, reason);
      devices.get(device)?.delete(metric);
    },
    retain(wanted) {
      const keep = new Set(wanted);
      for (const map of [devices, missing]) {
        for (const device of map.keys()) if (!keep.has(device)) map.delete(device);
      }
    },
    device(uuid) {
      const fresh = (metric: Metric): Reading | undefined => {
        const reading = devices.get(uuid)?.get(metric);
        if (!reading) return undefined;
        const limitMs = isRare(metric) ? rareFreshMs : freshMs;
        return monotonicMs() - reading.readMs <= limitMs ? reading : undefined;
      };
      return {
        value: (metric) => fresh(metric)?.value,
        rate(metric) {
          const reading = fresh(metric);
          if (!reading?.before) return undefined;
          const seconds = (reading.atMs - reading.before.atMs) / 1000;
          const grown = reading.value - reading.before.value;
          // A counter that began anew, or a clock that jumped back: unknown.
          return seconds > 0 && grown >= 0 ? grown / seconds : undefined;
        },
      };
    },
    missing: () => missing,
  };
}

const often: readonly Metric[] = gpmMetrics;
function isRare(metric: Metric): boolean {
  return !often.includes(metric) && (slowMetrics as readonly Metric[]).includes(metric);
}

function entry<V>(map: Map<string, Map<Metric, V>>, device: string): Map<Metric, V> {
  const known = map.get(device);
  if (known) return known;
  const fresh = new Map<Metric, V>();
  map.set(device, fresh);
  return fresh;
}
