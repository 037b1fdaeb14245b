/**
 * Reads the short and the long tick's values of a GPU and of a slice.
 *
 * NVML tells nothing but identity, memory and GPM for a MIG slice, and no utilisation for a partitioned
 * GPU; such values are absent with that reason and are not asked for. A function that a device answered
 * with "not supported" is not asked again until the topology is read anew.
 */
import type { FunctionName, Functions } from "./functions.ts";
import { allLinks, fieldIds, fieldValue, outBuffer, sizes, u32, u64, versions } from "./layouts.ts";
import {
  code,
  fastMetrics,
  reasonOf,
  slowMetrics,
  unreadable,
  type Metric,
  type Reading,
  type Reason,
} from "./readings.ts";
import type { OpenGpu, OpenSlice, TopologyReader } from "./topology.ts";

export interface Sampler {
  fast(gpu: OpenGpu): Reading;
  slow(gpu: OpenGpu): Reading;
  slowSlice(gpu: OpenGpu, slice: OpenSlice): Reading;
  /** After the topology was read: what was not supported may be so now. */
  forget(): void;
}

interface Open {
  readonly values: Partial<Record<Metric, number>>;
  readonly missing: Partial<Record<Metric, Reason>>;
}

const fields: readonly { id: number; metric: Metric; scale: number }[] = [
  { id: fieldIds.nvlinkTxKib, metric: "nvlinkTxBytes", scale: 1024 },
  { id: fieldIds.nvlinkRxKib, metric: "nvlinkRxBytes", scale: 1024 },
  { id: fieldIds.remappedCorrected, metric: "remappedRowsCorrected", scale: 1 },
  { id: fieldIds.remappedUncorrected, metric: "remappedRowsUncorrected", scale: 1 },
  { id: fieldIds.remapPending, metric: "remapPending", scale: 1 },
  { id: fieldIds.remapFailed, metric: "remapFailed", scale: 1 },
  { id: fieldIds.pcieTxBytes, metric: "pcieTxBytes", scale: 1 },
  { id: fieldIds.pcieRxBytes, metric: "pcieRxBytes", scale: 1 },
];

/** NVML's enums. */
const clockSm = 1;
const clockMemory = 2;
const sensorGpu = 0;
const eccAggregate = 1;

/** What the readers below share. Buffers are read out before the next call. */
interface Context {
  readonly functions: Functions;
  readonly out: { readonly bytes: Buffer; readonly view: DataView };
  readonly fields: { readonly bytes: Buffer; readonly view: DataView };
  /** Device → functions it refused with "not supported". */
  readonly refused: Map<string, Set<FunctionName>>;
}

export function createSampler(functions: Functions, topology: TopologyReader): Sampler {
  const context: Context = {
    functions,
    out: outBuffer(sizes.memoryV2),
    fields: outBuffer(sizes.fieldValue * fields.length),
    refused: new Map(),
  };
  return {
    fast: (gpu) => readFast(context, gpu),
    slow: (gpu) => readSlow(context, gpu),
    slowSlice: (gpu, slice) => readSlice(context, topology, gpu, slice),
    forget: () => context.refused.clear(),
  };
}

function readFast(context: Context, gpu: OpenGpu): Reading {
  if (gpu.lost) return unreadable(gpu.uuid, fastMetrics, "gpu_lost");
  const to: Open = { values: {}, missing: {} };
  if (gpu.migEnabled === true) {
    to.missing.utilizationRatio = to.missing.memoryUtilizationRatio = "mig_enabled";
  } else {
    const returned = ask(context, gpu, "utilization");
    put(to, "utilizationRatio", returned, () => u32(context.out.view, 0) / 100);
    put(to, "memoryUtilizationRatio", returned, () => u32(context.out.view, 4) / 100);
  }
  put(to, "powerWatts", ask(context, gpu, "power"), () => u32(context.out.view, 0) / 1000);
  return { device: gpu.uuid, ...to };
}

