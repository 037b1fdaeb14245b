/**
 * Which processes hold which device, with memory, and with their share of an unpartitioned GPU.
 *
 * pids are the host's, whatever namespace the agent is in. A list that cannot be read is told as missing:
 * its processes are unknown, which is not the same as gone.
 */
import type { Functions } from "./functions.ts";
import { sizes, u32 } from "./layouts.ts";
import { outBuffer } from "./library.ts";
import { maxProcesses, maxUtilizationRows } from "./limits.ts";
import { createProcessLists, type ProcessKind, type ProcessRow } from "./process-lists.ts";
import { code, type Reason } from "./readings.ts";
import type { OpenGpu, OpenSlice, TopologyReader } from "./topology.ts";
import type { Work } from "./work.ts";

export interface DeviceProcess {
  readonly pid: number;
  readonly kind: ProcessKind;
  /** The slice where the row names its instance, else the GPU. */
  readonly device: string;
  readonly gpuUuid: string;
  readonly memoryBytes: number | undefined;
  readonly gpuInstanceId: number | undefined;
  readonly computeInstanceId: number | undefined;
  /** Share of the sampling time with a kernel of this process; unpartitioned GPUs only. */
  readonly smUtilizationRatio: number | undefined;
}

export interface ProcessList {
  readonly rows: readonly DeviceProcess[];
  /** Devices whose list could not be read. */
  readonly missing: ReadonlyMap<string, Reason>;
  /** Rows left out because the node has more than the limit. */
  readonly truncatedCount: number;
}

export interface ProcessReader {
  read(gpus: readonly OpenGpu[]): Work<ProcessList>;
}

interface Collected {
  readonly rows: DeviceProcess[];
  readonly missing: Map<string, Reason>;
}

export function createProcessReader(
  functions: Functions,
  topology: TopologyReader,
  options: { pidExists: (pid: number) => boolean },
): ProcessReader {
  const rowsOf = createProcessLists(functions, options.pidExists);
  const shares = createShares(functions);

  function* readSlices(gpu: OpenGpu, to: Collected): Work<void> {
    for (const slice of gpu.slices) {
      const rows = yield* rowsOf(slice.handle);
      if (typeof rows !== "object") to.missing.set(slice.uuid, rows);
      else if (!topology.isStill(slice)) to.missing.set(slice.uuid, "slice_gone");
      else to.rows.push(...rows.map((row) => joined(gpu, slice, row, undefined)));
    }
  }
  function* readGpu(gpu: OpenGpu, to: Collected): Work<void> {
    if (gpu.lost) {
      to.missing.set(gpu.uuid, "gpu_lost");
      return;
    }
    const rows = yield* rowsOf(gpu.handle);
    // The whole of a partitioned GPU is for the privileged; each slice may still be told.
    if (rows === "no_permission" && gpu.slices.length > 0) yield* readSlices(gpu, to);
    else if (typeof rows !== "object") to.missing.set(gpu.uuid, rows);
    else {
      const ratios = rows.length > 0 ? yield* shares(gpu) : undefined;
      to.rows.push(...rows.map((row) => joined(gpu, sliceOf(gpu, row), row, ratios?.get(row.pid))));
    }
  }
  return {
    *read(gpus) {
      const to: Collected = { rows: [], missing: new Map() };
      for (const gpu of gpus) yield* readGpu(gpu, to);
      const rows = to.rows.slice(0, maxProcesses);
      return { rows, missing: to.missing, truncatedCount: to.rows.length - rows.length };
    },
  };
}

/** pid → share of the time since the last asking. Values over 100 % are garbage and are dropped. */
function createShares(functions: Functions): (gpu: OpenGpu) => Work<ReadonlyMap<number, number>> {
  const count = outBuffer(4);
  const rows = outBuffer(sizes.processUtilization * maxUtilizationRows);
  /** µs, per GPU, so that no sample counts twice. */
  const lastSeenUs = new Map<string, bigint>();
  return function* (gpu) {
    const shares = new Map<number, number>();
    if (gpu.migEnabled === true) return shares;
    count.view.setUint32(0, maxUtilizationRows, true);
    const since = lastSeenUs.get(gpu.uuid) ?? 0n;
    yield "processUtilization";
    const returned = functions.call("processUtilization", gpu.handle, rows.at, count.at, since);
    if (returned !== code.success) return shares;
    let newest = since;
    for (let row = 0; row < Math.min(u32(count.view, 0), maxUtilizationRows); row += 1) {
      const at = row * sizes.processUtilization;
      const percent = u32(rows.view, at + 16);
      const timeUs = rows.view.getBigUint64(at + 8, true);
      if (percent <= 100) shares.set(u32(rows.view, at), percent / 100);
      if (timeUs > newest) newest = timeUs;
    }
    lastSeenUs.set(gpu.uuid, newest);
    return shares;
  };
}

function sliceOf(gpu: OpenGpu, row: ProcessRow): OpenSlice | undefined {
  return gpu.slices.find(
    (slice) =>
      slice.gpuInstanceId === row.gpuInstanceId &&
      slice.computeInstanceId === row.computeInstanceId,
  );
}

function joined(
  gpu: OpenGpu,
  slice: OpenSlice | undefined,
  row: ProcessRow,
  smUtilizationRatio: number | undefined,
): DeviceProcess {
  return { ...row, device: slice?.uuid ?? gpu.uuid, gpuUuid: gpu.uuid, smUtilizationRatio };
}
