/**
 * The promise of ingest against the real stores: acknowledged means ClickHouse has it, a repeat
 * changes nothing, a store that is away means "try again" and no loss, a stop finishes what began.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { createClickHouse, type ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { useStores } from "../../test/support/stores.ts";
import { someSpans, traceRequest } from "../testing/otlp.ts";
import { eventually, grpcClient, startIngest } from "../testing/start-ingest.ts";
import { startTcpProxy } from "../testing/tcp-proxy.ts";

const traceService = "trace.v1.TraceService";

async function countSpans(clickhouse: ClickHouseClient): Promise<number> {
  const answer = await clickhouse.query({
    query: "SELECT count() AS n FROM spans FINAL",
    format: "JSONEachRow",
  });
  return Number((await answer.json<{ n: number | string }>())[0]?.n);
}

/** The stores, with ClickHouse behind a proxy that the test holds in its hand. */
async function proxied(stores: { clickhouseUrl: string }) {
  const url = new URL(stores.clickhouseUrl);
  const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  const through = new URL(url);
  through.port = String(proxy.port);
  const clickhouse = createClickHouse({ url: through.href, application: "test" });
  return { ...proxy, clickhouse };
}

test("what is acknowledged is in ClickHouse at that moment, by every transport", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const body = traceRequest(someSpans(10));
  const http = await running.post("/v1/traces", body);
  assert.equal(http.status, 200);
  assert.equal((await http.arrayBuffer()).byteLength, 0, "partial_success is unset");
  assert.equal(await countSpans(stores.clickhouse), 10);

  const zipped = await running.post("/v1/traces", gzipSync(traceRequest(someSpans(20))), {
    "content-encoding": "gzip",
  });
  assert.equal(zipped.status, 200);
  assert.equal(await countSpans(stores.clickhouse), 30);

  const grpc = grpcClient(running.grpcPort);
  for (const gzip of [false, true]) {
    const answer = await grpc.export(traceService, traceRequest(someSpans(5)), { gzip });
    assert.deepEqual([answer.code, answer.body?.length], [0, 0], answer.message);
  }
  assert.equal(await countSpans(stores.clickhouse), 40);
  grpc.client.close();
});

test("the same spans sent again, alone or regrouped, change no count", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const traceId = randomBytes(16);
  const startMs = Date.now();
  const spans = Array.from({ length: 30 }, () => ({ traceId, spanId: randomBytes(8), startMs }));
  const whole = traceRequest(spans);
  for (let round = 0; round < 3; round += 1) {
    assert.equal((await running.post("/v1/traces", whole)).status, 200);
  }
  assert.equal((await running.post("/v1/traces", traceRequest(spans.slice(0, 7)))).status, 200);
  assert.equal((await running.post("/v1/traces", traceRequest(spans.slice(5)))).status, 200);
  assert.equal(await countSpans(stores.clickhouse), 30);
  assert.match(await running.registry.metrics(), /axonize_ingest_repeated_requests_total 2/);
});

test("a repeat that comes while the first is pending gets the first one's outcome", async () => {
  await using stores = await useStores();
  await using proxy = await proxied(stores);
  await using running = await startIngest({ ...stores, clickhouse: proxy.clickhouse });
  proxy.freeze();
  const body = traceRequest(someSpans(3));
  const both = [running.post("/v1/traces", body), running.post("/v1/traces", body)];
  await eventually(async () =>
    /repeated_requests_total 1/.test(await running.registry.metrics()) ? true : undefined,
  );
  proxy.mend();
  assert.deepEqual(
    (await Promise.all(both)).map((answer) => answer.status),
    [200, 200],
  );
  assert.equal(await countSpans(stores.clickhouse), 3);
});

test("with the store cut off, senders are told to come back, and nothing is lost", async () => {
  await using stores = await useStores();
  await using proxy = await proxied(stores);
  await using running = await startIngest({ ...stores, clickhouse: proxy.clickhouse });
  const grpc = grpcClient(running.grpcPort);
  proxy.cut();
  const body = traceRequest(someSpans(8));
  // The first one waits for the retry budget, below the client's 10 s; later ones are told at once.
  const first = await grpc.export(traceService, body);
  assert.equal(first.code, 14, first.message);
  assert.match(first.details?.toString("latin1") ?? "", /google\.rpc\.RetryInfo/);
  const began = performance.now();
  const second = await running.post("/v1/traces", body);
  assert.equal(second.status, 503);
  assert.ok(Number(second.headers.get("retry-after")) >= 1);
  assert.ok(performance.now() - began < 1_000, "refused at the door");
  proxy.mend();
  await eventually(async () => {
    const again = await grpc.export(traceService, body);
    return again.code === 0 ? true : undefined;
  });
  assert.equal(await countSpans(stores.clickhouse), 8);
  grpc.client.close();
});

test("an insert whose answer is lost is repeated without a second row", async () => {
  await using stores = await useStores();
  await using proxy = await proxied(stores);
  await using running = await startIngest({ ...stores, clickhouse: proxy.clickhouse });
  proxy.freeze();
  const answer = running.post("/v1/traces", traceRequest(someSpans(4)));
  await eventually(async () =>
    /ingest_group_rows_count 1/.test(await running.registry.metrics()) ? true : undefined,
  );
  proxy.mend(); // breaks the connection that the insert hangs on
  assert.equal((await answer).status, 200);
  const raw = await stores.clickhouse.query({
    query: "SELECT count() AS n FROM spans",
    format: "JSONEachRow",
  });
  assert.equal(Number((await raw.json<{ n: number }>())[0]?.n), 4);
});

test("a stop finishes what is in flight and takes nothing new", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const grpc = grpcClient(running.grpcPort);
  const requests = Promise.allSettled(
    Array.from({ length: 20 }, async (_, index) =>
      index % 2 === 0
        ? (await running.post("/v1/traces", traceRequest(someSpans(50)))).status
        : (await grpc.export(traceService, traceRequest(someSpans(50)))).code,
    ),
  );
  await eventually(async () =>
    Number(/ingest_group_rows_count (\d+)/.exec(await running.registry.metrics())?.[1]) > 0
      ? true
      : undefined,
  );
  await running.ingest[Symbol.asyncDispose]();
  const outcomes = await requests;
  const acknowledged = outcomes.filter(
    (outcome) => outcome.status === "fulfilled" && (outcome.value === 200 || outcome.value === 0),
  ).length;
  assert.ok(acknowledged > 0);
  assert.equal(await countSpans(stores.clickhouse), acknowledged * 50);
  await assert.rejects(running.post("/v1/traces", traceRequest(someSpans(1))));
  grpc.client.close();
});