function readSlow(context: Context, gpu: OpenGpu): Reading {
  if (gpu.lost) return unreadable(gpu.uuid, slowMetrics, "gpu_lost");
  const { functions, out } = context;
  const to: Open = { values: {}, missing: {} };
  readMemory(context, to, gpu);
  put(to, "powerLimitWatts", ask(context, gpu, "powerLimit"), () => u32(out.view, 0) / 1000);
  put(to, "energyMillijoules", ask(context, gpu, "energy"), () => u64(out.view, 0));
  put(to, "throttleReasons", ask(context, gpu, "throttle"), () => u64(out.view, 0));
  readTemperature(context, to, gpu);
  for (const [metric, type] of [
    ["smClockMhz", clockSm],
    ["memoryClockMhz", clockMemory],
  ] as const) {
    const returned = functions.call("clock", gpu.handle, type, out.bytes);
    put(to, metric, returned, () => u32(out.view, 0));
  }
  for (const [metric, type] of [
    ["eccCorrected", 0],
    ["eccUncorrected", 1],
  ] as const) {
    // The aggregate counter: the volatile one is not told while MIG is on.
    const returned = functions.call("eccErrors", gpu.handle, type, eccAggregate, out.bytes);
    put(to, metric, returned, () => u64(out.view, 0));
  }
  readFields(context, to, gpu);
  return { device: gpu.uuid, ...to };
}

function readSlice(
  context: Context,
  topology: TopologyReader,
  gpu: OpenGpu,
  slice: OpenSlice,
): Reading {
  if (gpu.lost) return unreadable(slice.uuid, slowMetrics, "gpu_lost");
  const to: Open = { values: {}, missing: {} };
  readMemory(context, to, slice);
  // Asked afterwards: a repartition before or during the reading shows here.
  if (!topology.isStill(slice)) return unreadable(slice.uuid, slowMetrics, "slice_gone");
  for (const metric of slowMetrics) {
    if (to.values[metric] === undefined) to.missing[metric] ??= "mig_slice";
  }
  return { device: slice.uuid, ...to };
}

type Device = Pick<OpenGpu, "uuid" | "handle">;

/** Calls (device, out) unless this device refused before; remembers a refusal. */
function ask(context: Context, device: Device, name: FunctionName): number {
  if (context.refused.get(device.uuid)?.has(name)) return code.notSupported;
  const returned = context.functions.call(name, device.handle, context.out.bytes);
  if (returned === code.notSupported) {
    const names = context.refused.get(device.uuid) ?? new Set();
    context.refused.set(device.uuid, names.add(name));
  }
  return returned;
}

/** One value into `to`, or the reason why it is absent. */
function put(to: Open, metric: Metric, returned: number, value: () => number): void {
  if (returned === code.success) to.values[metric] = value();
  else to.missing[metric] = reasonOf(returned);
}

function readMemory(context: Context, to: Open, device: Device): void {
  const { view } = context.out;
  view.setUint32(0, versions.memoryV2, true);
  let returned = ask(context, device, "memoryV2");
  let used = 32;
  let total = 8;
  if (returned === code.functionNotFound || returned === code.versionMismatch) {
    // Version 1 counts what the driver keeps for itself as used.
    returned = ask(context, device, "memory");
    used = 16;
    total = 0;
  }
  put(to, "memoryUsedBytes", returned, () => u64(view, used));
  put(to, "memoryTotalBytes", returned, () => u64(view, total));
}

function readTemperature(context: Context, to: Open, gpu: OpenGpu): void {
  const { view, bytes } = context.out;
  view.setUint32(0, versions.temperatureV1, true);
  view.setUint32(4, sensorGpu, true);
  let returned = ask(context, gpu, "temperatureV");
  let at = 8;
  if (returned === code.functionNotFound || returned === code.versionMismatch) {
    returned = context.functions.call("temperature", gpu.handle, sensorGpu, bytes);
    at = 0;
  }
  put(to, "temperatureCelsius", returned, () => view.getInt32(at, true));
}

function readFields(context: Context, to: Open, gpu: OpenGpu): void {
  const { bytes, view } = context.fields;
  bytes.fill(0);
  for (const [index, { id }] of fields.entries()) {
    const isLink = id === fieldIds.nvlinkTxKib || id === fieldIds.nvlinkRxKib;
    view.setUint32(index * sizes.fieldValue, id, true);
    view.setUint32(index * sizes.fieldValue + 4, isLink ? allLinks : 0, true);
  }
  const returned = context.functions.call("fieldValues", gpu.handle, fields.length, bytes);
  for (const [index, { metric, scale }] of fields.entries()) {
    const field = fieldValue(view, index * sizes.fieldValue);
    const each = returned === code.success ? field.returned : returned;
    put(to, metric, each, () => field.value * scale);
  }
}
