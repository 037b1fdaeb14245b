/**
 * What agent and ingest agree on beside `agent.proto`: the method, the fields of a sample with their
 * numbers on the wire, and what a pool tells its agents.
 *
 * A field's number is its place in `sampleFields`; fields are only ever appended. A value travels as
 * an integer, `value × scale` rounded; the scales keep at least what NVML tells (percent, milliwatts,
 * bytes), except the profiler's ratios, which are kept to 1/4096.
 */
export const reportMethod = "/axonize.agent.v1.AgentService/Report";
/** The audience of the agent's projected ServiceAccount token. */
export const agentAudience = "axonize";

export interface SampleFieldSpec {
  readonly name: string;
  /** Of `gpu_samples`. */
  readonly column: string;
  readonly type: "Float32" | "UInt32" | "UInt64";
  readonly scale: number;
  /** Values lie in least…most, in the column's unit; others are no readings. */
  readonly least: number;
  readonly most: number;
}

const ratio = { type: "Float32", scale: 10_000, least: 0, most: 1 } as const;
const profiled = { ...ratio, scale: 4096 } as const;
const watts = { type: "Float32", scale: 1000, least: 0, most: 10_000 } as const;
const megahertz = { type: "UInt32", scale: 1, least: 0, most: 20_000 } as const;
/** Beyond it a difference of two no longer fits a double exactly. */
const counter = { type: "UInt64", scale: 1, least: 0, most: 2 ** 51 } as const;

export const sampleFields = [
  { name: "utilizationRatio", column: "utilization", ...ratio },
  { name: "memoryUtilizationRatio", column: "memory_utilization", ...ratio },
  { name: "powerWatts", column: "power_watts", ...watts },
  { name: "memoryUsedBytes", column: "memory_used", ...counter },
  { name: "memoryTotalBytes", column: "memory_total", ...counter },
  { name: "powerLimitWatts", column: "power_limit_watts", ...watts },
  { name: "energyMillijoules", column: "energy_mj", ...counter },
  {
    name: "temperatureCelsius",
    column: "temperature_celsius",
    ...ratio,
    scale: 1,
    least: -50,
    most: 200,
  },
  { name: "smClockMhz", column: "sm_clock_mhz", ...megahertz },
  { name: "memoryClockMhz", column: "memory_clock_mhz", ...megahertz },
  { name: "throttleReasons", column: "throttle_reasons", ...counter },
  { name: "pcieTxBytes", column: "pcie_tx_bytes", ...counter },
  { name: "pcieRxBytes", column: "pcie_rx_bytes", ...counter },
  { name: "nvlinkTxBytes", column: "nvlink_tx_bytes", ...counter },
  { name: "nvlinkRxBytes", column: "nvlink_rx_bytes", ...counter },
  { name: "eccCorrected", column: "ecc_corrected", ...counter },
  { name: "eccUncorrected", column: "ecc_uncorrected", ...counter },
  { name: "remappedRowsCorrected", column: "remapped_rows_corrected", ...counter },
  { name: "remappedRowsUncorrected", column: "remapped_rows_uncorrected", ...counter },
  { name: "remapPending", column: "remap_pending", ...counter },
  { name: "remapFailed", column: "remap_failed", ...counter },
  { name: "smActivityRatio", column: "sm_activity", ...profiled },
  { name: "smOccupancyRatio", column: "sm_occupancy", ...profiled },
  { name: "tensorActivityRatio", column: "tensor_activity", ...profiled },
  { name: "dramActivityRatio", column: "dram_activity", ...profiled },
] as const satisfies readonly SampleFieldSpec[];

export const metricSets = [
  "Utilization",
  "Memory",
  "Power",
  "Thermal",
  "NVLink",
  "PCIe",
  "Profiling",
  "Errors",
] as const;
export type MetricSet = (typeof metricSets)[number];

/**
 * What the operator makes of a GpuPool and the agents of its nodes follow: JSON in a mounted file or down
 * the stream.
 */
export interface PoolConfig {
  /** Utilisation and power. */
  readonly periodMs: number;
  /** GPM and the rest. */
  readonly slowPeriodMs: number;
  readonly processPeriodMs: number;
  /** How long samples are gathered before they are sealed into a batch. */
  readonly reportPeriodMs: number;
  readonly metricSets: readonly MetricSet[];
  readonly hostAccess: "PodResourcesOnly" | "HostPID" | "Privileged";
  /** Of one core, in thousandths. */
  readonly overheadBudgetMillicores: number;
}
