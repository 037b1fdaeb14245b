/**
 * Metrics of sampling. `docs/metrics.md` is generated from it.
 */
import { Counter, Gauge, Histogram, type Registry } from "@axonize/core/runtime/metrics";
import { reasons, type Reason } from "../nvml/readings.ts";
import { costSources, type Batch } from "./protocol.ts";

export type SamplingMetrics = ReturnType<typeof createSamplingMetrics>;

export function createSamplingMetrics(registry: Registry) {
  const metrics = { ...countersOf(registry), ...gaugesOf(registry) };
  return {
    ...metrics,
    /** What a batch says of sampling itself. */
    observe(batch: Omit<Batch, "numbers" | "missing">): void {
      for (const ms of batch.lateMs) metrics.tickLate.observe(ms / 1000);
      metrics.ticksMissed.inc(batch.missedTicks);
      metrics.dropped.inc({ reason: "batch_full" }, batch.droppedRows);
      metrics.dropped.inc({ reason: "not_taken" }, batch.droppedBatches);
      for (const source of costSources) {
        const { calls, busyMs, slowestMs } = batch.costs[source];
        metrics.busySeconds.set({ source }, busyMs / 1000);
        metrics.calls.set({ source }, calls);
        metrics.slowestSeconds.set({ source }, slowestMs / 1000);
      }
      for (const [tick, ms] of Object.entries(batch.periods)) {
        metrics.periodSeconds.set({ tick }, ms / 1000);
      }
      if (batch.cpuRatio !== undefined) metrics.cpuRatio.set(batch.cpuRatio);
    },
    unreadable(missing: ReadonlyMap<string, ReadonlyMap<string, Reason>>): void {
      const counts = new Map<Reason, number>();
      for (const byMetric of missing.values()) {
        for (const reason of byMetric.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
      for (const reason of reasons)
        metrics.unreadableValues.set({ reason }, counts.get(reason) ?? 0);
    },
  };
}

function countersOf(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    samples: counter("axonize_agent_samples_total", "Samples taken and handed on.", []),
    events: counter("axonize_agent_device_events_total", "Events of devices by kind.", ["kind"]),
    ticksMissed: counter(
      "axonize_agent_missed_ticks_total",
      "Short ticks left out because the one before took too long.",
      [],
    ),
    dropped: counter(
      "axonize_agent_dropped_samples_total",
      "Rows (batch_full) and batches (not_taken) given up between the agent's threads.",
      ["reason"],
    ),
    clockJumps: counter(
      "axonize_agent_clock_jumps_total",
      "Times the wall clock jumped by a second or more.",
      [],
    ),
    tickLate: new Histogram({
      name: "axonize_agent_tick_late_seconds",
      help: "How late short ticks start against their plan.",
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5],
      registers: [registry],
    }),
  };
}

function gaugesOf(registry: Registry) {
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Gauge<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    opened: gauge("axonize_agent_driver_open", "1 while the driver is open.", []),
    devices: gauge("axonize_agent_devices", "GPUs and MIG slices that the driver shows.", []),
    unreadableValues: gauge(
      "axonize_agent_unreadable_values",
      "Values of devices that cannot be read, by reason.",
      ["reason"],
    ),
    calls: gauge("axonize_agent_driver_calls", "Calls since the driver was opened, by source.", [
      "source",
    ]),
    busySeconds: gauge(
      "axonize_agent_driver_busy_seconds",
      "Time inside the driver since it was opened, by source.",
      ["source"],
    ),
    slowestSeconds: gauge(
      "axonize_agent_slowest_call_seconds",
      "Longest call since the driver was opened, by source; of the short tick, all its calls.",
      ["source"],
    ),
    periodSeconds: gauge(
      "axonize_agent_period_seconds",
      "Period now, which grows above the budget, by tick.",
      ["tick"],
    ),
    cpuRatio: gauge(
      "axonize_agent_sampling_cpu_ratio",
      "Part of one core that sampling took over the last window.",
      [],
    ),
  };
}
