/**
 * What senders are told, by both transports: every refusal of the OTLP specification, its body in
 * the request's content type, its retry hint where a retry makes sense, CORS, keys, revocation.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { generateKey } from "@axonize/core/runtime/access";
import type { Sql } from "@axonize/core/runtime/postgres";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { someSpans, traceRequest } from "../testing/otlp.ts";
import {
  adminKey,
  eventually,
  grpcClient,
  startIngest,
  type TestIngest,
} from "../testing/start-ingest.ts";

let stores: Stores;
let running: TestIngest;
let grpc: ReturnType<typeof grpcClient>;
const traces = "trace.v1.TraceService";

before(async () => {
  stores = await useStores();
  running = await startIngest(stores);
  grpc = grpcClient(running.grpcPort);
});
after(async () => {
  grpc.client.close();
  await running[Symbol.asyncDispose]();
});

async function addKey(
  sql: Sql,
  scopes: string[],
  tenant = "team",
): Promise<{ key: string; id: string }> {
  await sql`INSERT INTO tenants (id, name) VALUES (${tenant}, ${tenant}) ON CONFLICT DO NOTHING`;
  const made = generateKey();
  await sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes)
    VALUES (${made.id}, ${tenant}, ${made.secretSha256}, ${scopes})`;
  await running.access.refresh();
  return made;
}

test("HTTP refusals carry a Status in the request's content type", async () => {
  const body = traceRequest(someSpans(1));
  const cases: [
    string,
    { path?: string; method?: string; body?: Uint8Array; headers?: Record<string, string> },
    number,
  ][] = [
    ["unknown path", { path: "/v2/traces" }, 404],
    ["logs", { path: "/v1/logs" }, 404],
    ["GET", { method: "GET" }, 405],
    ["text", { headers: { "content-type": "text/plain" } }, 415],
    ["brotli", { headers: { "content-encoding": "br" } }, 415],
    ["not gzip", { headers: { "content-encoding": "gzip" } }, 400],
    ["truncated", { body: body.subarray(0, body.length - 3) }, 400],
    ["bad key", { headers: { authorization: "Bearer axk_bad" } }, 401],
  ];
  for (const [name, init, status] of cases) {
    const answer = await fetch(`http://127.0.0.1:${running.httpPort}${init.path ?? "/v1/traces"}`, {
      method: init.method ?? "POST",
      ...(init.method === "GET" ? {} : { body: new Uint8Array(init.body ?? body) }),
      headers: { "content-type": "application/x-protobuf", ...init.headers },
    });
    assert.equal(answer.status, status, name);
    const bytes = Buffer.from(await answer.arrayBuffer());
    if (name === "text") {
      assert.match(answer.headers.get("content-type") ?? "", /json/);
      continue;
    }
    assert.equal(answer.headers.get("content-type"), "application/x-protobuf", name);
    assert.equal(bytes[0], 0x08, `${name}: google.rpc.Status begins with its code`);
    assert.ok(bytes.length > 20, `${name}: has a sentence`);
    assert.equal(answer.headers.get("retry-after"), null, name);
  }
  const json = await running.post("/v1/traces", "{", { "content-type": "application/json" });
  const status: unknown = await json.json();
  assert.ok(typeof status === "object" && status !== null && "code" in status);
  assert.equal(status.code, 3);
});

test("a body over the limit gets 413 and RESOURCE_EXHAUSTED without a retry hint", async () => {
  const zeros = gzipSync(Buffer.alloc(65 * 1024 * 1024));
  const http = await running.post("/v1/traces", zeros, { "content-encoding": "gzip" });
  assert.equal(http.status, 413);
  assert.equal(http.headers.get("retry-after"), null);
  const viaGrpc = await grpc.export(traces, Buffer.alloc(65 * 1024 * 1024), { gzip: true });
  assert.equal(viaGrpc.code, 8);
  assert.doesNotMatch(viaGrpc.details?.toString("latin1") ?? "", /RetryInfo/);
  const plain = await running.post("/v1/traces", Buffer.alloc(65 * 1024 * 1024));
  assert.equal(plain.status, 413);
});

test("JSON has a lower limit, which the answer names, before and after decompression", async () => {
  const spaces = Buffer.alloc(9 * 1024 * 1024, " ");
  const json = { "content-type": "application/json" };
  const plain = await running.post("/v1/traces", spaces, json);
  const zipped = await running.post("/v1/traces", gzipSync(spaces), {
    ...json,
    "content-encoding": "gzip",
  });
  for (const answer of [plain, zipped]) {
    assert.equal(answer.status, 413);
    assert.match(await answer.text(), /JSON may have 8 MiB.*protobuf/);
  }
});

test("gRPC refusals have the specification's codes", async () => {
  const body = traceRequest(someSpans(1));
  const cut = await grpc.export(traces, body.subarray(0, body.length - 1));
  assert.equal(cut.code, 3, cut.message);
  const bad = await grpc.export(traces, body, { metadata: { authorization: "Bearer axk_no" } });
  assert.equal(bad.code, 16);
  const logs = await grpc.export("logs.v1.LogsService", body);
  assert.equal(logs.code, 12);
  assert.match(logs.message, /logs/);
  assert.equal((await grpc.export("profiles.v1.ProfilesService", body)).code, 12);
});

test("keys open the door by header and metadata, and only for what they may do", async () => {
  const body = traceRequest(someSpans(1));
  const send = await addKey(stores.sql, ["Ingest", "Query"]);
  const read = await addKey(stores.sql, ["Query"]);
  const http = async (headers: Record<string, string>): Promise<number> =>
    (await running.post("/v1/traces", traceRequest(someSpans(1)), headers)).status;
  assert.equal(await http({ authorization: `Bearer ${send.key}` }), 200);
  assert.equal(await http({ "x-axonize-key": send.key }), 200);
  assert.equal(await http({ "x-axonize-key": read.key }), 403);
  assert.equal(await http({ "x-axonize-key": adminKey }), 403, "admin without a tenant");
  assert.equal(await http({ "x-axonize-key": adminKey, "x-axonize-tenant": "team" }), 200);
  const over = async (metadata: Record<string, string>): Promise<number> =>
    (await grpc.export(traces, body, { metadata })).code;
  assert.equal(await over({ "x-axonize-key": send.key }), 0);
  assert.equal(await over({ authorization: `Bearer ${send.key}` }), 0);
  assert.equal(await over({ "x-axonize-key": read.key }), 7);
});

test("a revoked key is refused within five seconds", async () => {
  const { key, id } = await addKey(stores.sql, ["Ingest"]);
  const send = async (): Promise<number> =>
    (await running.post("/v1/traces", traceRequest(someSpans(1)), { "x-axonize-key": key })).status;
  assert.equal(await send(), 200);
  await stores.sql`UPDATE api_keys SET revoked_at = now() WHERE id = ${id}`;
  await eventually(async () => ((await send()) === 401 ? true : undefined), 5_000);
});

test("browsers get CORS, and pages from elsewhere do not write into the loopback tenant", async () => {
  const url = `http://127.0.0.1:${running.httpPort}/v1/traces`;
  const preflight = await fetch(url, {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type, x-axonize-key, x-custom",
    },
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /x-custom/);
  const from = async (origin: string, key?: string): Promise<Response> =>
    await running.post("/v1/traces", traceRequest(someSpans(1)), {
      origin,
      ...(key === undefined ? {} : { "x-axonize-key": key }),
    });
  assert.equal((await from("http://localhost:5173")).status, 200);
  const foreign = await from("https://evil.example");
  assert.equal(foreign.status, 401);
  assert.equal(foreign.headers.get("access-control-allow-origin"), "*");
  const { key } = await addKey(stores.sql, ["Ingest"]);
  assert.equal((await from("https://app.example", key)).status, 200);
});

test("a refused sender is answered before the body is read", async () => {
  const { request } = await import("node:http");
  const answer = await new Promise<number | undefined>((resolve, reject) => {
    const sending = request({
      port: running.httpPort,
      host: "127.0.0.1",
      path: "/v1/traces",
      method: "POST",
      headers: {
        "content-type": "application/x-protobuf",
        "content-length": 50_000_000,
        "x-axonize-key": "axk_wrong",
      },
    });
    sending.on("response", (response) => {
      resolve(response.statusCode);
      sending.destroy();
    });
    sending.on("error", reject);
    sending.write(Buffer.alloc(1000)); // the rest never comes
  });
  assert.equal(answer, 401);
});

test("a tenant over its spans per second is told when to come back, others are not touched", async () => {
  await stores.sql`INSERT INTO tenants (id, name, spans_per_second) VALUES ('slow', 'slow', 10)`;
  const { key } = await addKey(stores.sql, ["Ingest"], "slow");
  const send = async (count: number): Promise<Response> =>
    await running.post("/v1/traces", traceRequest(someSpans(count)), { "x-axonize-key": key });
  assert.equal((await send(500)).status, 200, "the request that crosses the limit is kept whole");
  const over = await send(1);
  assert.equal(over.status, 429);
  assert.ok(Number(over.headers.get("retry-after")) >= 10);
  const viaGrpc = await grpc.export(traces, traceRequest(someSpans(1)), {
    metadata: { "x-axonize-key": key },
  });
  assert.equal(viaGrpc.code, 8);
  assert.match(viaGrpc.details?.toString("latin1") ?? "", /google\.rpc\.RetryInfo/);
  assert.equal((await running.post("/v1/traces", traceRequest(someSpans(1)))).status, 200);
});

test("a tenant over its bytes per day is refused until midnight, across restarts", async () => {
  await stores.sql`INSERT INTO tenants (id, name, bytes_per_day) VALUES ('small', 'small', 1000)`;
  const { key } = await addKey(stores.sql, ["Ingest"], "small");
  const send = async (to: TestIngest): Promise<number> =>
    (await to.post("/v1/traces", traceRequest(someSpans(20)), { "x-axonize-key": key })).status;
  assert.equal(await send(running), 200);
  assert.equal(await send(running), 429);
  await eventually(async () => {
    const rows = await stores.sql`SELECT bytes FROM intake_hourly WHERE tenant_id = 'small'`;
    return rows.length > 0 ? true : undefined;
  });
  await using second = await startIngest(stores);
  assert.equal(await send(second), 429);
});
