/**
 * GPM: averages of SM, tensor and memory activity between two samples, for a GPU or a MIG slice, on
 * Hopper and later. Each target keeps its previous sample and takes the other buffer each tick, so the
 * average covers the whole tick. Buffers belong to the driver and are freed when a target is gone.
 */
import type { FunctionName, Functions } from "./functions.ts";
import { gpmMetricIds, sizes, u32, u64, versions } from "./layouts.ts";
import { outBuffer, type NativeCall, type OutBuffer } from "./library.ts";
import { code, put, reasonCode, reasonOf, type Reason, type Row } from "./readings.ts";
import type { OpenGpu, OpenSlice } from "./topology.ts";
import type { Work } from "./work.ts";

export interface Gpm {
  /** Takes a sample and puts the averages since the last one into `row`, from position `at` on. */
  read(row: Row, at: number, gpu: OpenGpu, slice: OpenSlice | undefined): Work<void>;
  /** The slice turned out to be another one: no average may reach across that. */
  forget(gpu: OpenGpu, slice: OpenSlice): void;
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
  readonly gpuSample: NativeCall;
  readonly migSample: NativeCall;
  readonly metrics: NativeCall;
  readonly targets: Map<string, Target>;
  /** GPU → why it has no GPM; undefined: it has. */
  readonly support: Map<string, Reason | undefined>;
  readonly small: OutBuffer;
  /** 24 + 40·N: as long as what is asked for, whatever a header's maximum is. */
  readonly request: OutBuffer;
}

/** In the order of the rows: gpmMetrics, then graphicsActivityRatio. */
const ids = [
  gpmMetricIds.sm,
  gpmMetricIds.occupancy,
  gpmMetricIds.anyTensor,
  gpmMetricIds.dram,
  gpmMetricIds.graphics,
];

export function createGpm(functions: Functions): Gpm {
  const context: Context = {
    functions,
    gpuSample: functions.native("gpmSample"),
    migSample: functions.native("gpmMigSample"),
    metrics: functions.native("gpmMetrics"),
    targets: new Map(),
    support: new Map(),
    small: outBuffer(8),
    request: requestBuffer(),
  };
  return {
    read: (row, at, gpu, slice) => read(context, row, at, gpu, slice),
    forget(gpu, slice) {
      const target = context.targets.get(keyOf(gpu, slice));
      if (target) target.primed = false;
    },
    retain: (gpus) => retain(context, gpus),
  };
}

function* read(
  context: Context,
  row: Row,
  at: number,
  gpu: OpenGpu,
  slice: OpenSlice | undefined,
): Work<void> {
  const no = whyNot(context, gpu, slice);
  const target = no === undefined ? targetOf(context, keyOf(gpu, slice)) : undefined;
  if (!target) {
    row.reasons.fill(reasonCode[no ?? "failed"], at, at + ids.length);
    return;
  }
  yield sampleName(slice);
  const returned = slice
    ? context.migSample(gpu.handle, slice.gpuInstanceId, target.next)
    : context.gpuSample(gpu.handle, target.next);
  if (returned !== code.success) {
    target.primed = false;
    row.reasons.fill(reasonCode[reasonOf(returned)], at, at + ids.length);
    return;
  }
  if (target.primed) {
    yield "gpmMetrics";
    average(context, row, at, target);
  } else {
    row.reasons.fill(reasonCode.no_data, at, at + ids.length);
  }
  target.primed = true;
  const taken = target.next;
  target.next = target.previous;
  target.previous = taken;
}

function sampleName(slice: OpenSlice | undefined): FunctionName {
  return slice ? "gpmMigSample" : "gpmSample";
}

function whyNot(context: Context, gpu: OpenGpu, slice: OpenSlice | undefined): Reason | undefined {
  if (!context.support.has(gpu.uuid)) {
    const { at, view } = context.small;
    view.setUint32(0, versions.gpm, true);
    const returned = context.functions.call("gpmSupport", gpu.handle, at);
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
  return functions.call("gpmAlloc", small.at) === code.success ? u64(small.view, 0) : undefined;
}

/** The ids never change; each call sets the two samples and makes the old answers invalid. */
function requestBuffer(): OutBuffer {
  const request = outBuffer(sizes.gpmMetricsGet + sizes.gpmMetric * ids.length);
  request.view.setUint32(0, versions.gpm, true);
  request.view.setUint32(4, ids.length, true);
  for (const [index, id] of ids.entries()) {
    request.view.setUint32(sizes.gpmMetricsGet + index * sizes.gpmMetric, id, true);
  }
  return request;
}

function average({ metrics, request }: Context, row: Row, to: number, target: Target): void {
  const { view } = request;
  setPointer(view, 8, target.previous);
  setPointer(view, 16, target.next);
  for (let index = 0; index < ids.length; index += 1) {
    view.setInt32(sizes.gpmMetricsGet + index * sizes.gpmMetric + 4, code.noData, true);
  }
  const returned = metrics(request.at);
  for (let index = 0; index < ids.length; index += 1) {
    const at = sizes.gpmMetricsGet + index * sizes.gpmMetric;
    const each = returned === code.success ? view.getInt32(at + 4, true) : returned;
    put(row, to + index, each, view.getFloat64(at + 8, true) / 100);
  }
}

function setPointer(view: DataView, at: number, pointer: number): void {
  view.setUint32(at, pointer % 4294967296, true);
  view.setUint32(at + 4, Math.floor(pointer / 4294967296), true);
}

function retain(context: Context, gpus: readonly OpenGpu[]): void {
  context.support.clear();
  const wanted = new Set(
    gpus.flatMap((gpu) => [keyOf(gpu, undefined), ...gpu.slices.map((slice) => keyOf(gpu, slice))]),
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
function keyOf(gpu: OpenGpu, slice: OpenSlice | undefined): string {
  return slice
    ? `${slice.uuid} ${slice.profile} ${slice.gpuInstanceId} ${slice.computeInstanceId}`
    : `${gpu.uuid} ${String(gpu.migEnabled)}`;
}
