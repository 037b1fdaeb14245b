/**
 * Many connections, dead ones and greedy ones: ten thousand that say nothing, one whose peer is gone
 * without a word, one tenant that takes all the memory it can get.
 */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { generateKey } from "@axonize/core/runtime/access";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { useStores } from "../../test/support/stores.ts";
import * as limits from "../limits.ts";
import { someSpans, traceRequest } from "../testing/otlp.ts";
import { eventually, grpcClient, startIngest, type TestIngest } from "../testing/start-ingest.ts";
import { connectionLimit } from "./listen.ts";

async function honest(running: TestIngest): Promise<void> {
  const answer = await running.post("/v1/traces", traceRequest(someSpans(3)));
  assert.equal(answer.status, 200, "an honest sender over HTTP is served");
  const grpc = grpcClient(running.grpcPort);
  const { code, message } = await grpc.export("trace.v1.TraceService", traceRequest(someSpans(2)));
  grpc.client.close();
  assert.equal(code, 0, message);
}

test("ten thousand idle connections disturb nobody", async () => {
  const perPort = 5_000;
  assert.ok(
    connectionLimit() > perPort + 100,
    "this test needs 11,000 open files a process: raise the limit (ulimit -n 16384)",
  );
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const before = process.memoryUsage().rss;
  // In processes of their own: each end of a connection is an open file.
  const idlers = [running.grpcPort, running.httpPort].map((port) =>
    fork(new URL("../testing/idle-connections.ts", import.meta.url), [
      String(port),
      String(perPort),
    ]),
  );
  const opened = await Promise.all(
    idlers.map(async (child) => Number((await once(child, "message"))[0])),
  );
  assert.deepEqual(opened, [perPort, perPort]);
  await honest(running);
  const grownMb = (process.memoryUsage().rss - before) / 1024 / 1024;
  assert.ok(grownMb < 400, `10,000 connections took ${Math.round(grownMb)} MB`);
  await Promise.all(idlers.map(async (child) => await ended(child)));
});

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}

test("a gRPC connection whose peer no longer answers is closed", async () => {
  await using stores = await useStores();
  let skewMs = 0;
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms, signal) => await systemClock.sleep(ms === limits.sweepMs ? 20 : ms, signal),
    monotonic: () => systemClock.monotonic() + skewMs,
  };
  await using running = await startIngest(stores, { clock });
  // An HTTP/2 peer that answers pings, to show that those are kept …
  const alive = connectHttp2(`http://127.0.0.1:${running.grpcPort}`);
  await once(alive, "remoteSettings"); // sent when the server has the session
  // … and one that sends its preface and empty settings, and then nothing more, whatever is asked.
  const dead = connect(running.grpcPort, "127.0.0.1");
  dead.write(
    Buffer.concat([
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    ]),
  );
  dead.on("error", () => undefined); // a reset is one way to be closed
  await once(dead, "data"); // the server's settings
  const closed = once(dead, "close");
  dead.resume();
  const halfOpen = async (): Promise<number> =>
    Number(
      /closed_connections_total\{transport="grpc",reason="half-open"\} (\d+)/.exec(
        await running.registry.metrics(),
      )?.[1] ?? 0,
    );
  skewMs = limits.pingMs + 1;
  let pinged = 0;
  alive.on("ping", () => (pinged += 1));
  await eventually(() => (pinged > 0 ? true : undefined));
  // Frames keep their order: when this comes back, the server has seen the answer to its own ping.
  await new Promise((resolve) => alive.ping(resolve));
  assert.equal(await halfOpen(), 0, "not before it had as long to answer");
  skewMs = 2 * limits.pingMs + 2;
  await closed;
  assert.equal(await halfOpen(), 1);
  assert.equal(alive.closed || alive.destroyed, false, "who answers stays");
  alive.destroy();
  await honest(running);
});

test("a tenant beyond its share is told to wait, and another is served meanwhile", async () => {
  await using stores = await useStores();
  const greedy = await tenantWithKey(stores.sql, "greedy");
  const modest = await tenantWithKey(stores.sql, "modest");
  await using running = await startIngest(stores, { memoryBytes: 8 * 1024 * 1024 });
  await running.access.refresh();
  // Bodies that announce themselves and do not come: each holds its room while it is read.
  const held = Array.from({ length: 2 }, () => halfBody(running.httpPort, greedy, 2 * 1024 * 1024));
  await eventually(async () =>
    Number(/ingest_held_bytes (\d+)/.exec(await running.registry.metrics())?.[1] ?? 0) >=
    4 * 1024 * 1024
      ? true
      : undefined,
  );
  const body = traceRequest(someSpans(2));
  const refusal = await running.post("/v1/traces", body, { "x-axonize-key": greedy });
  assert.equal(refusal.status, 429);
  assert.ok(Number(refusal.headers.get("retry-after")) >= 1);
  assert.match(Buffer.from(await refusal.arrayBuffer()).toString(), /share/);
  const served = await running.post("/v1/traces", body, { "x-axonize-key": modest });
  assert.equal(served.status, 200);
  for (const request of held) request.destroy();
});

test("bodies that begin small and grow stop at their tenant's share", async () => {
  await using stores = await useStores();
  const greedy = await tenantWithKey(stores.sql, "greedy-later");
  const modest = await tenantWithKey(stores.sql, "modest-later");
  await using running = await startIngest(stores, { memoryBytes: 8 * 1024 * 1024 });
  await running.access.refresh();
  // No length is declared, so each is let in with a guess; all of them then send more.
  const growing = Array.from({ length: 4 }, () => halfBody(running.httpPort, greedy));
  const statuses = growing.map(async (sent) => {
    sent.write(Buffer.alloc(1_800_000));
    // The one argument of `response` is the answer.
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return answer.statusCode;
  });
  assert.equal(await Promise.race(statuses), 429, "one that would go beyond the share");
  const body = traceRequest(someSpans(2));
  const served = await running.post("/v1/traces", body, { "x-axonize-key": modest });
  assert.equal(served.status, 200);
  for (const sent of growing) sent.destroy();
});

async function tenantWithKey(
  sql: Awaited<ReturnType<typeof useStores>>["sql"],
  id: string,
): Promise<string> {
  const { id: keyId, key, secretSha256 } = generateKey();
  await sql`INSERT INTO tenants (id, name) VALUES (${id}, ${id})`;
  await sql`INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes) VALUES (${keyId}, ${id}, ${secretSha256}, ${["Ingest"]})`;
  return key;
}

/** A request that sends the first byte of the body that it announces. */
/** A body that began; it is sent in chunks where no length is given. */
function halfBody(port: number, key: string, length?: number) {
  const sending = request({
    port,
    host: "127.0.0.1",
    path: "/v1/traces",
    method: "POST",
    headers: {
      "content-type": "application/x-protobuf",
      ...(length === undefined ? {} : { "content-length": length }),
      "x-axonize-key": key,
    },
  });
  sending.on("error", () => undefined); // destroyed at the test's end
  sending.write(Buffer.from([0]));
  return sending;
}
