/**
 * What the webhook counts. The admission policy counts nothing: the apiserver does
 * (`apiserver_admission_match_condition_…`, `…_policy_check_total`).
 */
import { Counter, Gauge, type Registry } from "@axonize/core/runtime/metrics";

const reviews = ["injected", "unchanged", "noProfile", "notSynced", "failed", "busy"] as const;
export type Review = (typeof reviews)[number];

export type InjectionMetrics = ReturnType<typeof createInjectionMetrics>;

export function createInjectionMetrics(registry: Registry) {
  const metrics = {
    reviews: new Counter({
      name: "axonize_operator_injection_reviews_total",
      help: "Pods that the webhook was asked about, by what became of them.",
      labelNames: ["result"] as const,
      registers: [registry],
    }),
    certificateExpiry: new Gauge({
      name: "axonize_operator_webhook_certificate_expiry_seconds",
      help: "When the webhook's certificate ends, Unix time.",
      registers: [registry],
    }),
  };
  for (const result of reviews) metrics.reviews.inc({ result }, 0);
  return metrics;
}
