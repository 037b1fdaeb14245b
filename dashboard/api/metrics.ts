/**
 * What the API counts of itself. Routes are named as in the contract, so labels are a closed set.
 */
import { Counter, Gauge, Histogram, type Registry } from "@axonize/core/runtime/metrics";

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: "axonize_dashboard_requests_total",
      help: "HTTP requests by route and status.",
      labelNames: ["route", "status"] as const,
      registers,
    }),
    duration: new Histogram({
      name: "axonize_dashboard_request_duration_seconds",
      help: "Time from a request's arrival to the end of its answer.",
      labelNames: ["route"] as const,
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 15],
      registers,
    }),
    queries: new Histogram({
      name: "axonize_dashboard_query_duration_seconds",
      help: "Time of ClickHouse queries, by outcome.",
      labelNames: ["outcome"] as const,
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 15],
      registers,
    }),
    rowsRead: new Counter({
      name: "axonize_dashboard_query_rows_read_total",
      help: "Rows that ClickHouse read for queries.",
      registers,
    }),
    refused: new Counter({
      name: "axonize_dashboard_refused_total",
      help: "Requests refused at a limit, by reason.",
      labelNames: ["reason"] as const,
      registers,
    }),
    eventStreams: new Gauge({
      name: "axonize_dashboard_event_streams",
      help: "Open streams of start events.",
      registers,
    }),
  };
}
