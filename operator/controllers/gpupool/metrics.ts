/** Metrics of the GpuPool controller; `docs/metrics.md` is generated from it. */
import { Counter, type Registry } from "@axonize/core/runtime/metrics";

export type GpuPoolMetrics = ReturnType<typeof createGpuPoolMetrics>;

export function createGpuPoolMetrics(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    labels: counter(
      "axonize_operator_gpupool_node_labels_total",
      "Pool labels of nodes written, by change (set, removed).",
      ["change"],
    ),
    rollouts: counter(
      "axonize_operator_gpupool_rollouts_total",
      "Agents' DaemonSets applied because they differed.",
      [],
    ),
    restarts: counter(
      "axonize_operator_gpupool_agent_restarts_total",
      "Agents deleted because they ran and did not report.",
      [],
    ),
    prices: counter("axonize_operator_gpupool_prices_total", "Rows appended to the prices.", []),
  };
}
