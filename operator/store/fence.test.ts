/**
 * The fence over the real PostgreSQL: a leader that was followed writes nothing any more, not even what it
 * had begun to ask for; and a PostgreSQL that is away is told in time, and nothing of it comes later.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { startTcpProxy, type TcpProxy } from "../../ingest/testing/tcp-proxy.ts";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { TerminalError } from "../kube/api-error.ts";
import { isUnavailable } from "../kube/controller.ts";
import { createFence } from "./fence.ts";

let stores: Stores;
let proxy: TcpProxy;
let far: Sql;
before(async () => {
  stores = await useStores();
  const url = new URL(stores.postgresUrl);
  proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  url.hostname = "127.0.0.1";
  far = createPostgres({ url: url.href, application: "fence-test", log: silentLog, max: 2 });
});
after(async () => {
  proxy.mend();
  await far.end();
  await proxy[Symbol.asyncDispose]();
});

const tenants = async (): Promise<string[]> =>
  (await stores.sql<{ id: string }[]>`SELECT id FROM tenants ORDER BY id`).map(({ id }) => id);

test("who was followed writes nothing; who follows waits for what is under way", async () => {
  const [old, fresh] = [createFence(stores), createFence(stores)];
  const insert = (id: string) => async (tx: Parameters<Parameters<typeof old.write>[1]>[0]) => {
    await tx`INSERT INTO tenants (id, name) VALUES (${id}, ${id})`;
  };
  await old.write({ clusterUid: "c", epoch: 1 }, insert("one"));
  let finish: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const order: string[] = [];
  const slow = old.write({ clusterUid: "c", epoch: 1 }, async (tx) => {
    await insert("two")(tx);
    await gate;
    order.push("old");
  });
  const first = fresh.write({ clusterUid: "c", epoch: 2 }, async (tx) => {
    order.push("fresh");
    await insert("three")(tx);
  });
  await eventually(async () => {
    const [row] = await stores.sql`
      SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%operator_epoch%'`;
    return row !== undefined;
  });
  finish();
  await Promise.all([slow, first]);
  assert.deepEqual(order, ["old", "fresh"]);
  await assert.rejects(
    old.write({ clusterUid: "c", epoch: 1 }, insert("four")),
    (error) => error instanceof TerminalError && /epoch 2.*has 1/.test(error.message),
  );
  await createFence(stores).write({ clusterUid: "another", epoch: 1 }, insert("five"));
  assert.deepEqual(await tenants(), ["five", "one", "three", "two"]);
});

test("a PostgreSQL that is away is told in time, and nothing of what was asked comes later", async () => {
  const fence = createFence({ sql: far });
  await fence.write({ clusterUid: "c", epoch: 3 }, async () => await Promise.resolve());
  const before = await tenants();
  proxy.cut();
  await assert.rejects(
    fence.read(async (sql) => await sql`SELECT 1`),
    isUnavailable,
  );
  const writing = fence.write({ clusterUid: "c", epoch: 3 }, async (tx) => {
    await tx`INSERT INTO tenants (id, name) VALUES ('late', 'late')`;
  });
  await assert.rejects(writing, isUnavailable);
  proxy.mend();
  await eventually(async () => {
    await fence.read(async (sql) => await sql`SELECT 1`);
    return true;
  });
  // Whatever had reached the server has ended.
  await eventually(async () => {
    const busy = await stores.sql`
      SELECT FROM pg_stat_activity
      WHERE application_name = 'fence-test' AND state <> 'idle' AND datname = current_database()`;
    return busy.length === 0;
  });
  assert.deepEqual(await tenants(), before);
});

test("a PostgreSQL that falls silent in mid-transaction ends it in time, and nothing of it is kept", async () => {
  const fence = createFence({ sql: far });
  const before = await tenants();
  const started = performance.now();
  const writing = fence.write({ clusterUid: "c", epoch: 3 }, async (tx) => {
    await tx`INSERT INTO tenants (id, name) VALUES ('silent', 'silent')`;
    proxy.freeze();
    await tx`SELECT 1`;
  });
  await assert.rejects(writing, isUnavailable);
  await assert.rejects(
    fence.read(async (sql) => await sql`SELECT 1`),
    isUnavailable,
  );
  assert.ok(performance.now() - started < 40_000, "20 s and 8 s");
  proxy.mend();
  await eventually(async () => {
    await fence.write({ clusterUid: "c", epoch: 3 }, async () => await Promise.resolve());
    return true;
  });
  assert.deepEqual(await tenants(), before);
});

async function eventually(check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      if (await check()) return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    assert.ok(performance.now() < deadline, "not in time");
    await systemClock.sleep(50);
  }
}
