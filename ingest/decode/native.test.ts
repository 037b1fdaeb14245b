/** Blocks against the real engine: every column is inserted and read back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Readable } from "node:stream";
import { useStores } from "../../test/support/stores.ts";
import type { NativeBlock, RequestContext } from "./decoder.ts";
import { encode, keyValues } from "./testing/otlp.ts";
import { Strings } from "./strings.ts";
import { FacetTable, PayloadTable, ResourceTable, SpanTable, TraceIndexTable } from "./tables.ts";
import { createTraceDecoder } from "./trace-decoder.ts";

const receivedMs = Date.now();
const startNs = BigInt(receivedMs) * 1_000_000n + 123n;
const context: RequestContext = {
  tenantNum: 7,
  capture: "Full",
  retentionClass: 30,
  payloadRetentionClass: 7,
  receivedMs,
};

type Stores = Awaited<ReturnType<typeof useStores>>;

async function insert(stores: Stores, blocks: readonly NativeBlock[]): Promise<void> {
  for (const { table, bytes } of blocks) {
    const answer = await stores.clickhouse.exec({
      query: `INSERT INTO ${table} FORMAT Native`,
      values: Readable.from([Buffer.from(bytes)]),
    });
    answer.stream.resume();
    await new Promise((resolve) => answer.stream.on("close", resolve));
  }
}

test("every column of every table comes back from the engine as it was sent", async () => {
  await using stores = await useStores();
  const decoder = createTraceDecoder({ seed: 1 });
  const request = {
    resourceSpans: [
      {
        resource: {
          attributes: keyValues({
            "service.name": "answers",
            "service.instance.id": "i-1",
            "deployment.environment.name": "production",
            "k8s.pod.uid": "uid-1",
            "k8s.pod.name": "pod-1",
            "k8s.namespace.name": "apps",
            "k8s.node.name": "node-1",
            "k8s.container.name": "main",
            "axonize.gpu.uuids": ["GPU-a", "GPU-b"],
          }),
        },
        scopeSpans: [
          {
            scope: { name: "scope", version: "1.2" },
            spans: [
              {
                traceId: "000102030405060708090a0b0c0d0e0f",
                spanId: "1011121314151617",
                parentSpanId: "2021222324252627",
                traceState: "a=b",
                name: "chat llama",
                kind: 3,
                startTimeUnixNano: String(startNs),
                endTimeUnixNano: String(startNs + 5_000_000_007n),
                attributes: keyValues({
                  "gen_ai.operation.name": "chat",
                  "gen_ai.request.model": "llama",
                  "gen_ai.provider.name": "openai",
                  "gen_ai.usage.input_tokens": 100,
                  "gen_ai.usage.output_tokens": 11,
                  "gen_ai.usage.cache_read.input_tokens": 40,
                  "gen_ai.usage.reasoning.output_tokens": 3,
                  "gen_ai.response.time_to_first_chunk": 0.25,
                  "gen_ai.latency.time_in_queue": 0.1,
                  "gen_ai.response.finish_reasons": ["stop"],
                  "gen_ai.response.id": "r-1",
                  "session.id": "s-1",
                  "user.id": "u-1",
                  "axonize.gpu.ordinals": [1],
                  "error.type": "timeout",
                  "gen_ai.input.messages": [{ role: "user", content: 'hi "there"\n' }],
                  big: 9_007_199_254_740_993n,
                  negative: -5,
                  flag: true,
                  ratio: 0.5,
                  unicode: "žluťoučký 🐎",
                }),
                droppedAttributesCount: 2,
                events: [
                  {
                    timeUnixNano: String(startNs + 1n),
                    name: "e",
                    attributes: keyValues({ a: 1 }),
                  },
                ],
                links: [
                  {
                    traceId: "ff0102030405060708090a0b0c0d0e0f",
                    spanId: "ff11121314151617",
                    attributes: keyValues({ b: "c" }),
                  },
                ],
                status: { code: 2, message: "too slow" },
              },
              {
                traceId: "000102030405060708090a0b0c0d0e0f",
                spanId: "2021222324252627",
                name: "root",
                startTimeUnixNano: String(startNs - 1000n),
                endTimeUnixNano: String(startNs),
              },
            ],
          },
        ],
      },
    ],
  };
  const result = decoder.decodeProtobuf(encode(request), context);
  assert.ok(result.ok);
  assert.equal(result.accepted, 2);
  await insert(stores, decoder.take());
  const rows = async (sql: string): Promise<Record<string, unknown>[]> => {
    const answer = await stores.clickhouse.query({ query: sql, format: "JSONEachRow" });
    return await answer.json();
  };
  const [root, call] = await rows(
    `SELECT *, toString(start) AS start, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span,
       lower(hex(parent_span_id)) AS parent FROM spans FINAL ORDER BY spans.start`,
  );
  assert.equal(root?.["name"], "root");
  assert.equal(root["ttft_ns"], null);
  assert.equal(root["duration_ns"], 1000);
  assert.equal(root["parent"], "0000000000000000");
  assert.deepEqual(pick(call, Object.keys(expectedCall)), expectedCall);
  const [payload] = await rows(
    `SELECT *, toString(attrs_int['big']) AS big, arrayMap(x -> lower(hex(x)), link_trace_id) AS links,
       arrayMap(x -> toString(x), event_time) AS times FROM span_payloads FINAL
     WHERE lower(hex(span_id)) = '1011121314151617'`,
  );
  assert.deepEqual(pick(payload, Object.keys(expectedPayload)), expectedPayload);
  assert.equal(payload?.["big"], "9007199254740993");
  assert.deepEqual(payload["times"], [String(startNs + 1n)]);
  const [index] = await rows("SELECT *, toString(max_end) AS max_end FROM trace_index FINAL");
  assert.ok(String(index?.["max_end"]).endsWith("130"), "start + duration to the nanosecond");
  const facets = await rows("SELECT key, value FROM facets FINAL ORDER BY key");
  assert.deepEqual(
    facets.map(({ key, value }) => `${String(key)}=${String(value)}`),
    [
      "environment=production",
      "model=llama",
      "namespace=apps",
      "node=node-1",
      "operation=chat",
      "pod=pod-1",
      "provider=openai",
      "service=answers",
    ],
  );
  const [joined] = await rows(
    "SELECT attrs FROM resources FINAL WHERE fp = (SELECT any(resource_fp) FROM spans)",
  );
  assert.match(String(joined?.["attrs"]), /"axonize.gpu.uuids":\["GPU-a","GPU-b"\]/);
});

test("the same spans sent again in another grouping change no table's deduplicated content", async () => {
  await using stores = await useStores();
  const decoder = createTraceDecoder({ seed: 2 });
  const spansOf = (ids: readonly number[]) => ({
    resourceSpans: [
      {
        resource: { attributes: keyValues({ "service.name": "s" }) },
        scopeSpans: [
          {
            spans: ids.map((id) => ({
              traceId: "000102030405060708090a0b0c0d0e0f",
              spanId: `000000000000000${id}`,
              name: `span ${id}`,
              startTimeUnixNano: String(startNs + BigInt(id)),
              endTimeUnixNano: String(startNs + 100n),
            })),
          },
        ],
      },
    ],
  });
  const digest = async (): Promise<unknown> => {
    const counts = ["spans", "span_payloads", "trace_index", "facets", "resources"].map(
      (table) =>
        `SELECT '${table}' AS t, count() AS rows, sum(cityHash64(* EXCEPT (${table === "spans" || table === "span_payloads" ? "received" : table === "trace_index" ? "day" : "last_seen"}))) AS h FROM ${table} FINAL`,
    );
    const answer = await stores.clickhouse.query({
      query: `SELECT * FROM (${counts.join(" UNION ALL ")}) ORDER BY t`,
      format: "JSONEachRow",
    });
    return await answer.json();
  };
  decoder.decodeProtobuf(encode(spansOf([1, 2, 3, 4])), context);
  await insert(stores, decoder.take());
  const before = await digest();
  decoder.decodeProtobuf(encode(spansOf([3, 1])), { ...context, receivedMs: receivedMs + 5000 });
  decoder.decodeProtobuf(encode(spansOf([2])), { ...context, receivedMs: receivedMs + 6000 });
  await insert(stores, decoder.take());
  assert.deepEqual(await digest(), before);
});

test("columns are those of the migrations, by name and type", async () => {
  await using stores = await useStores();
  const strings = new Strings(3);
  const tables = {
    spans: new SpanTable(strings),
    span_payloads: new PayloadTable(strings),
    resources: new ResourceTable(strings),
    trace_index: new TraceIndexTable(strings),
    facets: new FacetTable(strings),
  };
  for (const [name, table] of Object.entries(tables)) {
    const answer = await stores.clickhouse.query({
      query:
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {name:String}",
      query_params: { name },
      format: "JSONEachRow",
    });
    const columns = await answer.json<{ name: string; type: string }>();
    const plain = (type: string) => type.replace(/SimpleAggregateFunction\(\w+, (.*)\)$/, "$1");
    assert.deepEqual(
      Object.fromEntries(table.columns.map(([name, { type }]) => [name, type])),
      Object.fromEntries(columns.map(({ name, type }) => [name, plain(type)])),
      name,
    );
  }
});

test("a dictionary of more than 65,536 values is read back by the engine", async () => {
  await using stores = await useStores();
  const decoder = createTraceDecoder({ seed: 4 });
  const many = 70_000;
  const spans = Array.from({ length: many }, (_, i) => ({
    traceId: "000102030405060708090a0b0c0d0e0f",
    spanId: (i + 1).toString(16).padStart(16, "0"),
    name: `name ${i}`,
    startTimeUnixNano: String(startNs),
    endTimeUnixNano: String(startNs),
  }));
  decoder.decodeProtobuf(encode({ resourceSpans: [{ scopeSpans: [{ spans }] }] }), context);
  await insert(stores, decoder.take());
  const answer = await stores.clickhouse.query({
    query:
      "SELECT uniqExact(name) AS names, countIf(name = concat('name ', toString(toInt32(reinterpretAsInt64(reverse(span_id))) - 1))) AS right FROM spans",
    format: "JSONEachRow",
  });
  assert.deepEqual(await answer.json(), [{ names: many, right: many }]);
});

function pick(row: Record<string, unknown> | undefined, keys: readonly string[]): unknown {
  return Object.fromEntries(keys.map((key) => [key, row?.[key]]));
}

const expectedCall = {
  tenant_id: 7,
  retention: 30,
  trace: "000102030405060708090a0b0c0d0e0f",
  span: "1011121314151617",
  parent: "2021222324252627",
  name: "chat llama",
  kind: 3,
  status: 2,
  error_type: "timeout",
  duration_ns: 5000000007,
  service: "answers",
  instance: "i-1",
  environment: "production",
  operation: "chat",
  model: "llama",
  model_source: "span",
  provider: "openai",
  engine: "",
  ttft_ns: 250000000,
  ttft_basis: "client",
  itl_ns: 475000001,
  queue_ns: 100000000,
  prefill_ns: null,
  decode_ns: null,
  kv_transfer_ns: null,
  input_tokens: 100,
  output_tokens: 11,
  cached_tokens: 40,
  reasoning_tokens: 3,
  finish_reason: "stop",
  session: "s-1",
  user: "u-1",
  namespace: "apps",
  pod_uid: "uid-1",
  pod: "pod-1",
  node: "node-1",
  container: "main",
  gpu_ordinals: [1],
  gpu_devices: ["GPU-b"],
  gpu_level: "exact.sdk",
  marks: 0,
};

const expectedPayload = {
  tenant_id: 7,
  retention: 7,
  trace_state: "a=b",
  status_message: "too slow",
  scope_name: "scope",
  scope_version: "1.2",
  attrs_str: {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "llama",
    "gen_ai.provider.name": "openai",
    "gen_ai.response.id": "r-1",
    "session.id": "s-1",
    "user.id": "u-1",
    "error.type": "timeout",
    unicode: "žluťoučký 🐎",
  },
  attrs_num: {
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.latency.time_in_queue": 0.1,
    ratio: 0.5,
  },
  attrs_bool: { flag: true },
  attrs_json: { "gen_ai.response.finish_reasons": '["stop"]', "axonize.gpu.ordinals": "[1]" },
  content: {
    "gen_ai.input.messages": '[{"role":"user","content":"hi \\"there\\"\\n"}]',
  },
  event_name: ["e"],
  event_attrs: ['{"a":1}'],
  links: ["ff0102030405060708090a0b0c0d0e0f"],
  link_attrs: ['{"b":"c"}'],
  dropped_attributes: 2,
  dropped_events: 0,
  dropped_links: 0,
};
