/**
 * Bytes on disk per span: all our span tables together beside the table of the OpenTelemetry
 * Collector's ClickHouse exporter with its indexes and its trace-id table, same spans, same engine,
 * both merged to one part. The exporter's schema is rebuilt here from its documentation; its rows
 * are derived from ours in SQL, with every value as text, as it stores them.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createTraceDecoder } from "../ingest/decode/trace-decoder.ts";
import { openDatabases, startTestStores } from "../test/support/start-stores.ts";
import { llmRequest } from "./otlp-payload.ts";

const requests = Number(process.env["AXONIZE_BENCH_REQUESTS"] ?? 120);
const spansPerRequest = 512;
const receivedMs = Date.now();

await using stack = new AsyncDisposableStack();
const engines = await startTestStores();
stack.defer(async () => await engines.stop());
const { clickhouse } = stack.use(await openDatabases(engines));

const map = "Map(LowCardinality(String), String) CODEC(ZSTD(1))";
const exporterTables = [
  `CREATE TABLE otel_traces (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)), TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)), ParentSpanId String CODEC(ZSTD(1)), TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)), SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)), ResourceAttributes ${map},
    ScopeName String CODEC(ZSTD(1)), ScopeVersion String CODEC(ZSTD(1)), SpanAttributes ${map},
    Duration UInt64 CODEC(ZSTD(1)), StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    Links Nested(TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
  ) ENGINE = MergeTree PARTITION BY toDate(Timestamp)
  ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))`,
  `CREATE TABLE otel_traces_trace_id_ts (
    TraceId String CODEC(ZSTD(1)), Start DateTime CODEC(Delta(4), ZSTD(1)), End DateTime CODEC(Delta(4), ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.01) GRANULARITY 1
  ) ENGINE = MergeTree PARTITION BY toDate(Start) ORDER BY (TraceId, Start)`,
];
const text = (column: string) => `mapApply((k, v) -> (k, toString(v)), ${column})`;
const exporterRows = `
  INSERT INTO otel_traces SELECT s.start, lower(hex(s.trace_id)), lower(hex(s.span_id)),
    if(s.parent_span_id = toFixedString('', 8), '', lower(hex(s.parent_span_id))), p.trace_state, s.name,
    ['Unspecified', 'Internal', 'Server', 'Client', 'Producer', 'Consumer'][s.kind + 1], s.service,
    CAST(JSONExtractKeysAndValues(r.attrs, 'String'), 'Map(LowCardinality(String), String)'),
    p.scope_name, p.scope_version,
    mapConcat(p.attrs_str, ${text("p.attrs_int")}, ${text("p.attrs_num")}, ${text("p.attrs_bool")}, p.attrs_json, p.content),
    s.duration_ns, ['Unset', 'Ok', 'Error'][s.status + 1], p.status_message,
    arrayMap(t -> fromUnixTimestamp64Nano(t), p.event_time), p.event_name,
    arrayMap(a -> CAST(JSONExtractKeysAndValues(a, 'String'), 'Map(LowCardinality(String), String)'), p.event_attrs),
    [], [], [], []
  FROM spans AS s INNER JOIN span_payloads AS p ON s.span_id = p.span_id AND s.trace_id = p.trace_id
  INNER JOIN resources AS r ON r.fp = s.resource_fp`;

for (const query of exporterTables) await clickhouse.command({ query });
const decoder = createTraceDecoder();
for (let i = 0; i < requests; i += 1) {
  decoder.decodeProtobuf(llmRequest(i, spansPerRequest, receivedMs), {
    tenantNum: 1,
    capture: "None",
    retentionClass: 30,
    payloadRetentionClass: 30,
    receivedMs: receivedMs + i,
  });
  if (i % 16 === 15 || i === requests - 1) {
    for (const { table, bytes } of decoder.take()) {
      const answer = await clickhouse.exec({
        query: `INSERT INTO ${table} FORMAT Native`,
        values: Readable.from([Buffer.from(bytes)]),
      });
      for await (const _ of answer.stream) continue;
    }
  }
}
// The join of all spans needs more than the engine allows a statement by default.
await clickhouse.command({
  query: exporterRows,
  clickhouse_settings: { max_memory_usage: "4000000000" },
});
await clickhouse.command({
  query: `INSERT INTO otel_traces_trace_id_ts SELECT TraceId, min(Timestamp), max(Timestamp) FROM otel_traces WHERE TraceId != '' GROUP BY TraceId`,
});
const ourTables = ["spans", "span_payloads", "resources", "trace_index", "facets"];
const theirTables = ["otel_traces", "otel_traces_trace_id_ts"];
for (const table of [...ourTables, ...theirTables]) {
  await clickhouse.command({ query: `OPTIMIZE TABLE ${table} FINAL` });
}

const perTable = await rows<{ table: string; bytes: string }>(
  `SELECT table, toString(sum(bytes_on_disk)) AS bytes FROM system.parts
   WHERE active AND database = currentDatabase() GROUP BY table`,
);
const spans = requests * spansPerRequest;
const of = (tables: readonly string[]): number =>
  perTable
    .filter(({ table }) => tables.includes(table))
    .reduce((sum, { bytes }) => sum + Number(bytes), 0) / spans;
const columns = await rows<{ table: string; column: string; bytes: string }>(
  `SELECT table, column, toString(sum(column_data_compressed_bytes)) AS bytes FROM system.parts_columns
   WHERE active AND database = currentDatabase() AND table IN ('spans', 'span_payloads', 'trace_index')
   GROUP BY table, column ORDER BY sum(column_data_compressed_bytes) DESC LIMIT 24`,
);
const result = {
  spans,
  bytesPerSpan: Number(of(ourTables).toFixed(1)),
  exporterBytesPerSpan: Number(of(theirTables).toFixed(1)),
  ratio: Number((of(ourTables) / of(theirTables)).toFixed(3)),
  tables: Object.fromEntries(
    [...ourTables, ...theirTables].map((table) => [table, Number(of([table]).toFixed(2))]),
  ),
};
console.log(result);
for (const { table, column, bytes } of columns) {
  console.log(`${(Number(bytes) / spans).toFixed(2).padStart(7)} B  ${table}.${column}`);
}
console.log(`bar: ratio ≤ 0.85 → ${result.ratio <= 0.85 ? "held" : "missed"}`);
await mkdir(join(import.meta.dirname, "results"), { recursive: true });
await writeFile(
  join(import.meta.dirname, "results", "storage.json"),
  `${JSON.stringify({ machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`, ...result }, undefined, 2)}\n`,
);

async function rows<T>(query: string): Promise<T[]> {
  const answer = await clickhouse.query({ query, format: "JSONEachRow" });
  return await answer.json<T>();
}
