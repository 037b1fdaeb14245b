/** Blocks against the real engine: every column is inserted and read back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Readable } from "node:stream";
import { useStores } from "../../test/support/stores.ts";
import type { NativeBlock, RequestContext } from "./decoder.ts";
import { encode, keyValues } from "./testing/otlp.ts";
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
  const rows = async (sql: string): Promise<unknown[]> => {
    const answer = await stores.clickhouse.query({ query: sql, format: "JSONEachRow" });
    return await answer.json();
  };
  console.log(
    JSON.stringify(
      await rows(
        "SELECT * REPLACE (lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id, lower(hex(parent_span_id)) AS parent_span_id) FROM spans FINAL ORDER BY start",
      ),
      null,
      1,
    ),
  );
  console.log(
    JSON.stringify(
      await rows(
        "SELECT * REPLACE (lower(hex(trace_id)) AS trace_id, lower(hex(span_id)) AS span_id, arrayMap(x->lower(hex(x)), link_trace_id) AS link_trace_id, arrayMap(x->lower(hex(x)),link_span_id) AS link_span_id) FROM span_payloads FINAL ORDER BY start",
      ),
      null,
      1,
    ),
  );
  console.log(
    JSON.stringify(
      await rows("SELECT * REPLACE (lower(hex(trace_id)) AS trace_id) FROM trace_index FINAL"),
      null,
      1,
    ),
  );
  console.log(JSON.stringify(await rows("SELECT * FROM facets FINAL"), null, 1));
  console.log(JSON.stringify(await rows("SELECT * FROM resources FINAL"), null, 1));
});
