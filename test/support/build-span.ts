/**
 * Rows of `spans`, `span_payloads` and `trace_index` for tests, without going through ingest.
 *
 * Every field has a plain default; a test names only what it is about. Ids are hex, times epoch ms.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";

export interface TestSpan {
  tenantNum: number;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** Epoch milliseconds; fractions are nanoseconds. */
  startMs: number;
  receivedMs: number;
  durationMs: number;
  retention: number;
  name: string;
  kind: number;
  status: number;
  service: string;
  environment: string;
  operation: string;
  model: string;
  provider: string;
  engine: string;
  ttftMs: number | undefined;
  ttftBasis: "none" | "client" | "gateway" | "engine";
  queueMs: number | undefined;
  prefillMs: number | undefined;
  decodeMs: number | undefined;
  inputTokens: number | undefined;
  outputTokens: number | undefined;
  finishReason: string;
  session: string;
  user: string;
  namespace: string;
  pod: string;
  node: string;
  gpus: readonly string[];
  gpuLevel: string;
  gpuCandidates: readonly string[];
  gpuReason: string;
  gpuEvidence: readonly string[];
  resourceFp: number;
  marks: number;
}

let counter = 0;

/** A root span without a model, unless told otherwise; ids are unique within the process. */
export function buildSpan(span: Partial<TestSpan> & { startMs: number }): TestSpan {
  counter += 1;
  const durationMs = span.durationMs ?? 100;
  return {
    tenantNum: 1,
    traceId: counter.toString(16).padStart(32, "a"),
    spanId: counter.toString(16).padStart(16, "b"),
    parentSpanId: "",
    receivedMs: span.startMs + durationMs,
    durationMs,
    retention: 30,
    name: "GET /",
    kind: 1,
    status: 0,
    service: "web",
    environment: "test",
    operation: "",
    model: "",
    provider: "",
    engine: "",
    ttftMs: undefined,
    ttftBasis: "none",
    queueMs: undefined,
    prefillMs: undefined,
    decodeMs: undefined,
    inputTokens: undefined,
    outputTokens: undefined,
    finishReason: "",
    session: "",
    user: "",
    namespace: "",
    pod: "",
    node: "",
    gpus: [],
    gpuLevel: "",
    gpuCandidates: [],
    gpuReason: "",
    gpuEvidence: [],
    resourceFp: 0,
    marks: 0,
    ...span,
  };
}

/** An engine's call with all its phases. */
export const buildCall = (span: Partial<TestSpan> & { startMs: number }): TestSpan =>
  buildSpan({
    name: "llm_request",
    kind: 2,
    service: "engine",
    operation: "chat",
    model: "llama-3.1-8b",
    engine: "vllm",
    durationMs: 1000,
    ttftMs: 200,
    ttftBasis: "engine",
    queueMs: 50,
    prefillMs: 150,
    decodeMs: 800,
    inputTokens: 100,
    outputTokens: 41,
    finishReason: "stop",
    ...span,
  });

/** Writes spans as ingest does: their trace's index rows first, then the spans. */
export async function insertSpans(
  clickhouse: ClickHouseClient,
  spans: readonly TestSpan[],
): Promise<void> {
  // Whole milliseconds and the rest apart: epoch nanoseconds are beyond a double's precision.
  const ns = (ms: number): string => {
    const whole = Math.floor(ms);
    return String(BigInt(whole) * 1_000_000n + BigInt(Math.round((ms - whole) * 1e6)));
  };
  await insert(
    clickhouse,
    "trace_index",
    spans.map((span) => ({
      tenant_id: span.tenantNum,
      trace_id: span.traceId,
      day: new Date(span.startMs).toISOString().slice(0, 10),
      retention: span.retention,
      min_start: ns(span.startMs),
      max_start: ns(span.startMs),
      max_end: ns(span.startMs + span.durationMs),
    })),
    { trace_id: "unhex(trace_id)", ...times("min_start", "max_start", "max_end") },
  );
  await insert(clickhouse, "spans", spans.map(rowOf), {
    trace_id: "unhex(trace_id)",
    span_id: "unhex(span_id)",
    parent_span_id: "toFixedString(unhex(parent_span_id), 8)",
    ...times("start"),
    received: "fromUnixTimestamp64Milli(toInt64(received), 'UTC')",
  });

  function rowOf(span: TestSpan): Record<string, unknown> {
    const optionalNs = (ms: number | undefined): string | undefined =>
      ms === undefined ? undefined : ns(ms);
    return {
      tenant_id: span.tenantNum,
      retention: span.retention,
      start: ns(span.startMs),
      received: String(Math.round(span.receivedMs)),
      trace_id: span.traceId,
      span_id: span.spanId,
      parent_span_id: span.parentSpanId,
      name: span.name,
      kind: span.kind,
      status: span.status,
      duration_ns: ns(span.durationMs),
      service: span.service,
      environment: span.environment,
      operation: span.operation,
      model: span.model,
      provider: span.provider,
      engine: span.engine,
      ttft_ns: optionalNs(span.ttftMs),
      ttft_basis: span.ttftBasis,
      queue_ns: optionalNs(span.queueMs),
      prefill_ns: optionalNs(span.prefillMs),
      decode_ns: optionalNs(span.decodeMs),
      input_tokens: span.inputTokens,
      output_tokens: span.outputTokens,
      finish_reason: span.finishReason,
      session: span.session,
      user: span.user,
      namespace: span.namespace,
      pod: span.pod,
      node: span.node,
      gpu_devices: span.gpus,
      gpu_level: span.gpuLevel,
      gpu_candidates: span.gpuCandidates,
      gpu_reason: span.gpuReason,
      gpu_evidence: span.gpuEvidence,
      resource_fp: span.resourceFp,
      marks: span.marks,
    };
  }
}

const times = (...columns: string[]): Record<string, string> =>
  Object.fromEntries(
    columns.map((column) => [column, `fromUnixTimestamp64Nano(toInt64(${column}), 'UTC')`]),
  );

/** Inserts JSON rows; `convert` names columns that arrive as text and how they become values. */
async function insert(
  clickhouse: ClickHouseClient,
  table: string,
  rows: readonly Record<string, unknown>[],
  convert: Record<string, string>,
): Promise<void> {
  const names = Object.keys(rows[0] ?? {});
  if (names.length === 0) return;
  const described = await clickhouse.query({
    query: `SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}`,
    query_params: { table },
    format: "JSONEachRow",
  });
  const types = new Map(
    (await described.json<{ name: string; type: string }>()).map((c) => [c.name, c.type]),
  );
  const structure = names
    .map((name) => `${name} ${name in convert ? "String" : types.get(name)}`)
    .join(", ");
  const values = names.map((name) => (name in convert ? `${convert[name]} AS v_${name}` : name));
  // Within the statement, because parameters travel in the URL.
  const text = rows.map((row) => JSON.stringify(row)).join("\n");
  await clickhouse.command({
    query: `INSERT INTO ${table} (${names.join(", ")})
      SELECT ${values.join(", ")}
      FROM format(JSONEachRow, $structure$${structure}$structure$, $rows$${text}$rows$)`,
  });
}
