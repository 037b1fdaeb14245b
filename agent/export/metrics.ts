/** Metrics of the exporter; `docs/metrics.md` is generated from it. */
import { Counter, Gauge, type Registry } from "@axonize/core/runtime/metrics";

export type ExportMetrics = ReturnType<typeof createExportMetrics>;

export function createExportMetrics(registry: Registry) {
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter<T>({ name, help, labelNames: [...labelNames], registers: [registry] });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });
  return {
    batches: counter("axonize_agent_sealed_batches_total", "Batches sealed, by content.", [
      "content",
    ]),
    points: counter(
      "axonize_agent_sealed_points_total",
      "Values of samples in sealed batches.",
      [],
    ),
    sealedBytes: counter(
      "axonize_agent_sealed_bytes_total",
      "Bytes of sealed frames as they go over the wire.",
      ["content"],
    ),
    acked: counter(
      "axonize_agent_acknowledged_batches_total",
      "Batches that the server has in both stores.",
      [],
    ),
    dropped: counter(
      "axonize_agent_dropped_items_total",
      "What was given up, by kind (samples, values, events, changes, batches) and reason.",
      ["kind", "reason"],
    ),
    spoolFaults: counter(
      "axonize_agent_spool_faults_total",
      "What went wrong with the spool's disk, by reason.",
      ["reason"],
    ),
    spoolBytes: gauge("axonize_agent_spool_bytes", "Bytes of batches that wait in the spool."),
    connects: counter(
      "axonize_agent_stream_ends_total",
      "Streams to the server that ended, by reason.",
      ["reason"],
    ),
    connected: gauge("axonize_agent_stream_up", "1 while the server has said welcome."),
    clockOffsetSeconds: gauge(
      "axonize_agent_clock_offset_seconds",
      "This node's clock minus the server's, as last measured.",
    ),
  };
}
