/**
 * One opened driver: topology, samples, processes and events over one library, on one thread.
 *
 * Everything here may block for as long as the driver does, so production code runs it inside the sampling
 * thread. Long reads are work in single steps (work.ts); only waiting for events happens on another thread.
 */
import { createEventWaiter, type NvmlEvent } from "./events.ts";
import { createFunctions, type Functions } from "./functions.ts";
import { textOf, textSizes, u32 } from "./layouts.ts";
import { LibraryNotFound, loadLibrary, outBuffer, type Library } from "./library.ts";
import { createLinkReader, type GpuDetails } from "./links.ts";
import { createProcessReader, type ProcessList } from "./processes.ts";
import { createReader, type Commit } from "./reader.ts";
import { code, reasonOf, type ReadSets, type Reason } from "./readings.ts";
import { createTopologyReader, type Gpu, type OpenGpu, type RefusedGpu } from "./topology.ts";
import type { Work } from "./work.ts";

export interface Topology {
  /** undefined: read well. Otherwise `gpus` is what was known before, or nothing. */
  readonly trouble: Reason | undefined;
  readonly gpus: readonly Gpu[];
  /** Those that the driver counts and does not open. */
  readonly refused: readonly RefusedGpu[];
}

export interface DriverInfo {
  readonly libraryPath: string;
  readonly driverVersion: string | undefined;
  readonly nvmlVersion: string | undefined;
  /** 1000 · major + 10 · minor. */
  readonly cudaVersion: number | undefined;
}

export interface Driver {
  readonly info: DriverInfo;
  /** Reads what there is; the samples below are of what this saw. */
  topology(): Work<Topology>;
  /** The short tick of all GPUs, at once. */
  fast(sets: ReadSets, commit: Commit): void;
  /** The long tick of all GPUs and slices; `rare`: with what hardly ever changes. */
  slow(sets: ReadSets, rare: boolean, commit: Commit): Work<void>;
  processes(): Work<ProcessList>;
  /** Per GPU: what no sample carries. */
  details(): Work<readonly GpuDetails[]>;
  waitForEvent(timeoutMs: number): Promise<NvmlEvent | undefined>;
  close(): void;
}

export type Opened =
  | { readonly driver: Driver }
  | { readonly trouble: Reason; readonly detail: string };

export interface DriverOptions {
  /** AXONIZE_NVML_LIBRARY; undefined: the usual places. */
  readonly libraryPath: string | undefined;
  readonly pidExists: (pid: number) => boolean;
  /** Instead of the one that `libraryPath` names: one that records, or that was recorded. */
  readonly library?: Library;
}

/** Opens the driver, or says why there is none; no driver is a state and not an error. */
export function openDriver(options: DriverOptions): Opened {
  let functions: Functions;
  try {
    functions = createFunctions(options.library ?? loadLibrary(options.libraryPath));
  } catch (error) {
    if (!(error instanceof LibraryNotFound)) throw error;
    return { trouble: "driver_not_loaded", detail: error.message };
  }
  if (!functions.has("init") || !functions.has("count") || !functions.has("handleByIndex")) {
    const detail = `${functions.libraryPath} lacks NVML's own first functions (nvmlInit_v2 and others)`;
    return { trouble: "function_missing", detail };
  }
  const returned = functions.call("init");
  if (returned !== code.success) {
    return { trouble: reasonOf(returned), detail: `nvmlInit_v2 answered ${returned}` };
  }
  return { driver: createDriver(functions, options) };
}

function createDriver(functions: Functions, options: DriverOptions): Driver {
  const topology = createTopologyReader(functions);
  const reader = createReader(functions, topology);
  const processes = createProcessReader(functions, topology, options);
  const links = createLinkReader(functions);
  const events = createEventWaiter(functions);
  let gpus: readonly OpenGpu[] = [];
  let registered = "";

  return {
    info: readInfo(functions),
    *topology() {
      const answer = yield* topology.read(gpus);
      if (answer.returned !== code.success) {
        return { trouble: reasonOf(answer.returned), gpus: gpus.map(withoutHandles), refused: [] };
      }
      gpus = answer.gpus;
      reader.use(gpus);
      const wanted = gpus.map((gpu) => `${gpu.uuid} ${gpu.handle} ${String(gpu.lost)}`).join();
      if (wanted !== registered) events.register(gpus);
      registered = wanted;
      return { trouble: undefined, gpus: gpus.map(withoutHandles), refused: answer.refused };
    },
    fast: (sets, commit) => reader.fast(sets, commit),
    slow: (sets, rare, commit) => reader.slow(sets, rare, commit),
    processes: () => processes.read(gpus),
    details: () => links.read(gpus),
    waitForEvent: (timeoutMs) => events.wait(timeoutMs),
    close() {
      events.close();
      reader.close();
      functions.call("shutdown");
    },
  };
}

function withoutHandles(gpu: OpenGpu): Gpu {
  const { handle: _, ...rest } = gpu;
  return { ...rest, slices: gpu.slices.map(({ handle: __, ...slice }) => slice) };
}

function readInfo(functions: Functions): DriverInfo {
  const text = outBuffer(textSizes.version);
  const number = outBuffer(4);
  const string = (name: "driverVersion" | "nvmlVersion"): string | undefined =>
    functions.call(name, text.at, textSizes.version) === code.success
      ? textOf(text.bytes)
      : undefined;
  return {
    libraryPath: functions.libraryPath,
    driverVersion: string("driverVersion"),
    nvmlVersion: string("nvmlVersion"),
    cudaVersion:
      functions.call("cudaVersion", number.at) === code.success ? u32(number.view, 0) : undefined,
  };
}
