/**
 * What follows from spans in PostgreSQL: usage per hour, intake bytes, the heartbeat; and that a
 * repeat, a restart and a store that was away leave them right.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { traceRequest, type TestSpan } from "../testing/otlp.ts";
import { eventually, startIngest } from "../testing/start-ingest.ts";

interface UsageRow {
  spans: number;
  input_tokens: number;
  output_tokens: number;
}

async function usage(stores: Stores): Promise<UsageRow | undefined> {
  const [row] = await stores.sql<UsageRow[]>`
    SELECT sum(spans)::int AS spans, sum(input_tokens)::int AS input_tokens,
           sum(output_tokens)::int AS output_tokens
    FROM usage_hourly WHERE tenant_id = 'default'`;
  return row;
}

const call = (traceId: Uint8Array, more: TestSpan["attributes"] = {}): TestSpan => ({
  traceId,
  spanId: randomBytes(8),
  startMs: Date.now(),
  attributes: {
    "gen_ai.request.model": "llama",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
    ...more,
  },
});

test("usage counts a span once however often it is sent, and a call's tokens once", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const shared = randomBytes(16);
  const spans = [
    call(randomBytes(16)),
    call(randomBytes(16)),
    // A client and the engine under it tell of one call; the agent around them repeats it.
    call(shared, { "gen_ai.operation.name": "chat" }),
    call(shared, { "gen_ai.latency.time_to_first_token": 1, "gen_ai.request.id": "r" }),
    call(shared, { "gen_ai.operation.name": "invoke_agent" }),
  ];
  for (const some of [spans, spans.slice(1), spans.slice(0, 2)]) {
    assert.equal((await running.post("/v1/traces", traceRequest(some, "vllm"))).status, 200);
  }
  const row = await eventually(async () => {
    const found = await usage(stores);
    return found !== undefined && found.spans > 0 ? found : undefined;
  });
  assert.equal(row.spans, 5);
  assert.deepEqual([row.input_tokens, row.output_tokens], [300, 30]);
  const [intake] = await stores.sql<{ bytes: number }[]>`
    SELECT sum(bytes)::int AS bytes FROM intake_hourly`;
  assert.ok(intake !== undefined);
});

test("a stop settles usage and intake, and a start finds what a killed process left", async () => {
  await using stores = await useStores();
  const first = await startIngest(stores);
  const body = traceRequest([call(randomBytes(16)), call(randomBytes(16))]);
  assert.equal((await first.post("/v1/traces", body)).status, 200);
  await first[Symbol.asyncDispose]();
  assert.equal((await usage(stores))?.spans, 2);
  const [intake] = await stores.sql<{ bytes: number }[]>`
    SELECT sum(bytes)::int AS bytes FROM intake_hourly`;
  assert.equal(intake?.bytes, body.length);
  // As if the process had been killed before it derived.
  await stores.sql`DELETE FROM usage_hourly`;
  await using second = await startIngest(stores);
  const row = await eventually(async () => {
    const found = await usage(stores);
    return found?.spans === 2 ? found : undefined;
  });
  assert.equal(row.input_tokens, 200);
  assert.ok(second.httpPort > 0);
});

test("the heartbeat tells rates, rejects by reason and the last span", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const good = call(randomBytes(16));
  const bad = { ...call(randomBytes(16)), traceId: Buffer.alloc(16) };
  const answer = await running.post("/v1/traces", traceRequest([good, bad]));
  assert.equal(answer.status, 200);
  assert.match(Buffer.from(await answer.arrayBuffer()).toString("latin1"), /1 spans were not kept/);
  await running.post("/v1/traces", Buffer.from([0xff]));
  const status = await eventually(async () => {
    const [row] = await stores.sql<{ status: Record<string, unknown> }[]>`
      SELECT status FROM component_status WHERE component = 'ingest' AND instance = 'test'`;
    return row?.status["accepted"] === 1 ? row.status : undefined;
  });
  assert.deepEqual(status["rejects"], { invalid_trace_id: 1, malformed: 1 });
  assert.ok(typeof status["lastSpanAt"] === "string");
  assert.ok(typeof status["spansPerSecond"] === "number");
  assert.deepEqual(status["errors"], []);
});
