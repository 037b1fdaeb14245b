/**
 * The fleet as the page shows it: metrics, grouping by node, counts from owned to effective, search.
 * Pure; computed from one answer of the API.
 */
import type { Gpu } from "@axonize/core/contract/gpu";
import { bytes, digits, noValue, plural, type Quantity } from "../../data/format.ts";

export type FleetMetric = "activity" | "memory" | "bandwidth" | "tensor" | "power" | "temperature";

export interface MetricSpec {
  readonly value: FleetMetric;
  readonly label: string;
  readonly ramp: "use" | "heat";
  readonly low: string;
  readonly high: string;
}

export const fleetMetrics: readonly MetricSpec[] = [
  { value: "activity", label: "Activity", ramp: "use", low: "0 %", high: "100 %" },
  { value: "memory", label: "Memory", ramp: "use", low: "0 %", high: "100 %" },
  { value: "bandwidth", label: "Bandwidth", ramp: "use", low: "0 %", high: "100 %" },
  { value: "tensor", label: "Tensor", ramp: "use", low: "0 %", high: "100 %" },
  { value: "power", label: "Power", ramp: "heat", low: "0 %", high: "limit" },
  { value: "temperature", label: "Temperature", ramp: "heat", low: "30 °C", high: "95 °C" },
];

/** 30 °C is a cool idle device; at about 95 °C data-centre devices slow down. */
const coolCelsius = 30;
const hotCelsius = 95;
/** A warning before the slowdown. */
export const warmCelsius = 85;

/** SM activity where the device tells it; utilisation (any kernel running) otherwise. */
export function activity(gpu: Gpu): number | undefined {
  return gpu.reading.smActivityRatio ?? gpu.reading.utilizationRatio ?? undefined;
}

/** 0–1 on the metric's ramp; undefined where it is not measured. */
export function rampRatio(gpu: Gpu, metric: FleetMetric): number | undefined {
  const r = gpu.reading;
  switch (metric) {
    case "activity":
      return activity(gpu);
    case "memory":
      return quotient(r.memoryUsedBytes, r.memoryTotalBytes);
    case "bandwidth":
      return r.dramActivityRatio ?? undefined;
    case "tensor":
      return r.tensorActivityRatio ?? undefined;
    case "power":
      return quotient(r.powerWatts, r.powerLimitWatts);
    case "temperature":
      return r.temperatureCelsius === null
        ? undefined
        : (r.temperatureCelsius - coolCelsius) / (hotCelsius - coolCelsius);
  }
}

export function metricValue(gpu: Gpu, metric: FleetMetric): Quantity {
  const r = gpu.reading;
  if (metric === "power") return whole(r.powerWatts, "W");
  if (metric === "temperature") return whole(r.temperatureCelsius, "°C");
  if (metric === "memory" && r.memoryTotalBytes === null) return bytes(r.memoryUsedBytes);
  const ratio = rampRatio(gpu, metric);
  return ratio === undefined ? noValue : { value: String(Math.round(ratio * 100)), unit: "%" };
}

export function whole(value: number | null, unit: string): Quantity {
  return value === null ? noValue : { value: String(Math.round(value)), unit };
}

function quotient(part: number | null, all: number | null): number | undefined {
  return part === null || all === null || all === 0 ? undefined : part / all;
}

/** At most this active counts as idle: sensors report 0 or a fraction of a percent. */
const idleRatio = 0.02;

export type CellState = "ok" | "idle" | "free" | "stale" | "unknown";

/**
 * `idle` is held by somebody and does nothing, the expensive case; `free` is held by nobody. Where
 * nobody can tell who holds a device, its low activity is shown and no more is claimed.
 */
export function cellState(gpu: Gpu): CellState {
  if (gpu.stale) return "stale";
  const active = activity(gpu);
  if (gpu.allocation === "free" && (active ?? 0) <= idleRatio) return "free";
  if (active === undefined) return "unknown";
  return active <= idleRatio && gpu.allocation === "allocated" ? "idle" : "ok";
}

