/** What the agent took from rings of dead processes. */
import { Counter, type Registry } from "@axonize/core/runtime/metrics";

export type RingMetrics = ReturnType<typeof createRingMetrics>;

export function createRingMetrics(registry: Registry) {
  const registers = [registry];
  return {
    rings: new Counter({
      name: "axonize_agent_rings_total",
      help: "Span rings of dead processes that were emptied and removed: read to their end, or broken.",
      labelNames: ["outcome"],
      registers,
    }),
    spans: new Counter({
      name: "axonize_agent_ring_spans_total",
      help: "Spans out of them, as ingest answered: taken, or refused under the key that they came with.",
      labelNames: ["outcome"],
      registers,
    }),
  };
}
