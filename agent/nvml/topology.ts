/**
 * Which GPUs and MIG slices there are: read whole each time, because MIG handles go stale silently.
 *
 * A slice's handle is a place in the driver, not a slice: after a repartition it describes whatever sits
 * there. So a slice is known by (UUID, GPU instance, compute instance), and `isStill` asks the handle.
 * It is work in steps of few calls, so a slow driver delays a tick by a step and not by the whole node.
 */
import type { Functions } from "./functions.ts";
import { sizes, textOf, textSizes, u32, u64 } from "./layouts.ts";
import { outBuffer } from "./library.ts";
import { maxGpus, maxSlicesPerGpu } from "./limits.ts";
import { code, reasonOf, type Reason } from "./readings.ts";
import { createReads, type Reads } from "./reads.ts";
import type { Work } from "./work.ts";

export interface Slice {
  readonly uuid: string;
  readonly parentUuid: string;
  readonly index: number;
  readonly gpuInstanceId: number;
  readonly computeInstanceId: number;
  /** As the driver names it, e.g. `1g.10gb`; never computed. */
  readonly profile: string;
  readonly smCount: number | undefined;
  readonly gpuInstanceSlices: number | undefined;
  readonly computeInstanceSlices: number | undefined;
  readonly memoryMib: number | undefined;
  /** Needs privilege; undefined with the reason beside it. */
  readonly placement: { readonly start: number; readonly size: number } | undefined;
  readonly placementMissing: Reason | undefined;
}

export interface Gpu {
  readonly uuid: string;
  /** Order of this boot; no identity. */
  readonly index: number;
  readonly name: string;
  readonly minor: number | undefined;
  readonly serial: string | undefined;
  readonly pciBusId: string | undefined;
  readonly architecture: number | undefined;
  readonly computeCapability: string | undefined;
  /** undefined: the card has no MIG. */
  readonly migEnabled: boolean | undefined;
  readonly migPending: boolean | undefined;
  readonly lost: boolean;
  readonly slices: readonly Slice[];
}

/** A GPU that the driver counts and does not open, so that nothing is known of it but its place. */
export interface RefusedGpu {
  readonly index: number;
  readonly reason: Reason;
}

/** With the driver's handles; stays inside agent/nvml. */
export interface OpenSlice extends Slice {
  readonly handle: number;
}
export interface OpenGpu extends Gpu {
  readonly handle: number;
  readonly slices: readonly OpenSlice[];
}

export interface TopologyReader {
  /** `known`: the previous answer, which a lost GPU keeps its identity from. */
  read(
    known: readonly OpenGpu[],
  ): Work<{ returned: number; gpus: OpenGpu[]; refused: RefusedGpu[] }>;
  /** Whether the handle still describes that slice. Ask after a reading and before trusting it. */
  isStill(slice: OpenSlice): boolean;
}

export function createTopologyReader(functions: Functions): TopologyReader {
  const reads = createReads(functions);
  const out = outBuffer(textSizes.uuid);
  const uuid = functions.native("uuid");
  const gpuInstanceId = functions.native("gpuInstanceId");
  const computeInstanceId = functions.native("computeInstanceId");
  return {
    *read(known) {
      yield "count";
      const counted = functions.call("count", reads.out.at);
      if (counted !== code.success) return { returned: counted, gpus: [], refused: [] };
      const count = Math.min(u32(reads.out.view, 0), maxGpus);
      const gpus: OpenGpu[] = [];
      const refused: RefusedGpu[] = [];
      for (let index = 0; index < count; index += 1) {
        const answer = yield* readGpuAt(reads, index);
        const before = known.find((gpu) => gpu.index === index);
        if (answer === code.libraryMismatch) return { returned: answer, gpus: [], refused: [] };
        if (typeof answer === "object") gpus.push(answer);
        else if (answer === code.gpuIsLost && before) gpus.push({ ...before, lost: true });
        else refused.push({ index, reason: reasonOf(answer) });
      }
      return { returned: code.success, gpus, refused };
    },
    isStill: (slice) =>
      gpuInstanceId(slice.handle, out.at) === code.success &&
      u32(out.view, 0) === slice.gpuInstanceId &&
      computeInstanceId(slice.handle, out.at) === code.success &&
      u32(out.view, 0) === slice.computeInstanceId &&
      uuid(slice.handle, out.at, textSizes.uuid) === code.success &&
      isText(out.bytes, slice.uuid),
  };
}

/** Whether a C string is this one; NVML's texts are ASCII. */
function isText(bytes: Buffer, text: string): boolean {
  if (bytes[text.length] !== 0) return false;
  for (let at = 0; at < text.length; at += 1) {
    if (bytes[at] !== text.charCodeAt(at)) return false;
  }
  return true;
}

