/**
 * A rolling update, from the senders' side: the process that goes says so to everyone, answers what it
 * has, and loses nothing that it acknowledged.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { useStores } from "../test/support/stores.ts";
import { startIngestProcess } from "./testing/ingest-process.ts";
import { traceRequest } from "./testing/otlp.ts";
import { adminKey, eventually, grpcClient } from "./testing/start-ingest.ts";

const headers = { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "rolling" };

/** One keep-alive connection, as exporters have it; the answer's status and `connection` header. */
async function post(agent: Agent, port: number, body: Buffer) {
  const request = httpRequest({
    agent,
    port,
    host: "127.0.0.1",
    method: "POST",
    path: "/v1/traces",
    headers: { "content-type": "application/x-protobuf", ...headers },
  });
  request.end(body);
  // The one argument of `response` is the answer.
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  answer.resume();
  await once(answer, "end");
  return { status: answer.statusCode, connection: answer.headers.connection };
}

test("SIGTERM under load: not ready at once, senders are told to go, all that was acknowledged is stored", async () => {
  await using stores = await useStores();
  await stores.sql`INSERT INTO tenants (id, name) VALUES ('rolling', 'rolling')`;
  await using ingest = await startIngestProcess({
    AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
    AXONIZE_POSTGRES_URL: stores.postgresUrl,
    AXONIZE_ADMIN_KEY: adminKey,
  });
  await ingest.ready();

  const acknowledged: string[] = [];
  const spansOf = (): { body: Buffer; ids: string[] } => {
    const spans = Array.from({ length: 5 }, () => ({ spanId: randomBytes(8) }));
    return {
      body: traceRequest(spans),
      ids: spans.map(({ spanId }) => spanId.toString("hex")),
    };
  };
  const over = new AbortController();
  let closes = 0;
  const sendHttp = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!over.signal.aborted) {
      const { body, ids } = spansOf();
      try {
        const answer = await post(agent, ingest.http, body);
        if (answer.status === 200) acknowledged.push(...ids);
        if (answer.connection === "close") closes += 1;
      } catch {
        over.abort(); // it listens no more: a real sender would reach another process
      }
    }
    agent.destroy();
  };
  const grpc = grpcClient(ingest.grpc);
  const sendGrpc = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const { body, ids } = spansOf();
      const answer = await grpc.export("trace.v1.TraceService", body, { metadata: headers });
      if (answer.code === 0) acknowledged.push(...ids);
    }
  };
  const watcher = connectHttp2(`http://127.0.0.1:${ingest.grpc}`);
  await once(watcher, "connect");
  const goAway = once(watcher, "goaway");
  const idle = new Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await post(idle, ingest.http, spansOf().body)).status, 200);

  const load = [sendHttp(), sendHttp(), sendGrpc(), sendGrpc()];
  await eventually(() => (acknowledged.length > 200 ? true : undefined), 60_000);
  const before = acknowledged.length;
  ingest.kill("SIGTERM");
  await eventually(async () => ((await ingest.status("/readyz")) === 503 ? true : undefined));
  assert.equal(await ingest.status("/healthz"), 200, "it is not ready, but well");
  const [code] = await goAway;
  assert.equal(code, 0, "GOAWAY with NO_ERROR");
  const last = await post(idle, ingest.http, spansOf().body);
  assert.deepEqual(last, { status: 200, connection: "close" });

  assert.deepEqual(await ingest.exited, [0, null], ingest.output());
  over.abort();
  grpc.client.close();
  watcher.destroy();
  await Promise.all(load);
  assert.ok(acknowledged.length > before, "what came while it stopped was answered");
  assert.ok(closes > 0, "nobody on HTTP was told to go");

  const found = await stores.clickhouse.query({
    query: "SELECT DISTINCT lower(hex(span_id)) AS id FROM spans",
    format: "JSONEachRow",
  });
  const stored = new Set((await found.json<{ id: string }>()).map(({ id }) => id));
  const lost = acknowledged.filter((id) => !stored.has(id));
  assert.deepEqual(
    lost,
    [],
    `${lost.length} of ${acknowledged.length} acknowledged spans are lost`,
  );
});
