/**
 * One opened driver: topology, samples, processes and events over one library, on one thread.
 *
 * Everything here may block for as long as the driver does, so production code runs it inside
 * nvml-worker.ts and talks to client.ts. Time spent in each source is measured and told.
 */
import { setImmediate as yieldToLoop } from "node:timers/promises";
import { createEventWaiter, type DeviceEvent } from "./events.ts";
import { createFunctions, type Functions } from "./functions.ts";
import { createGpm } from "./gpm.ts";
import { outBuffer, textOf, textSizes, u32 } from "./layouts.ts";
import { LibraryNotFound, loadLibrary } from "./library.ts";
import { createProcessReader, type ProcessList } from "./processes.ts";
import { code, reasonOf, type Reading, type Reason } from "./readings.ts";
import { createSampler } from "./sample.ts";
import { createTopologyReader, type Gpu, type OpenGpu } from "./topology.ts";

export interface Topology {
  /** undefined: read well. Otherwise `gpus` is what was known before, or nothing. */
  readonly trouble: Reason | undefined;
  readonly gpus: readonly Gpu[];
}

export interface DriverInfo {
  readonly driverVersion: string | undefined;
  readonly nvmlVersion: string | undefined;
  /** 1000 · major + 10 · minor. */
  readonly cudaVersion: number | undefined;
}

/** Sources whose cost is told apart. */
export type Source = "topology" | "fast" | "slow" | "gpm" | "processes";

/** Time inside a source since the driver was opened. */
export interface Cost {
  readonly runs: number;
  readonly totalMs: number;
  readonly maxMs: number;
}

export interface Driver {
  readonly info: DriverInfo;
  readTopology(): Promise<Topology>;
  sampleFast(): readonly Reading[];
  sampleSlow(): Promise<readonly Reading[]>;
  sampleGpm(): Promise<readonly Reading[]>;
  readProcesses(): Promise<ProcessList>;
  waitForEvent(timeoutMs: number): Promise<DeviceEvent | undefined>;
  costs(): Readonly<Record<Source, Cost>>;
  close(): void;
}

export type Opened =
  | { readonly driver: Driver }
  | { readonly trouble: Reason; readonly detail: string };

export interface DriverOptions {
  /** AXONIZE_NVML_LIBRARY; undefined: the usual places. */
  readonly libraryPath: string | undefined;
  readonly pidExists: (pid: number) => boolean;
  readonly monotonicMs: () => number;
}

/** Opens the driver, or says why there is none; no driver is a state and not an error. */
export function openDriver(options: DriverOptions): Opened {
  let functions: Functions;
  try {
    functions = createFunctions(loadLibrary(options.libraryPath));
  } catch (error) {
    if (!(error instanceof LibraryNotFound)) throw error;
    return { trouble: "driver_not_loaded", detail: error.message };
  }
  const returned = functions.call("init");
  if (returned !== code.success) {
    return { trouble: reasonOf(returned), detail: `nvmlInit_v2 answered ${returned}` };
  }
  return { driver: createDriver(functions, options) };
}

function createDriver(functions: Functions, options: DriverOptions): Driver {
  const topology = createTopologyReader(functions);
  const sampler = createSampler(functions, topology);
  const gpm = createGpm(functions, topology);
  const processes = createProcessReader(functions, topology, options);
  const events = createEventWaiter(functions);
  const meter = createMeter(options.monotonicMs);
  let gpus: readonly OpenGpu[] = [];
  let registered = "";

  return {
    info: readInfo(functions),
    readTopology: () =>
      meter.measure("topology", async () => {
        const answer = await topology.read(gpus);
        if (answer.returned !== code.success) {
          return { trouble: reasonOf(answer.returned), gpus: gpus.map(withoutHandles) };
        }
        gpus = answer.gpus;
        sampler.forget();
        gpm.retain(gpus);
        const wanted = gpus.map((gpu) => `${gpu.uuid} ${gpu.handle} ${String(gpu.lost)}`).join();
        if (wanted !== registered) events.register(gpus);
        registered = wanted;
        return { trouble: undefined, gpus: gpus.map(withoutHandles) };
      }),
    sampleFast: () => meter.measureNow("fast", () => gpus.map((gpu) => sampler.fast(gpu))),
    sampleSlow: () =>
      meter.measure("slow", async () => {
        const readings: Reading[] = [];
        for (const gpu of gpus) {
          readings.push(sampler.slow(gpu));
          for (const slice of gpu.slices) readings.push(sampler.slowSlice(gpu, slice));
          await yieldToLoop();
        }
        return readings;
      }),
    sampleGpm: () =>
      meter.measure("gpm", async () => {
        const readings: Reading[] = [];
        for (const gpu of gpus) {
          readings.push(gpm.sample(gpu));
          for (const slice of gpu.slices) readings.push(gpm.sample(gpu, slice));
          await yieldToLoop();
        }
        return readings;
      }),
    readProcesses: () => meter.measure("processes", () => processes.read(gpus)),
    waitForEvent: (timeoutMs) => events.wait(timeoutMs),
    costs: meter.costs,
    close() {
      events.close();
      gpm.retain([]);
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
    functions.call(name, text.bytes, textSizes.version) === code.success
      ? textOf(text.bytes)
      : undefined;
  return {
    driverVersion: string("driverVersion"),
    nvmlVersion: string("nvmlVersion"),
    cudaVersion:
      functions.call("cudaVersion", number.bytes) === code.success
        ? u32(number.view, 0)
        : undefined,
  };
}

function createMeter(monotonicMs: () => number) {
  const zero = (): { runs: number; totalMs: number; maxMs: number } => ({
    runs: 0,
    totalMs: 0,
    maxMs: 0,
  });
  const costs = { topology: zero(), fast: zero(), slow: zero(), gpm: zero(), processes: zero() };
  const add = (source: Source, startedMs: number): void => {
    const ms = monotonicMs() - startedMs;
    const cost = costs[source];
    cost.runs += 1;
    cost.totalMs += ms;
    cost.maxMs = Math.max(cost.maxMs, ms);
  };
  return {
    measureNow<T>(source: Source, work: () => T): T {
      const started = monotonicMs();
      try {
        return work();
      } finally {
        add(source, started);
      }
    },
    async measure<T>(source: Source, work: () => Promise<T>): Promise<T> {
      const started = monotonicMs();
      try {
        return await work();
      } finally {
        add(source, started);
      }
    },
    costs: () => structuredClone(costs),
  };
}
