/**
 * From a pool's configuration to what the sampling thread is told. Pure.
 */
import type { ReadSets } from "../nvml/readings.ts";
import type { MetricSet, PoolConfig } from "@axonize/core/contract/agent";
import type { Settings } from "./protocol.ts";

const setNames: Record<keyof ReadSets, MetricSet> = {
  utilization: "Utilization",
  memory: "Memory",
  power: "Power",
  thermal: "Thermal",
  nvlink: "NVLink",
  pcie: "PCIe",
  profiling: "Profiling",
  errors: "Errors",
};

export function settingsOf(config: PoolConfig): Settings {
  const on = new Set(config.metricSets);
  return {
    fastMs: config.periodMs,
    slowMs: config.slowPeriodMs,
    processesMs: config.processPeriodMs,
    reportMs: config.reportPeriodMs,
    // Safe: the same keys.
    sets: Object.fromEntries(
      Object.entries(setNames).map(([set, name]) => [set, on.has(name)]),
    ) as unknown as ReadSets,
    // Without access to the host's processes a list of their pids is of no use.
    processes: config.hostAccess !== "PodResourcesOnly",
    cpuBudgetRatio: config.overheadBudgetMillicores / 1000,
  };
}
