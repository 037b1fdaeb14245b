/**
 * Metrics of ingest. Declared here, moved where things happen; `docs/metrics.md` is generated from it.
 */
import { Counter, Gauge, Histogram, type Registry } from "@axonize/core/runtime/metrics";

export type IngestMetrics = ReturnType<typeof createIngestMetrics>;

export function createIngestMetrics(registry: Registry) {
  return { ...countersOf(registry), ...gaugesOf(registry), ...histogramsOf(registry) };
}

function countersOf(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    requests: counter(
      "axonize_ingest_requests_total",
      "OTLP requests by signal, transport and outcome.",
      ["signal", "transport", "outcome"],
    ),
    bytes: counter(
      "axonize_ingest_received_bytes_total",
      "OTLP bytes taken in, after decompression.",
      ["signal"],
    ),
    spansAccepted: counter(
      "axonize_ingest_accepted_spans_total",
      "Spans acknowledged: ClickHouse has them.",
      [],
    ),
    pointsAccepted: counter(
      "axonize_ingest_accepted_points_total",
      "Metric data points acknowledged.",
      [],
    ),
    rejected: counter(
      "axonize_ingest_rejected_items_total",
      "Spans and data points not kept, by reason; told to the sender.",
      ["signal", "reason"],
    ),
    repeats: counter(
      "axonize_ingest_repeated_requests_total",
      "Requests that were sent again and got the first one's outcome.",
      [],
    ),
    inserts: counter("axonize_ingest_inserts_total", "Insert attempts by table and outcome.", [
      "table",
      "outcome",
    ]),
    insertedRows: counter("axonize_ingest_inserted_rows_total", "Rows in ClickHouse by table.", [
      "table",
    ]),
    connectionsClosed: counter(
      "axonize_ingest_closed_connections_total",
      "Connections closed by us, by reason.",
      ["transport", "reason"],
    ),
    unwanted: counter(
      "axonize_ingest_unwanted_spans_total",
      "Spans of traces that a tenant's own sampling leaves out.",
      [],
    ),
    excess: counter(
      "axonize_ingest_quota_exceeded_total",
      "Beyond a tenant's limit: requests refused (reject), spans left out (sample) or kept (warn).",
      ["quota", "action"],
    ),
    purged: counter(
      "axonize_ingest_purged_tenants_total",
      "Tenants whose data was deleted, as their resource asked.",
      [],
    ),
    dropped: counter(
      "axonize_ingest_dropped_records_total",
      "Bookkeeping records given up at a bound, by kind.",
      ["kind"],
    ),
  };
}

function histogramsOf(registry: Registry) {
  return {
    ackSeconds: new Histogram({
      name: "axonize_ingest_ack_seconds",
      help: "From the end of a request's body to its acknowledgement.",
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [registry],
    }),
    groupRows: new Histogram({
      name: "axonize_ingest_group_rows",
      help: "Rows per committed group.",
      buckets: [1, 10, 100, 1_000, 8_192, 16_384, 32_768, 65_536],
      registers: [registry],
    }),
  };
}

function gaugesOf(registry: Registry) {
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Gauge<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return {
    heldBytes: gauge(
      "axonize_ingest_held_bytes",
      "Bytes of bodies, open builders and blocks in flight.",
      [],
    ),
    budgetBytes: gauge(
      "axonize_ingest_budget_bytes",
      "Most bytes that are held; beyond it senders are told to wait.",
      [],
    ),
    storeUp: gauge("axonize_ingest_store_up", "1 while ClickHouse takes inserts.", []),
    oldestUnackedSeconds: gauge(
      "axonize_ingest_oldest_unacked_seconds",
      "Age of the oldest request that waits for its acknowledgement.",
      [],
    ),
    usagePending: gauge(
      "axonize_ingest_usage_pending_hours",
      "(tenant, hour) pairs whose usage is to be derived again.",
      [],
    ),
  };
}
