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

/** Read by the same calls and shown on the node's own metrics page alone; no sample carries them. */
export const localMetrics = ["graphicsActivityRatio", "memoryReservedBytes"] as const;

export type Metric =
  | (typeof fastMetrics)[number]
  | (typeof slowMetrics)[number]
  | (typeof gpmMetrics)[number];

export type LocalMetric = (typeof localMetrics)[number];

/** Why a value is absent. The order is the wire's between threads: 0 is "no reason". */
export const reasons = [
  "not_supported", // the device or driver cannot tell it
  "function_missing", // this driver's library has no such function
  "no_permission", // the agent lacks a privilege
  "mig_enabled", // a partitioned GPU does not tell it for the whole
  "mig_slice", // NVML tells it for GPUs only, never for a slice
  "instance_shared", // told for the GPU instance, which several compute instances share
  "gpu_lost",
  "slice_gone", // the slice was destroyed or changed while it was read
  "library_mismatch", // the driver was replaced under us: the library must be opened again
  "driver_not_loaded",
  "no_data", // nothing yet: a first sample, or two samples too near
  "failed", // any other code
] as const;
export type Reason = (typeof reasons)[number];

/** Reason → its number; 0 is none. */
export const reasonCode: Readonly<Record<Reason, number>> = codesOf();

/**
 * One device's values of one tick, reused from tick to tick so that a tick makes no garbage. NaN with
 * reason 0: not asked this time. NaN with a reason: asked, and cannot be told.
 */
export interface Row {
  readonly values: Float64Array;
  readonly reasons: Uint8Array;
}

/** What is read at all; a set that is off costs no call. */
export interface ReadSets {
  readonly utilization: boolean;
  readonly memory: boolean;
  readonly power: boolean;
  readonly thermal: boolean;
  readonly nvlink: boolean;
  readonly pcie: boolean;
  readonly profiling: boolean;
  readonly errors: boolean;
}

/** What one tick of one kind of device may hold; positions in a row follow this order. */
export const groups = {
  fast: fastMetrics,
  /** A GPU's long tick. */
  gpu: [...slowMetrics, ...gpmMetrics, ...localMetrics],
  /** A slice's: all that NVML tells of one. */
  slice: ["memoryUsedBytes", "memoryTotalBytes", ...gpmMetrics, ...localMetrics],
} as const satisfies Record<string, readonly (Metric | LocalMetric)[]>;
export type Group = keyof typeof groups;

export function createRow(group: Group): Row {
  const length = groups[group].length;
  return { values: new Float64Array(length).fill(Number.NaN), reasons: new Uint8Array(length) };
}

export function clearRow(row: Row): void {
  row.values.fill(Number.NaN);
  row.reasons.fill(0);
}

/** All of a row's values are absent for one reason. */
export function missAll(row: Row, reason: Reason): void {
  row.values.fill(Number.NaN);
  row.reasons.fill(reasonCode[reason]);
}

/** A value of a row, or the reason why it is absent. */
export function put(row: Row, at: number, returned: number, value: number): void {
  if (returned === code.success) row.values[at] = value;
  else row.reasons[at] = reasonCode[reasonOf(returned)];
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

function codesOf(): Record<Reason, number> {
  // Safe: every reason gets its number.
  return Object.fromEntries(reasons.map((reason, at) => [reason, at + 1])) as Record<
    Reason,
    number
  >;
}
