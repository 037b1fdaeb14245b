/**
 * Which metric names speak of a GPU, and what they mean: column, unit, range. One table.
 *
 * Sources: OTel semantic conventions 1.44 `hw.*`; OpenLIT's collector and its older SDK; the first
 * vocabulary of this project (`gpu.*`); NVIDIA's dcgm-exporter. A value outside its range is
 * dropped and counted: a wrong reading is worse than none.
 */
import type { Metric, Point } from "./otlp.ts";

/** Columns of `gpu_samples` that metrics fill. */
export type DeviceColumn = keyof typeof ranges;

/** Least and most plausible value per column, in the column's unit. */
const ranges = {
  utilization: [0, 1],
  memory_used: [0, 2 ** 50],
  memory_total: [1, 2 ** 50],
  memory_utilization: [0, 1],
  power_watts: [0, 10_000],
  power_limit_watts: [1, 10_000],
  energy_mj: [0, Number.MAX_SAFE_INTEGER],
  temperature_celsius: [-50, 200],
  sm_activity: [0, 1],
  sm_occupancy: [0, 1],
  tensor_activity: [0, 1],
  dram_activity: [0, 1],
  sm_clock_mhz: [0, 20_000],
  memory_clock_mhz: [0, 20_000],
  pcie_rx_bytes: [0, Number.MAX_SAFE_INTEGER],
  pcie_tx_bytes: [0, Number.MAX_SAFE_INTEGER],
  ecc_corrected: [0, Number.MAX_SAFE_INTEGER],
  ecc_uncorrected: [0, Number.MAX_SAFE_INTEGER],
} as const satisfies Record<string, readonly [number, number]>;

const ratio = { "": 1, "1": 1, "%": 0.01, percent: 0.01 };
const percent = { "": 0.01, "1": 1, "%": 0.01, percent: 0.01 };
const bytes = {
  "": 1,
  By: 1,
  B: 1,
  bytes: 1,
  KiBy: 2 ** 10,
  MiBy: 2 ** 20,
  GiBy: 2 ** 30,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  kBy: 1e3,
  MBy: 1e6,
  GBy: 1e9,
  MB: 1e6,
  GB: 1e9,
};
const mebibytes = { ...bytes, "": 2 ** 20 };
const watts = { "": 1, W: 1, watts: 1, mW: 0.001, kW: 1000 };
const millijoules = {
  "": 1000,
  J: 1000,
  joules: 1000,
  mJ: 1,
  kJ: 1e6,
  "W.h": 3.6e6,
  Wh: 3.6e6,
  kWh: 3.6e9,
};
const celsius = { "": 1, Cel: 1, C: 1, "°C": 1, celsius: 1 };
const megahertz = { "": 1, MHz: 1, Hz: 1e-6, kHz: 1e-3, GHz: 1e3 };
const count = { "": 1, "1": 1, "{error}": 1, "{errors}": 1 };

interface Reading {
  column: DeviceColumn;
  /** Unit → factor to the column's unit; a unit that is not listed makes the point unreadable. */
  units: Readonly<Record<string, number>>;
}

