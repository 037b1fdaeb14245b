/**
 * What a tenant's custom resource says, as its senders see it: suspended, read-only, deleted, sampled,
 * warned; on two processes within five seconds; and a key that was never filled in.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { generateKey } from "@axonize/core/runtime/access";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { someSpans, traceRequest } from "../testing/otlp.ts";
import { eventually, grpcClient, startIngest, type TestIngest } from "../testing/start-ingest.ts";

let stores: Stores;
let one: TestIngest;
let two: TestIngest;
const traces = "trace.v1.TraceService";

before(async () => {
  stores = await useStores();
  [one, two] = await Promise.all([startIngest(stores), startIngest(stores)]);
});
after(async () => {
  await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()]);
});

async function addTenant(id: string, columns: Record<string, string | number> = {}) {
  await stores.sql`INSERT INTO tenants ${stores.sql.row({ id, name: id, ...columns })}`;
  const made = generateKey();
  await stores.sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes)
    VALUES (${made.id}, ${id}, ${made.secretSha256}, ${["Ingest"]})`;
  await Promise.all([one.access.refresh(), two.access.refresh()]);
  const send = async (to: TestIngest, spans = someSpans(1)): Promise<Response> =>
    await to.post("/v1/traces", traceRequest(spans), { "x-axonize-key": made.key });
  const set = async (values: Record<string, string | number>): Promise<void> => {
    await stores.sql`UPDATE tenants SET ${stores.sql.set(values)} WHERE id = ${id}`;
  };
  return { key: made.key, send, set };
}

test("suspended, read-only and deleted tenants are refused everywhere within five seconds", async () => {
  const { send, set } = await addTenant("states");
  const all = async (status: number): Promise<Response> =>
    await eventually(async () => {
      const answers = await Promise.all([send(one), send(two)]);
      return answers.every((answer) => answer.status === status) ? answers[0] : undefined;
    }, 5_000);
  await all(200);
  await set({ admin_state: "Suspended" });
  const suspended = await all(403);
  assert.match(await suspended.text(), /suspended/);
  assert.equal(suspended.headers.get("retry-after"), null, "coming back does not help");
  await set({ admin_state: "ReadOnly" });
  const readOnly = await all(429);
  assert.ok(Number(readOnly.headers.get("retry-after")) >= 60);
  await set({ admin_state: "Active" });
  await all(200);
  await set({ lifecycle: "terminating" });
  assert.match(await (await all(403)).text(), /deleted/);
});

test("a tenant's own sampling keeps whole traces, the same in every process, and is no rejection", async () => {
  const { send } = await addTenant("sampled", { traces_per_million: 300_000 });
  const all = Array.from({ length: 200 }, () => someSpans(2));
  for (const to of [one, two]) {
    // Every other span of a trace here, the rest there.
    const spans = all.map((trace, i) => trace[to === one ? 0 : 1] ?? assert.fail(`trace ${i}`));
    const answer = await send(to, spans);
    assert.equal(answer.status, 200);
    assert.equal((await answer.arrayBuffer()).byteLength, 0, "nothing to complain about");
  }
  const answer = await stores.clickhouse.query({
    query: `SELECT count() AS n, sum(s = 2) AS whole FROM (
      SELECT count() AS s FROM spans WHERE tenant_id =
        {num:UInt32} GROUP BY trace_id)`,
    query_params: { num: await numOf("sampled") },
    format: "JSONEachRow",
  });
  const [row] = await answer.json<{ n: string; whole: string }>();
  assert.equal(row?.n, row?.whole);
  // 60 expected, σ = 6.5.
  assert.ok(Number(row?.n) > 25 && Number(row?.n) < 100, `${row?.n} of 200`);
});

const numOf = async (id: string): Promise<number> => {
  const [row] = await stores.sql<{ num: number }[]>`SELECT num FROM tenants WHERE id = ${id}`;
  return row?.num ?? assert.fail(id);
};

test("over its rate a tenant is sampled: told to the sender, counted for the operator", async () => {
  const { send } = await addTenant("busy", { spans_per_second: 50, on_exceeded: "Sample" });
  const noisy = (): ReturnType<typeof someSpans> =>
    Array.from({ length: 400 }, () => ({ traceId: randomBytes(16), name: "x" }));
  const told = await eventually(async () => {
    const answer = await send(one, noisy());
    assert.equal(answer.status, 200, "sampling never refuses");
    const text = await answer.text();
    return /over its limit/.test(text) ? text : undefined;
  });
  assert.match(told, /spans were not kept/);
  const row = await eventually(async () => {
    const [found] = await stores.sql<{ quota: string; sampled_spans: number }[]>`
      SELECT quota, sampled_spans FROM quota_exceeded WHERE tenant_id = 'busy'`;
    return found;
  });
  assert.equal(row.quota, "SpansPerSecond");
  assert.ok(row.sampled_spans > 0);
  const metrics = await one.registry.metrics();
  assert.match(
    metrics,
    /axonize_ingest_quota_exceeded_total\{quota="SpansPerSecond",action="sample"\} [1-9]/,
  );
});

test("with a warning everything is kept and counted", async () => {
  const { send } = await addTenant("warned", { spans_per_second: 10, on_exceeded: "Warn" });
  for (let i = 0; i < 3; i += 1) assert.equal((await send(one, someSpans(100))).status, 200);
  const row = await eventually(async () => {
    const [found] = await stores.sql<{ excess_spans: number }[]>`
      SELECT excess_spans FROM quota_exceeded WHERE tenant_id = 'warned'`;
    return found;
  });
  assert.ok(row.excess_spans > 200 && row.excess_spans <= 300, String(row.excess_spans));
});

test("payloads live as long as the tenant says, spans longer", async () => {
  const { send } = await addTenant("short", { retention_days: 90, payload_days: 5 });
  assert.equal((await send(one)).status, 200);
  const num = await numOf("short");
  const classOf = async (table: string): Promise<unknown> => {
    const answer = await stores.clickhouse.query({
      query: `SELECT DISTINCT retention FROM ${table} WHERE tenant_id = ${num}`,
      format: "JSONEachRow",
    });
    return (await answer.json<{ retention: number }>())[0]?.retention;
  };
  assert.equal(await classOf("spans"), 90);
  assert.equal(await classOf("span_payloads"), 7);
});

test("a variable that was never filled in has a refusal of its own", async () => {
  const key = "$(AXONIZE_API_KEY)";
  const http = await one.post("/v1/traces", traceRequest(someSpans(1)), { "x-axonize-key": key });
  assert.equal(http.status, 401);
  assert.equal(http.headers.get("www-authenticate"), "Bearer");
  assert.match(await http.text(), /KEY_NOT_INJECTED/);
  const json = await one.post("/v1/traces", "{}", {
    "content-type": "application/json",
    authorization: `Bearer ${key}`,
  });
  const body: unknown = await json.json();
  assert.match(JSON.stringify(body), /Restart the pod.*"reason":"KEY_NOT_INJECTED"/);
  const grpc = grpcClient(one.grpcPort);
  const answer = await grpc.export(traces, traceRequest(someSpans(1)), {
    metadata: { "x-axonize-key": key },
  });
  grpc.client.close();
  assert.equal(answer.code, 16);
  assert.match(
    answer.details?.toString("latin1") ?? "",
    /google\.rpc\.ErrorInfo.*KEY_NOT_INJECTED/s,
  );
  const wrong = await one.post("/v1/traces", traceRequest(someSpans(1)), { "x-axonize-key": "$x" });
  assert.doesNotMatch(await wrong.text(), /KEY_NOT_INJECTED/);
});
