/**
 * GPM: averages of SM, tensor and memory activity between two samples, for a GPU or a MIG slice, on
 * Hopper and later. Each target keeps its previous sample and takes the other buffer each tick, so the
 * average covers the whole tick. Buffers belong to the driver and are freed when a target is gone.
 */
import type { Functions } from "./functions.ts";
import { gpmMetricIds, outBuffer, sizes, u32, u64, versions } from "./layouts.ts";
import { code, gpmMetrics, reasonOf, unreadable, type Reading, type Reason } from "./readings.ts";
import type { OpenGpu, OpenSlice, TopologyReader } from "./topology.ts";

export interface Gpm {
  /** Takes a sample and answers the average since the last one. */
  sample(gpu: OpenGpu, slice?: OpenSlice): Reading;
  /** Frees the buffers of targets that are not in the topology any more. */
  retain(gpus: readonly OpenGpu[]): void;
}

/** Two buffers of the driver's; `primed`: `previous` holds a sample. */
interface Target {
  previous: number;
  next: number;
  primed: boolean;
}

interface Context {
  readonly functions: Functions;
  readonly targets: Map<string, Target>;
  /** GPU → why it has no GPM; undefined: it has. */
  readonly support: Map<string, Reason | undefined>;
  readonly small: { readonly bytes: Buffer; readonly view: DataView };
  /** 24 + 40·N: as long as what is asked for, whatever a header's maximum is. */
  readonly request: { readonly bytes: Buffer; readonly view: DataView };
}

const ids = [gpmMetricIds.sm, gpmMetricIds.occupancy, gpmMetricIds.anyTensor, gpmMetricIds.dram];

export function createGpm(functions: Functions, topology: TopologyReader): Gpm {
  const context: Context = {
    functions,
    targets: new Map(),
    support: new Map(),
    small: outBuffer(8),
    request: outBuffer(sizes.gpmMetricsGet + sizes.gpmMetric * ids.length),
  };
  return {
    sample: (gpu, slice) => sample(context, topology, gpu, slice),
    retain: (gpus) => retain(context, gpus),
  };
}

function sample(
  context: Context,
  topology: TopologyReader,
  gpu: OpenGpu,
  slice: OpenSlice | undefined,
): Reading {
  const device = slice?.uuid ?? gpu.uuid;
  const no = whyNot(context, gpu, slice);
  if (no) return unreadable(device, gpmMetrics, no);
  const target = targetOf(context, keyOf(gpu, slice));
  if (!target) return unreadable(device, gpmMetrics, "failed");
  const { functions } = context;
  const returned = slice
    ? functions.call("gpmMigSample", gpu.handle, slice.gpuInstanceId, target.next)
    : functions.call("gpmSample", gpu.handle, target.next);
  const gone = slice !== undefined && !topology.isStill(slice);
  if (gone || returned !== code.success) {
    target.primed = false;
    return unreadable(device, gpmMetrics, gone ? "slice_gone" : reasonOf(returned));
  }
  const reading = target.primed
    ? average(context, device, target)
    : unreadable(device, gpmMetrics, "no_data");
  target.primed = true;
  [target.previous, target.next] = [target.next, target.previous];
  return reading;
}

function whyNot(context: Context, gpu: OpenGpu, slice: OpenSlice | undefined): Reason | undefined {
  if (gpu.lost) return "gpu_lost";
  if (!context.support.has(gpu.uuid)) {
    const { bytes, view } = context.small;
    view.setUint32(0, versions.gpm, true);
    const returned = context.functions.call("gpmSupport", gpu.handle, bytes);
    if (returned === code.gpuIsLost || returned === code.libraryMismatch) return reasonOf(returned);
    const no = returned === code.success ? "not_supported" : reasonOf(returned);
    const yes = returned === code.success && u32(view, 4) === 1;
    context.support.set(gpu.uuid, yes ? undefined : no);
  }
  const no = context.support.get(gpu.uuid);
  return no ?? (slice && sharesInstance(gpu, slice) ? "instance_shared" : undefined);
}

function targetOf(context: Context, key: string): Target | undefined {
  const known = context.targets.get(key);
  if (known) return known;
  const previous = allocate(context);
  if (previous === undefined) return undefined;
  const next = allocate(context);
  if (next === undefined) {
    context.functions.call("gpmFree", previous);
    return undefined;
  }
  const target = { previous, next, primed: false };
  context.targets.set(key, target);
  return target;
}

function allocate({ functions, small }: Context): number | undefined {
  return functions.call("gpmAlloc", small.bytes) === code.success ? u64(small.view, 0) : undefined;
}

function average({ functions, request }: Context, device: string, target: Target): Reading {
  request.bytes.fill(0);
  request.view.setUint32(0, versions.gpm, true);
  request.view.setUint32(4, ids.length, true);
  request.view.setBigUint64(8, BigInt(target.previous), true);
  request.view.setBigUint64(16, BigInt(target.next), true);
  for (const [index, id] of ids.entries()) {
    request.view.setUint32(sizes.gpmMetricsGet + index * sizes.gpmMetric, id, true);
  }
  const returned = functions.call("gpmMetrics", request.bytes);
  if (returned !== code.success) return unreadable(device, gpmMetrics, reasonOf(returned));
  const reading: Reading = { device, values: {}, missing: {} };
  for (const [index, metric] of gpmMetrics.entries()) {
    const at = sizes.gpmMetricsGet + index * sizes.gpmMetric;
    const each = request.view.getInt32(at + 4, true);
    if (each === code.success) reading.values[metric] = request.view.getFloat64(at + 8, true) / 100;
    else reading.missing[metric] = reasonOf(each);
  }
  return reading;
}

function retain(context: Context, gpus: readonly OpenGpu[]): void {
  context.support.clear();
  const wanted = new Set(
    gpus.flatMap((gpu) => [keyOf(gpu), ...gpu.slices.map((slice) => keyOf(gpu, slice))]),
  );
  for (const [key, target] of context.targets) {
    if (wanted.has(key)) continue;
    context.functions.call("gpmFree", target.previous);
    context.functions.call("gpmFree", target.next);
    context.targets.delete(key);
  }
}

/** GPM is told per GPU instance: with two compute instances in one, neither owns the number. */
function sharesInstance(gpu: OpenGpu, slice: OpenSlice): boolean {
  return gpu.slices.some((other) => other !== slice && other.gpuInstanceId === slice.gpuInstanceId);
}

/** The profile is in the key: the same UUID may come back as another slice. */
function keyOf(gpu: OpenGpu, slice?: OpenSlice): string {
  return slice
    ? `${slice.uuid} ${slice.profile} ${slice.gpuInstanceId} ${slice.computeInstanceId}`
    : `${gpu.uuid} ${String(gpu.migEnabled)}`;
}