export const isThrottled = (gpu: Gpu): boolean =>
  gpu.throttleReasons.some((reason) => reason !== "power cap");

export interface NodeRow {
  readonly node: string;
  readonly gpus: readonly { readonly gpu: Gpu; readonly slices: readonly Gpu[] }[];
}
export interface ModelGroup {
  readonly name: string;
  readonly nodes: readonly NodeRow[];
  readonly count: number;
  /** Of the count, slices whose card is not among the devices. */
  readonly loneSlices: number;
}

const isSlice = (gpu: Gpu): boolean => gpu.parentUuid !== "";

/** "128 GPUs"; "1 slice" where its card is not seen; "2 GPUs, 1 slice". */
export function countText({ count, loneSlices }: ModelGroup): string {
  const cards = count - loneSlices;
  return [
    ...(cards === 0 ? [] : [plural(cards, "GPU")]),
    ...(loneSlices === 0 ? [] : [plural(loneSlices, "slice")]),
  ].join(", ");
}

/** What hatched cells mean among these devices; empty where none is hatched. */
export function hatchText(gpus: readonly Gpu[]): string {
  const inSlices = new Set(gpus.map(({ parentUuid }) => parentUuid));
  const states = new Set(gpus.flatMap((gpu) => (inSlices.has(gpu.uuid) ? [] : [cellState(gpu)])));
  const words = [
    ...(states.has("free") ? ["held by nobody"] : []),
    ...(states.has("stale") ? ["silent"] : []),
    ...(states.has("unknown") ? ["not measured"] : []),
  ];
  return words.join(", ").replace(/, ([^,]+)$/, " or $1");
}

/** GPUs, and each slice whose GPU is not among them: a tenant sees the slices that its own pods hold. */
function devicesOf(gpus: readonly Gpu[]): readonly Gpu[] {
  const whole = new Set(gpus.flatMap((gpu) => (gpu.parentUuid === "" ? [gpu.uuid] : [])));
  return gpus.filter((gpu) => gpu.parentUuid === "" || !whole.has(gpu.parentUuid));
}

/** By GPU model, then by node, each node's devices by index. */
export function groupFleet(gpus: readonly Gpu[]): readonly ModelGroup[] {
  const slices = Map.groupBy(
    gpus.filter((gpu) => gpu.parentUuid !== ""),
    (gpu) => gpu.parentUuid,
  );
  const groups = Map.groupBy(devicesOf(gpus), (gpu) => gpu.name);
  return [...groups]
    .map(([name, members]) => ({
      name: shortName(name),
      count: members.length,
      loneSlices: members.filter(isSlice).length,
      nodes: [...Map.groupBy(members, (gpu) => gpu.node)]
        .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
        .map(([node, inside]) => ({
          node,
          gpus: inside
            .sort((a, b) => (a.index ?? 0) - (b.index ?? 0) || a.uuid.localeCompare(b.uuid))
            .map((gpu) => ({
              gpu,
              slices: (slices.get(gpu.uuid) ?? []).sort(
                (a, b) =>
                  (b.reading.memoryTotalBytes ?? 0) - (a.reading.memoryTotalBytes ?? 0) ||
                  a.uuid.localeCompare(b.uuid),
              ),
            })),
        })),
    }))
    .sort((a, b) => b.count - a.count);
}

/** Places of the devices: node by node, cards by number, each before its slices. */
export function deviceOrder(gpus: readonly Gpu[]): ReadonlyMap<string, number> {
  const order = groupFleet(gpus)
    .flatMap(({ nodes }) => nodes)
    .sort((a, b) => a.node.localeCompare(b.node, "en", { numeric: true }))
    .flatMap(({ gpus: cards }) => cards)
    .flatMap(({ gpu, slices }) => [gpu.uuid, ...slices.map(({ uuid }) => uuid)]);
  return new Map(order.map((uuid, place) => [uuid, place]));
}

export function shortName(name: string): string {
  return name
    .replace(/^NVIDIA\s+/, "")
    .replace(/\s+HBM\d.*$/, "")
    .replace(/-SXM\d?-/, " ");
}

