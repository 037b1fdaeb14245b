/** Metrics of attribution; `docs/metrics.md` is generated from it. */
import { Counter, Gauge, type Registry } from "@axonize/core/runtime/metrics";

export type AttributeMetrics = ReturnType<typeof createAttributeMetrics>;

export function createAttributeMetrics(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });
  return {
    intervals: gauge(
      "axonize_ingest_identity_intervals",
      "Identity intervals in this process's memory.",
    ),
    stale: gauge("axonize_ingest_identity_stale", "1 while PostgreSQL does not tell changes."),
    answers: counter(
      "axonize_ingest_attributions_total",
      "Answers about processes' devices, by level; one answer serves many spans.",
      ["level"],
    ),
    backfilled: counter(
      "axonize_ingest_backfilled_spans_total",
      "Spans written again with the devices that became known after them.",
      [],
    ),
    waiting: gauge(
      "axonize_ingest_attribution_waiting",
      "Resources whose spans wait for a binding.",
    ),
    dropped: counter(
      "axonize_ingest_attribution_dropped_total",
      "What attribution gave up at a bound, by kind and reason.",
      ["kind", "reason"],
    ),
  };
}
