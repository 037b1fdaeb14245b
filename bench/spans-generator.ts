/**
 * Fills `spans` and `trace_index` with generated calls, directly in the engine: eight spans a trace,
 * in time-ordered blocks as ingest would write them, for three tenants of which one has 80 %.
 *
 * Values are functions of the trace's number, so that every run has the same data. Durations and
 * TTFT are log-normal; sessions, users and errors are as rare as in a real fleet.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";

export const spansPerTrace = 8;

export interface Generated {
  /** Tenant numbers by share: 80 %, 10 %, 10 %. */
  tenants: readonly [number, number, number];
  traces: number;
  fromMs: number;
  toMs: number;
  /** Traces per insert; 6,250 × 8 = 50,000 spans. */
  tracesPerBlock: number;
}

export async function generateSpans(client: ClickHouseClient, data: Generated): Promise<void> {
  for (let first = 0; first < data.traces; first += data.tracesPerBlock) {
    const count = Math.min(data.tracesPerBlock, data.traces - first);
    await client.command({ query: spansSql(data, first, count) });
    await client.command({ query: traceIndexSql(data, first, count) });
  }
}

/** The trace's own columns: tenant, id, start (ns), and the two random walks that shape it. */
function tracesSql(data: Generated, first: number, count: number): string {
  const [large, second, third] = data.tenants;
  const stepNs = Math.floor(((data.toMs - data.fromMs) * 1e6) / data.traces);
  return `
    SELECT
      number + ${first} AS t,
      multiIf(t % 10 < 8, ${large}, t % 10 = 8, ${second}, ${third}) AS tenant_id,
      sipHash128(t, 7) AS trace_id,
      toInt64(${data.fromMs}) * 1000000 + toInt64(t) * ${stepNs} + toInt64(cityHash64(t, 1) % 1000000) AS start_ns,
      (cityHash64(t, 2) % 1000000) / 1000000 AS u1,
      (cityHash64(t, 3) % 1000000) / 1000000 AS u2,
      sqrt(-2 * log(u1 + 1e-9)) * cos(2 * pi() * u2) AS normal,
      toUInt64(least(exp(19.8 + 0.9 * normal), 1.2e11)) AS total_ns,
      cityHash64(t, 4) AS h
    FROM numbers(${count})`;
}

const columns = [
  "tenant_id, retention, start, received, trace_id, span_id, parent_span_id, name, kind, status",
  "error_type, duration_ns, service, instance, environment, operation, model, model_source",
  "provider, engine, ttft_ns, ttft_basis, itl_ns, queue_ns, prefill_ns, decode_ns",
  "input_tokens, output_tokens, cached_tokens, finish_reason, session, user",
  "namespace, pod_uid, pod, node, container, gpu_ordinals, gpu_devices, gpu_level, resource_fp",
].join(", ");

function spansSql(data: Generated, first: number, count: number): string {
  return `
    INSERT INTO spans (${columns}) SELECT
      tenant_id, 30,
      fromUnixTimestamp64Nano(start_ns + toInt64(total_ns * offset), 'UTC') AS start,
      fromUnixTimestamp64Milli(intDiv(start_ns + toInt64(total_ns), 1000000) + 900, 'UTC'),
      trace_id,
      toFixedString(reinterpretAsFixedString(sipHash64(t, s)), 8),
      if(s = 0, toFixedString('', 8), toFixedString(reinterpretAsFixedString(sipHash64(t, parent)), 8)),
      ['POST /v1/chat/completions', 'route', 'llm_request', 'chat llama', 'execute_tool search', 'embeddings bge', 'SELECT documents', 'render'][s + 1],
      [2, 1, 2, 3, 1, 3, 3, 1][s + 1],
      if(failed AND s IN (0, 2, 3), 2, if(s = 0, 1, 0)),
      if(failed AND s IN (0, 2, 3), 'timeout', ''),
      toUInt64(total_ns * share),
      ['gateway', 'router', concat('engine-', toString(h % 4)), 'assistant', 'assistant', 'assistant', 'search', 'assistant'][s + 1],
      concat('replica-', toString(h % 16)),
      if(h % 20 = 0, 'staging', 'production'),
      ['', '', 'chat', 'chat', 'execute_tool', 'embeddings', '', ''][s + 1],
      if(s IN (2, 3), ['llama-3.1-70b', 'llama-3.1-8b', 'qwen3-32b', 'mixtral-8x7b', 'gpt-oss-120b', 'deepseek-r1'][h % 6 + 1], if(s = 5, 'bge-m3', '')) AS model,
      if(model = '', 'none', 'span'),
      if(s IN (3, 5), 'openai', ''),
      if(s = 2, ['vllm', 'sglang', 'dynamo'][h % 3 + 1], ''),
      if(s IN (2, 3), toUInt64(total_ns * (0.05 + 0.3 * u1)), NULL),
      if(s = 2, 'engine', if(s = 3, 'client', 'none')),
      if(s = 2, toUInt64(total_ns * 0.6 / output), NULL),
      if(s = 2, toUInt64(total_ns * 0.05 * u2), NULL),
      if(s = 2, toUInt64(total_ns * (0.05 + 0.2 * u1)), NULL),
      if(s = 2, toUInt64(total_ns * 0.6), NULL),
      if(s IN (2, 3), 50 + h % 4000, NULL), if(s IN (2, 3), output, NULL), if(s = 2, h % 50, NULL),
      if(s IN (2, 3), if(h % 11 = 0, 'length', 'stop'), ''),
      if(s < 4, concat('session-', toString(intDiv(t, 40))), ''),
      if(s < 4, concat('user-', toString(h % 20000)), ''),
      if(s = 2, 'inference', 'apps'),
      concat('uid-', toString(h % 64), '-', toString(s)),
      concat(if(s = 2, 'engine-', 'app-'), toString(h % 64)),
      concat('node-', toString(h % 16)), 'main',
      if(s = 2, [0], []), if(s = 2, [concat('GPU-', toString(h % 32))], []),
      if(s = 2, 'exact.single', ''), h % 200
    FROM (
      SELECT *, s,
        [0., 0.01, 0.1, 0.09, 0.05, 0.03, 0.04, 0.97][s + 1] AS offset,
        [1., 0.05, 0.85, 0.87, 0.03, 0.01, 0.01, 0.02][s + 1] AS share,
        [0, 0, 3, 1, 1, 1, 1, 0][s + 1] AS parent,
        h % 97 = 0 AS failed,
        20 + h % 700 AS output
      FROM (${tracesSql(data, first, count)}) ARRAY JOIN range(${spansPerTrace}) AS s
    )`;
}

function traceIndexSql(data: Generated, first: number, count: number): string {
  return `
    INSERT INTO trace_index SELECT
      tenant_id, trace_id, toDate(min_start), 30, min_start,
      fromUnixTimestamp64Nano(start_ns + toInt64(total_ns * 0.97), 'UTC'),
      fromUnixTimestamp64Nano(start_ns + toInt64(total_ns), 'UTC')
    FROM (
      SELECT *, fromUnixTimestamp64Nano(start_ns, 'UTC') AS min_start
      FROM (${tracesSql(data, first, count)})
    )`;
}
