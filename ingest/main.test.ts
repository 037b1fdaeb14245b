/**
 * Ingest as a process of its own: it starts over named stores, tells its health and metrics, demands
 * keys, and leaves with code 0 when asked to.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { useStores } from "../test/support/stores.ts";
import { someSpans, traceRequest } from "./testing/otlp.ts";
import { eventually } from "./testing/start-ingest.ts";

const main = join(import.meta.dirname, "main.ts");

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

test("the process starts, is ready, demands a key and stops with code 0", async () => {
  await using stores = await useStores();
  const [grpc, http, ops] = await Promise.all([freePort(), freePort(), freePort()]);
  const child = spawn(process.execPath, [main], {
    env: {
      AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
      AXONIZE_POSTGRES_URL: stores.postgresUrl,
      AXONIZE_OTLP_GRPC_LISTEN: `127.0.0.1:${grpc}`,
      AXONIZE_OTLP_HTTP_LISTEN: `127.0.0.1:${http}`,
      AXONIZE_INGEST_OPS_LISTEN: `127.0.0.1:${ops}`,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const exited = once(child, "exit");
  try {
    const get = async (path: string): Promise<Response | undefined> => {
      assert.equal(child.exitCode, null, output);
      return await fetch(`http://127.0.0.1:${ops}${path}`).catch(() => undefined); // not yet
    };
    await eventually(
      async () => ((await get("/readyz"))?.status === 200 ? true : undefined),
      30_000,
    );
    assert.match((await (await get("/metrics"))?.text()) ?? "", /axonize_ingest_store_up 1/);
    const answer = await fetch(`http://127.0.0.1:${http}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: new Uint8Array(traceRequest(someSpans(1))),
    });
    assert.equal(answer.status, 401);
  } finally {
    child.kill("SIGTERM");
  }
  assert.deepEqual(await exited, [0, null], output);
});

test("a configuration that is not valid is one paragraph and code 2", async () => {
  const child = spawn(process.execPath, [main], { env: {} });
  let output = "";
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  assert.deepEqual(await once(child, "close"), [2, null]);
  assert.match(output, /AXONIZE_CLICKHOUSE_URL/);
  assert.doesNotMatch(output, /\n {4}at /);
});
