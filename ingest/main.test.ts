/**
 * Ingest as a process of its own: it starts over named stores, tells its health and metrics, demands
 * keys, waits for stores that are not there yet, shares them with other versions of itself, and leaves
 * with code 0 when asked to.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import { silentLog } from "@axonize/core/runtime/log";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { useStores } from "../test/support/stores.ts";
import { freePort, startIngestProcess } from "./testing/ingest-process.ts";
import { someSpans, traceRequest } from "./testing/otlp.ts";
import { adminKey, eventually } from "./testing/start-ingest.ts";

const main = join(import.meta.dirname, "main.ts");
const migrations = join(import.meta.dirname, "../migrations");

const send = async (port: number, headers: Readonly<Record<string, string>> = {}) =>
  await fetch(`http://127.0.0.1:${port}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/x-protobuf", ...headers },
    body: new Uint8Array(traceRequest(someSpans(1))),
  });

test("the process starts, is ready, demands a key and stops with code 0", async () => {
  await using stores = await useStores();
  await using ingest = await startIngestProcess({
    AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
    AXONIZE_POSTGRES_URL: stores.postgresUrl,
  });
  await ingest.ready();
  const metrics = await (await fetch(`http://127.0.0.1:${ingest.ops}/metrics`)).text();
  assert.match(metrics, /axonize_ingest_store_up 1/);
  assert.match(metrics, /axonize_ingest_budget_bytes [1-9]/);
  assert.match(metrics, /axonize_ingest_oldest_unacked_seconds 0/);
  assert.equal((await send(ingest.http)).status, 401);
  ingest.kill("SIGTERM");
  assert.deepEqual(await ingest.exited, [0, null], ingest.output());
});

test("several processes and a newer version of them make and share one pair of empty stores", async () => {
  await using stores = await useStores();
  const name = new URL(stores.postgresUrl).pathname.slice(1);
  const fresh = `${name}_fresh`;
  await stores.sql.unsafe(`CREATE DATABASE ${fresh}`);
  const env = {
    AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl.replace(/\/[^/]*$/, `/${fresh}`),
    AXONIZE_POSTGRES_URL: stores.postgresUrl.replace(/\/[^/]*$/, `/${fresh}`),
    AXONIZE_ADMIN_KEY: adminKey,
  };
  const sql = createPostgres({
    url: env.AXONIZE_POSTGRES_URL,
    application: "test",
    log: silentLog,
    max: 2,
  });
  const clickhouse = createClickHouse({ url: env.AXONIZE_CLICKHOUSE_URL, application: "test" });
  const dir = await mkdtemp(join(tmpdir(), "axonize-newer-"));
  try {
    {
      await using first = await startIngestProcess(env);
      await using second = await startIngestProcess(env);
      await Promise.all([first.ready(), second.ready()]);
      const applied = await sql`SELECT name, count(*) AS n FROM schema_migrations GROUP BY name`;
      assert.ok(applied.length > 0 && applied.every(({ n }) => n === 1));

      // The next version's migrations run while this one serves.
      await cp(migrations, dir, { recursive: true });
      await writeFile(
        join(dir, "postgres/9999_next.sql"),
        "ALTER TABLE tenants ADD COLUMN next int;",
      );
      await writeFile(
        join(dir, "clickhouse/9999_next.sql"),
        "ALTER TABLE {{alter:spans}} ADD COLUMN IF NOT EXISTS next UInt8 DEFAULT 0",
      );
      await migratePostgres(sql, { dir: join(dir, "postgres"), log: silentLog });
      await migrateClickHouse(clickhouse, { dir: join(dir, "clickhouse"), log: silentLog });
      await sql`INSERT INTO tenants (id, name) VALUES ('next', 'next')`;
      const headers = { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "next" };
      await eventually(async () =>
        (await send(first.http, headers)).status === 200 ? true : undefined,
      );
    }
    // Rolled back: this version starts over what the next one left.
    await using back = await startIngestProcess(env);
    await back.ready();
    const headers = { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "next" };
    assert.equal((await send(back.http, headers)).status, 200);
  } finally {
    await clickhouse.command({ query: `DROP DATABASE IF EXISTS ${fresh}` });
    await Promise.all([clickhouse.close(), sql.end()]);
    await stores.sql.unsafe(`DROP DATABASE ${fresh} WITH (FORCE)`);
    await rm(dir, { recursive: true, force: true });
  }
});

test("a store that starts later is waited for; one with another password is not", async () => {
  await using stores = await useStores();
  const port = await freePort();
  const later = new URL(stores.postgresUrl);
  const target = { host: later.hostname, port: Number(later.port) };
  later.port = String(port);
  await using ingest = await startIngestProcess({
    AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
    AXONIZE_POSTGRES_URL: later.href,
  });
  await eventually(() => (ingest.output().includes("store.waiting") ? true : undefined), 30_000);
  assert.match(
    ingest.output(),
    /waiting for PostgreSQL at 127\.0\.0\.1:\d+ \(AXONIZE_POSTGRES_URL\)/,
  );
  const door = createServer((socket) => {
    const onward = connect(target);
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward])
      end.on("error", () => [socket, onward].map((s) => s.destroy()));
  }).listen(port, "127.0.0.1");
  await once(door, "listening");
  await ingest.ready();
  ingest.kill("SIGTERM");
  assert.deepEqual(await ingest.exited, [0, null], ingest.output());
  door.close();

  const wrong = new URL(stores.postgresUrl);
  wrong.password = "wrong";
  await using refused = await startIngestProcess({
    AXONIZE_CLICKHOUSE_URL: stores.clickhouseUrl,
    AXONIZE_POSTGRES_URL: wrong.href,
  });
  assert.deepEqual(await refused.exited, [1, null], refused.output());
  assert.match(
    refused.output(),
    /PostgreSQL at .* does not serve us: password authentication failed/,
  );
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
