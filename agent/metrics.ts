/**
 * Metrics of the agent as a whole; sampling, identity and the exporter have their own.
 */
import { Counter, type Registry } from "@axonize/core/runtime/metrics";

export function createAgentMetrics(registry: Registry) {
  return {
    otlpSends: new Counter({
      name: "axonize_agent_otlp_sends_total",
      help: "Times that hw.* metrics were sent to the OTLP endpoint, by outcome.",
      labelNames: ["outcome"],
      registers: [registry],
    }),
  };
}
