/**
 * What a reading of a device is: values under their names, and for every value that could not be read
 * the reason. A value that was not measured is absent and has a reason; it is never 0.
 */

/** Read on the short tick (100 ms). */
export const fastMetrics = ["utilizationRatio", "memoryUtilizationRatio", "powerWatts"] as const;

/** Read on the long tick (1 s). Counters grow since the driver was loaded. */
export const slowMetrics = [
  "memoryUsedBytes",
  "memoryTotalBytes",
  "powerLimitWatts",
  "energyMillijoules",
  "temperatureCelsius",
  "smClockMhz",
  "memoryClockMhz",
  "throttleReasons",
  "pcieTxBytes",
  "pcieRxBytes",
  "nvlinkTxBytes",
  "nvlinkRxBytes",
  "eccCorrected",
  "eccUncorrected",
  "remappedRowsCorrected",
  "remappedRowsUncorrected",
  "remapPending",
  "remapFailed",
] as const;

/** Averages over the time between two GPM samples; Hopper and later. */
export const gpmMetrics = [
  "smActivityRatio",
  "smOccupancyRatio",
  "tensorActivityRatio",
  "dramActivityRatio",
] as const;

export type Metric =
  | (typeof fastMetrics)[number]
  | (typeof slowMetrics)[number]
  | (typeof gpmMetrics)[number];

/** Why a value is absent. */
export type Reason =
  | "not_supported" // the device or driver cannot tell it
  | "function_missing" // this driver's library has no such function
  | "no_permission" // the agent lacks a privilege
  | "mig_enabled" // a partitioned GPU does not tell it for the whole
  | "mig_slice" // NVML tells it for GPUs only, never for a slice
  | "instance_shared" // told for the GPU instance, which several compute instances share
  | "gpu_lost"
  | "slice_gone" // the slice was destroyed or changed while it was read
  | "library_mismatch" // the driver was replaced under us: the process must start again
  | "driver_not_loaded"
  | "no_data" // nothing yet: a first sample, or two samples too near
  | "failed"; // any other code

export interface Reading {
  /** The GPU's or slice's UUID. */
  readonly device: string;
  readonly values: Partial<Record<Metric, number>>;
  readonly missing: Partial<Record<Metric, Reason>>;
}

/** NVML's return codes as far as they change what we do. */
export const code = {
  success: 0,
  uninitialized: 1,
  notSupported: 3,
  noPermission: 4,
  notFound: 6,
  insufficientSize: 7,
  driverNotLoaded: 9,
  timeout: 10,
  functionNotFound: 13,
  gpuIsLost: 15,
  libraryMismatch: 18,
  noData: 21,
  versionMismatch: 25,
} as const;

export function reasonOf(returned: number): Reason {
  switch (returned) {
    case code.notSupported:
      return "not_supported";
    case code.noPermission:
      return "no_permission";
    case code.functionNotFound:
    case code.versionMismatch:
      return "function_missing";
    case code.gpuIsLost:
      return "gpu_lost";
    case code.libraryMismatch:
      return "library_mismatch";
    case code.driverNotLoaded:
    case code.uninitialized:
      return "driver_not_loaded";
    case code.noData:
      return "no_data";
    default:
      return "failed";
  }
}

/** A reading in which nothing could be measured, for one reason. */
export function unreadable(device: string, metrics: readonly Metric[], reason: Reason): Reading {
  return { device, values: {}, missing: Object.fromEntries(metrics.map((m) => [m, reason])) };
}