/** The GPU, or the code that refused it. */
function* readGpuAt(reads: Reads, index: number): Work<OpenGpu | number> {
  const { functions, out } = reads;
  yield "handleByIndex";
  const returned = functions.call("handleByIndex", index, out.at);
  const handle = reads.pointer(returned);
  if (handle === undefined) return returned;
  yield "uuid";
  // `out` holds 96 bytes: the code of a refusal matters here, so this is no `text`.
  const named = functions.call("uuid", handle, out.at, textSizes.uuid);
  if (named !== code.success) return named;
  const uuid = textOf(out.bytes);
  yield "computeCapability";
  const capability = reads.pair("computeCapability", handle);
  yield "migMode";
  const mig = reads.pair("migMode", handle);
  yield "pciInfo";
  const pci = functions.call("pciInfo", handle, out.at) === code.success;
  const pciBusId = pci ? textOf(out.bytes.subarray(36, sizes.pciInfo)) : undefined;
  yield "name";
  const name = reads.text("name", handle, textSizes.name) ?? "";
  yield "minorNumber";
  const minor = reads.number("minorNumber", handle);
  yield "serial";
  const serial = reads.text("serial", handle, textSizes.serial);
  yield "architecture";
  const architecture = reads.number("architecture", handle);
  const gpu: OpenGpu = {
    uuid,
    index,
    handle,
    pciBusId,
    name,
    minor,
    serial,
    architecture,
    computeCapability: capability?.join("."),
    migEnabled: mig === undefined ? undefined : mig[0] === 1,
    migPending: mig === undefined ? undefined : mig[1] === 1,
    lost: false,
    slices: [],
  };
  return gpu.migEnabled === true ? { ...gpu, slices: yield* readSlices(reads, gpu) } : gpu;
}

function* readSlices(reads: Reads, gpu: OpenGpu): Work<OpenSlice[]> {
  const slices: OpenSlice[] = [];
  yield "maxMigCount";
  const most = Math.min(reads.number("maxMigCount", gpu.handle) ?? 0, maxSlicesPerGpu);
  for (let index = 0; index < most; index += 1) {
    const slice = yield* readSlice(reads, gpu, index);
    if (slice) slices.push(slice);
  }
  return slices;
}

function* readSlice(reads: Reads, gpu: OpenGpu, index: number): Work<OpenSlice | undefined> {
  const { functions, out } = reads;
  yield "migHandle";
  // 6 is a hole in the sparse indices; anything else that fails vanished while we looked.
  const handle = reads.pointer(functions.call("migHandle", gpu.handle, index, out.at));
  if (handle === undefined) return undefined;
  yield "uuid";
  const uuid = reads.text("uuid", handle, textSizes.uuid);
  yield "gpuInstanceId";
  const gpuInstanceId = reads.number("gpuInstanceId", handle);
  yield "computeInstanceId";
  const computeInstanceId = reads.number("computeInstanceId", handle);
  if (uuid === undefined || gpuInstanceId === undefined || computeInstanceId === undefined) {
    return undefined;
  }
  yield "name";
  const name = reads.text("name", handle, textSizes.name) ?? "";
  yield "attributes";
  const told = functions.call("attributes", handle, out.at) === code.success;
  const at = (offset: number): number | undefined => (told ? u32(out.view, offset) : undefined);
  const attributes = {
    smCount: at(0),
    gpuInstanceSlices: at(24),
    computeInstanceSlices: at(28),
    memoryMib: told ? u64(out.view, 32) : undefined,
  };
  return {
    uuid,
    parentUuid: gpu.uuid,
    index,
    handle,
    gpuInstanceId,
    computeInstanceId,
    profile: / MIG (\S+)$/.exec(name)?.[1] ?? "",
    ...attributes,
    ...(yield* readPlacement(reads, gpu, gpuInstanceId)),
  };
}

function* readPlacement(
  reads: Reads,
  gpu: OpenGpu,
  gpuInstanceId: number,
): Work<Pick<Slice, "placement" | "placementMissing">> {
  const { functions, out } = reads;
  yield "gpuInstanceById";
  let returned = functions.call("gpuInstanceById", gpu.handle, gpuInstanceId, out.at);
  if (returned === code.success) {
    const instance = u64(out.view, 0);
    yield "gpuInstanceInfo";
    returned = functions.call("gpuInstanceInfo", instance, out.at);
  }
  if (returned !== code.success) {
    return { placement: undefined, placementMissing: reasonOf(returned) };
  }
  return {
    placement: { start: u32(out.view, 16), size: u32(out.view, 20) },
    placementMissing: undefined,
  };
}
