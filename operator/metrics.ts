/**
 * Metrics of the operator as a whole; those of caches, queues and controllers are in `kube/metrics.ts`.
 */
import { Gauge, type Registry } from "@axonize/core/runtime/metrics";

export type OperatorMetrics = ReturnType<typeof createOperatorMetrics>;

export function createOperatorMetrics(registry: Registry) {
  const common = { registers: [registry] };
  return {
    info: new Gauge({
      ...common,
      name: "axonize_operator_info",
      help: "1, with the operator's version.",
      labelNames: ["version"] as const,
    }),
    ready: new Gauge({
      ...common,
      name: "axonize_operator_ready",
      help: "1 while the caches are filled and the process does not stop.",
    }),
    crdOutdated: new Gauge({
      ...common,
      name: "axonize_operator_crd_outdated",
      help: "1 where the cluster's definition of a custom resource lacks fields that this operator writes or reads.",
      labelNames: ["crd"] as const,
    }),
    apiServed: new Gauge({
      ...common,
      name: "axonize_operator_api_served",
      help: "1 where the cluster serves an optional API.",
      labelNames: ["kind"] as const,
    }),
  };
}
