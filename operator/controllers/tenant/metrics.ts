/**
 * Metrics of the tenant controller. `docs/metrics.md` is generated from it.
 */
import { Counter, Gauge, type Registry } from "@axonize/core/runtime/metrics";

export type TenantMetrics = ReturnType<typeof createTenantMetrics>;

export function createTenantMetrics(registry: Registry) {
  const registers = [registry];
  return {
    minted: new Counter({
      name: "axonize_operator_minted_keys_total",
      help: "Keys issued, by why.",
      labelNames: ["reason"],
      registers,
    }),
    revoked: new Counter({
      name: "axonize_operator_revoked_keys_total",
      help: "Keys revoked, by why.",
      labelNames: ["reason"],
      registers,
    }),
    repaired: new Counter({
      name: "axonize_operator_repaired_objects_total",
      help: "Objects of ours that somebody had changed or deleted and that were put right.",
      labelNames: ["kind"],
      registers,
    }),
    retiringInUse: new Gauge({
      name: "axonize_operator_retiring_keys_in_use",
      help: "Keys that were replaced and that pods have used within the last day.",
      labelNames: ["tenant"],
      registers,
    }),
    tenants: new Gauge({
      name: "axonize_operator_tenants",
      help: "AxonizeTenants by the reason of their condition Ready.",
      labelNames: ["reason"],
      registers,
    }),
    uninjected: new Gauge({
      name: "axonize_operator_uninjected_pods",
      help: "Pods that run without injection though their namespace asks for it, above nine rounded down.",
      // `namespace` is the scraped pod's own to Prometheus.
      labelNames: ["tenant_namespace"],
      registers,
    }),
    orphaned: new Counter({
      name: "axonize_operator_orphaned_tenants_total",
      help: "Tenants whose resource was gone without its finalizer.",
      registers,
    }),
  };
}
