/** Metrics of the agents' streams; `docs/metrics.md` is generated from it. */
import { Counter, Gauge, Histogram, type Registry } from "@axonize/core/runtime/metrics";

export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

export function createAgentMetrics(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    streams: new Gauge({
      name: "axonize_ingest_agent_streams",
      help: "Agents connected to this process.",
      registers: [registry],
    }),
    ends: counter("axonize_ingest_agent_stream_ends_total", "Agents' streams ended, by reason.", [
      "reason",
    ]),
    batches: counter(
      "axonize_ingest_agent_batches_total",
      "Agents' batches by outcome (stored, repeated, malformed, failed).",
      ["outcome"],
    ),
    points: counter(
      "axonize_ingest_agent_points_total",
      "Values of device samples stored from agents.",
      [],
    ),
    refused: counter(
      "axonize_ingest_agent_refused_items_total",
      "What agents sent and was not kept, by kind (rows, values, records, devices) and reason.",
      ["kind", "reason"],
    ),
    pruned: counter(
      "axonize_ingest_identity_pruned_intervals_total",
      "Ended intervals of identity that nothing refers to any more and that were deleted, by table.",
      ["table"],
    ),
    ackSeconds: new Histogram({
      name: "axonize_ingest_agent_ack_seconds",
      help: "From a batch's last byte to its acknowledgement.",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
  };
}