export interface Funnel {
  readonly total: number;
  /** Of the total, slices whose card is not among the devices. */
  readonly loneSlices: number;
  readonly allocated: number | undefined;
  /** Nobody can tell who holds them. */
  readonly unattributed: number;
  /** These three are undefined where no device was measured. */
  readonly active: number | undefined;
  readonly effective: number | undefined;
  readonly idle: number | undefined;
  readonly hot: number;
  readonly throttled: number;
  readonly stale: number;
  readonly powerWatts: number | null;
}

/** What the grid has a cell for, slices within their card; a card in slices is as busy as they are together. Effective: more than half. */
export function funnelOf(gpus: readonly Gpu[]): Funnel {
  const slices = Map.groupBy(gpus, (gpu) => gpu.parentUuid);
  const devices = devicesOf(gpus);
  const busy = (gpu: Gpu): number => activity(gpu) ?? meanActivity(slices.get(gpu.uuid) ?? []);
  // What nobody measured is not called idle: a partitioned card tells of its slices only to the privileged.
  const isMeasured = (gpu: Gpu): boolean =>
    activity(gpu) !== undefined ||
    (slices.get(gpu.uuid) ?? []).some((slice) => activity(slice) !== undefined);
  const measured = devices.filter((gpu) => !gpu.stale && isMeasured(gpu));
  const ofMeasured = (isCounted: (gpu: Gpu) => boolean): number | undefined =>
    measured.length === 0 && devices.length > 0 ? undefined : measured.filter(isCounted).length;
  const held = devices.filter((gpu) => gpu.allocation === "allocated");
  const unattributed = devices.filter((gpu) => gpu.allocation === "unknown").length;
  // Of those that still report: an old reading is not power now.
  const watts = devices.flatMap((gpu) => (gpu.stale ? [] : (gpu.reading.powerWatts ?? [])));
  return {
    total: devices.length,
    loneSlices: devices.filter(isSlice).length,
    allocated: unattributed === devices.length ? undefined : held.length,
    unattributed,
    active: ofMeasured((gpu) => busy(gpu) > idleRatio),
    effective: ofMeasured((gpu) => busy(gpu) > 0.5),
    idle: ofMeasured((gpu) => gpu.allocation === "allocated" && busy(gpu) <= idleRatio),
    throttled: devices.filter(isThrottled).length,
    hot: devices.filter((gpu) => (gpu.reading.temperatureCelsius ?? 0) >= warmCelsius).length,
    stale: devices.filter((gpu) => gpu.stale).length,
    powerWatts: watts.length === 0 ? null : watts.reduce((a, b) => a + b, 0),
  };
}

/** Slices weigh by their memory: a seventh of a card that is busy is a seventh of it. */
function meanActivity(slices: readonly Gpu[]): number {
  const weight = (gpu: Gpu): number => gpu.reading.memoryTotalBytes ?? 1;
  const all = slices.reduce((sum, gpu) => sum + weight(gpu), 0);
  return slices.reduce((sum, gpu) => sum + (activity(gpu) ?? 0) * weight(gpu), 0) / (all || 1);
}

/** Every word must be in the node, name, id, slice or a holder; `key:` before a word is ignored. */
export function filterFleet(gpus: readonly Gpu[], text: string): readonly Gpu[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .map((word) => word.replace(/^\w+:/, "").replace(/\*$/, ""))
    .filter(Boolean);
  if (words.length === 0) return gpus;
  return gpus.filter((gpu) => {
    const hay = [
      gpu.node,
      gpu.name,
      gpu.uuid,
      gpu.parentUuid,
      gpu.migProfile,
      ...gpu.pods.flatMap((p) => [p.namespace, p.name]),
    ]
      .join(" ")
      .toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}

export function kilowatts(watts: number | null): Quantity {
  if (watts === null) return noValue;
  return watts >= 1000
    ? { value: digits(watts / 1000), unit: "kW" }
    : { value: String(Math.round(watts)), unit: "W" };
}