const names: Readonly<Record<string, Reading>> = {
  "hw.gpu.utilization": { column: "utilization", units: ratio },
  "hw.gpu.memory.utilization": { column: "memory_utilization", units: ratio },
  "hw.gpu.memory.usage": { column: "memory_used", units: bytes },
  "hw.gpu.memory.limit": { column: "memory_total", units: bytes },
  "hw.power": { column: "power_watts", units: watts },
  "hw.energy": { column: "energy_mj", units: millijoules },
  "hw.temperature": { column: "temperature_celsius", units: celsius },
  "hw.errors": { column: "ecc_corrected", units: count },
  "hw.gpu.io": { column: "pcie_rx_bytes", units: bytes },

  "hw.gpu.memory.used": { column: "memory_used", units: bytes },
  "hw.gpu.memory.total": { column: "memory_total", units: bytes },
  "hw.gpu.power.draw": { column: "power_watts", units: watts },
  "hw.gpu.power.limit": { column: "power_limit_watts", units: watts },
  "hw.gpu.energy.consumed": { column: "energy_mj", units: millijoules },
  "hw.gpu.temperature": { column: "temperature_celsius", units: celsius },
  "hw.gpu.clock.graphics": { column: "sm_clock_mhz", units: megahertz },
  "hw.gpu.clock.memory": { column: "memory_clock_mhz", units: megahertz },

  "gpu.utilization": { column: "utilization", units: ratio },
  "gpu.memory_used_bytes": { column: "memory_used", units: bytes },
  "gpu.memory_total_bytes": { column: "memory_total", units: bytes },
  "gpu.power_watts": { column: "power_watts", units: watts },
  "gpu.temperature_celsius": { column: "temperature_celsius", units: celsius },
  "gpu.memory.used": { column: "memory_used", units: mebibytes },
  "gpu.memory.total": { column: "memory_total", units: mebibytes },
  "gpu.power.draw": { column: "power_watts", units: watts },
  "gpu.power.limit": { column: "power_limit_watts", units: watts },
  "gpu.temperature": { column: "temperature_celsius", units: celsius },

  DCGM_FI_DEV_GPU_UTIL: { column: "utilization", units: percent },
  DCGM_FI_DEV_FB_USED: { column: "memory_used", units: mebibytes },
  DCGM_FI_DEV_FB_TOTAL: { column: "memory_total", units: mebibytes },
  DCGM_FI_DEV_POWER_USAGE: { column: "power_watts", units: watts },
  DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION: { column: "energy_mj", units: { ...millijoules, "": 1 } },
  DCGM_FI_DEV_GPU_TEMP: { column: "temperature_celsius", units: celsius },
  DCGM_FI_DEV_SM_CLOCK: { column: "sm_clock_mhz", units: megahertz },
  DCGM_FI_DEV_MEM_CLOCK: { column: "memory_clock_mhz", units: megahertz },
  DCGM_FI_PROF_SM_ACTIVE: { column: "sm_activity", units: ratio },
  DCGM_FI_PROF_SM_OCCUPANCY: { column: "sm_occupancy", units: ratio },
  DCGM_FI_PROF_PIPE_TENSOR_ACTIVE: { column: "tensor_activity", units: ratio },
  DCGM_FI_PROF_DRAM_ACTIVE: { column: "dram_activity", units: ratio },
  DCGM_FI_DEV_ECC_SBE_VOL_TOTAL: { column: "ecc_corrected", units: count },
  DCGM_FI_DEV_ECC_DBE_VOL_TOTAL: { column: "ecc_uncorrected", units: count },
};

/** Whether the metric is about hardware at all: then it never goes to the metrics table. */
export const isDeviceMetric = (name: string): boolean => /^(hw\.|gpu\.|DCGM_FI_)/.test(name);

export type DeviceReading =
  | { column: DeviceColumn; value: number }
  /** Nothing measured: NULL, and no fault of the sender. */
  | "absent"
  /** The reason it is not kept. */
  | { reason: "metric_not_kept" | "unknown_unit" | "value_out_of_range" };

export function readDevicePoint(metric: Metric, point: Point): DeviceReading {
  const reading = names[metric.name];
  if (reading === undefined) return { reason: "metric_not_kept" };
  const column = columnFor(metric.name, reading.column, point);
  if (column === undefined) return { reason: "metric_not_kept" };
  if (point.absent || point.value === undefined) return "absent";
  const factor = reading.units[metric.unit];
  if (factor === undefined) return { reason: "unknown_unit" };
  // A ratio without a unit that is above 1 is a percentage: OpenLIT's older SDK sends those.
  const isPercent = reading.units === ratio && metric.unit === "" && point.value > 1;
  const value = point.value * (isPercent ? 0.01 : factor);
  const [least, most] = ranges[column];
  if (!(value >= least && value <= most)) return { reason: "value_out_of_range" };
  return { column, value };
}

/** Three names have a column per attribute, and measure other things than the device as well. */
function columnFor(name: string, column: DeviceColumn, point: Point): DeviceColumn | undefined {
  const attribute = (key: string): string => point.attributes.get(key) ?? "";
  const type = attribute("hw.type");
  if (name.startsWith("hw.") && !/^(gpu|temperature|)$/.test(type)) return undefined;
  if (name === "hw.gpu.utilization") {
    return /^(general|)$/.test(attribute("hw.gpu.task")) ? column : undefined;
  }
  if (name === "hw.temperature") {
    return /mem|hbm|vram|junction|hotspot/i.test(attribute("hw.sensor_location"))
      ? undefined
      : column;
  }
  if (name === "hw.errors") {
    const kind = attribute("error.type");
    if (kind === "corrected") return "ecc_corrected";
    return kind === "uncorrected" ? "ecc_uncorrected" : undefined;
  }
  if (name === "hw.gpu.io") {
    const direction = attribute("network.io.direction");
    if (direction === "receive") return "pcie_rx_bytes";
    return direction === "transmit" ? "pcie_tx_bytes" : undefined;
  }
  return column;
}
