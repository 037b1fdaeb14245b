/**
 * What the main thread and the sampling thread say to each other. Plain data only: it is cloned, and the
 * numbers of a batch change hands.
 */
import type { DriverInfo } from "../nvml/driver.ts";
import type { NvmlEvent } from "../nvml/events.ts";
import type { GpuDetails } from "../nvml/links.ts";
import type { ProcessList } from "../nvml/processes.ts";
import type { ReadSets, Reason } from "../nvml/readings.ts";
import type { Gpu, RefusedGpu } from "../nvml/topology.ts";
import type { MissingChange } from "./batch.ts";

export interface Settings {
  readonly fastMs: number;
  readonly slowMs: number;
  readonly processesMs: number;
  readonly reportMs: number;
  readonly sets: ReadSets;
  /** Whether process lists are read at all. */
  readonly processes: boolean;
  /** Part of one core. */
  readonly cpuBudgetRatio: number;
}

export interface WorkerOptions {
  readonly libraryPath: string | undefined;
  /** Where the host's processes are seen, e.g. `/proc`. */
  readonly procRoot: string;
  readonly settings: Settings;
}

/** Sources whose cost is told apart. */
export const costSources = ["fast", "slow", "gpm", "processes", "topology"] as const;
export type CostSource = (typeof costSources)[number];

/** Since the driver was opened. */
export interface Cost {
  readonly calls: number;
  /** Inside the driver. */
  readonly busyMs: number;
  /** One call; of the short tick, all its calls. */
  readonly slowestMs: number;
}

export interface Batch {
  readonly numbers: Float64Array<ArrayBuffer>;
  readonly missing: readonly MissingChange[];
  /** Rows that found no room. */
  readonly droppedRows: number;
  /** Batches before this one that the main thread had no room for. */
  readonly droppedBatches: number;
  /** How late each short tick started, ms. */
  readonly lateMs: readonly number[];
  readonly missedTicks: number;
  readonly costs: Readonly<Record<CostSource, Cost>>;
  readonly periods: Readonly<Record<"fast" | "slow" | "processes", number>>;
  /** Part of one core, over the last window; undefined before its end. */
  readonly cpuRatio: number | undefined;
}

export type ToWorker =
  | { readonly type: "settings"; readonly settings: Settings }
  /** A batch was taken. */
  | { readonly type: "took" }
  | { readonly type: "close" };

export type FromWorker =
  | { readonly type: "opened"; readonly info: DriverInfo }
  /** Not opened, or gone; the thread ends. */
  | { readonly type: "trouble"; readonly reason: Reason; readonly detail: string }
  /** `changed`: rows of the batches that follow name these devices, GPU before its slices, in order. */
  | {
      readonly type: "topology";
      readonly atMs: number;
      readonly gpus: readonly Gpu[];
      readonly refused: readonly RefusedGpu[];
      readonly changed: boolean;
    }
  | { readonly type: "batch"; readonly batch: Batch }
  | { readonly type: "processes"; readonly atMs: number; readonly list: ProcessList }
  | { readonly type: "details"; readonly details: readonly GpuDetails[] }
  | { readonly type: "event"; readonly atMs: number; readonly event: NvmlEvent }
  | { readonly type: "jump"; readonly ms: number };
