/**
 * The deletion of a tenant's data over both real stores: all of one tenant, nothing of another, by one
 * process at a time, once, and again after a stop.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { buildCall, insertSpans } from "../../test/support/build-span.ts";
import { useStores, type Stores } from "../../test/support/stores.ts";
import { createIngestMetrics } from "../metrics.ts";
import { purgeDue } from "./purge.ts";

let stores: Stores;
const metrics = createIngestMetrics(createRegistry());
before(async () => {
  stores = await useStores();
});

async function addTenant(id: string, lifecycle: string): Promise<number> {
  const [row] = await stores.sql<{ num: number }[]>`
    INSERT INTO tenants (id, name, owner, lifecycle) VALUES (${id}, ${id}, 'operator', ${lifecycle})
    RETURNING num`;
  const num = row?.num ?? assert.fail(id);
  const spans = Array.from({ length: 50 }, (_, i) =>
    buildCall({ startMs: Date.now() - i * 1000, tenantNum: num }),
  );
  await insertSpans(stores.clickhouse, spans);
  return num;
}

async function rowsOf(num: number): Promise<number> {
  let sum = 0;
  for (const table of ["spans", "span_payloads", "trace_index", "facets"]) {
    const answer = await stores.clickhouse.query({
      query: `SELECT count() AS n FROM ${table} WHERE tenant_id = ${num}`,
      format: "JSONEachRow",
    });
    sum += Number((await answer.json<{ n: string }>())[0]?.n);
  }
  return sum;
}

const run = async (): Promise<void> =>
  await purgeDue(
    { ...stores, clock: systemClock, log: silentLog, metrics },
    { cluster: undefined, signal: new AbortController().signal },
  );
const ask = async (num: number, id: string, agoMs = 120_000): Promise<void> => {
  await stores.sql`
    INSERT INTO purge_jobs (tenant_num, tenant_id, requested_at)
    VALUES (${num}, ${id}, ${new Date(Date.now() - agoMs)})`;
};
const jobOf = async (num: number) => {
  const [row] = await stores.sql<
    { finished_at: Date | null; tables_done: string[]; error: string | null }[]
  >`SELECT finished_at, tables_done, error FROM purge_jobs WHERE tenant_num = ${num}`;
  return row ?? assert.fail("there is no job");
};

test("all of the tenant goes and nothing of another; then the tenant itself", async () => {
  const gone = await addTenant("gone", "terminating");
  const kept = await addTenant("kept", "active");
  const before = await rowsOf(kept);
  assert.ok((await rowsOf(gone)) > 0 && before > 0);
  await ask(gone, "gone");
  // Two processes at once: one of them has the lock.
  await Promise.all([run(), run()]);
  const job = await jobOf(gone);
  assert.ok(job.finished_at instanceof Date, String(job.error));
  assert.ok(
    ["spans", "span_payloads", "resources", "metrics"].every((t) => job.tables_done.includes(t)),
  );
  assert.equal(await rowsOf(gone), 0);
  assert.equal(await rowsOf(kept), before);
  assert.equal((await stores.sql`SELECT FROM tenants WHERE id = 'gone'`).length, 0);
  assert.equal((await stores.sql`SELECT FROM tenants WHERE id = 'kept'`).length, 1);
});

test("it waits until nobody takes the tenant's telemetry any more, and goes on where it stopped", async () => {
  const num = await addTenant("early", "terminating");
  await ask(num, "early", 0);
  await run();
  assert.equal((await jobOf(num)).finished_at, null);
  await stores.sql`
    UPDATE purge_jobs SET requested_at = now() - interval '1 hour', tables_done = ${["spans"]}
    WHERE tenant_num = ${num}`;
  await run();
  const job = await jobOf(num);
  assert.ok(job.finished_at instanceof Date);
  assert.equal(job.tables_done.filter((table) => table === "spans").length, 1);
});

test("a tenant that somebody has taken up again keeps its data, and a fault is told and tried again", async () => {
  const num = await addTenant("adopted", "active");
  const before = await rowsOf(num);
  await ask(num, "adopted");
  await run();
  assert.equal(await rowsOf(num), before);
  assert.equal((await stores.sql`SELECT FROM tenants WHERE id = 'adopted'`).length, 1);
  const other = await addTenant("faulty", "terminating");
  await ask(other, "faulty");
  const broken = {
    ...stores,
    clickhouse: Object.assign(Object.create(stores.clickhouse), {
      command: async () => await Promise.reject(new Error("no room")),
    }) as typeof stores.clickhouse, // everything else is the real client
  };
  await assert.rejects(
    purgeDue(
      { ...broken, clock: systemClock, log: silentLog, metrics },
      { cluster: undefined, signal: new AbortController().signal },
    ),
    /no room/,
  );
  assert.equal((await jobOf(other)).error, "no room");
  await run();
  assert.ok((await jobOf(other)).finished_at instanceof Date);
});

test("a deletion that is under way is not begun once more, nor taken for another tenant's", async () => {
  const num = await addTenant("slow", "terminating");
  await ask(num, "slow");
  // `resources` is the only table that is left, and nothing in it is rewritten for now.
  await stores.sql`
    UPDATE purge_jobs SET tables_done = array_remove((
      SELECT tables_done FROM purge_jobs WHERE tenant_id = 'gone'), 'resources')
    WHERE tenant_num = ${num}`;
  const others = num * 10;
  await stores.clickhouse.insert({
    table: "resources",
    values: [num, others].map((tenant_id) => ({ tenant_id })),
    format: "JSONEachRow",
  });
  await stores.clickhouse.command({ query: "SYSTEM STOP MERGES resources" });
  try {
    await stores.clickhouse.command({
      query: `ALTER TABLE resources DELETE WHERE tenant_id = ${others} SETTINGS mutations_sync = 0`,
    });
    for (const times of ["begun", "gone on with"]) {
      await stores.sql`UPDATE purge_jobs SET parts_left = NULL WHERE tenant_num = ${num}`;
      await runUntilItWaits(num);
      assert.equal(await mutationsOf(num), 1, times);
    }
  } finally {
    await stores.clickhouse.command({ query: "SYSTEM START MERGES resources" });
  }
  await run();
  assert.ok((await jobOf(num)).finished_at instanceof Date);
});

/** As a process does that is stopped while ClickHouse is still at it. */
async function runUntilItWaits(num: number): Promise<void> {
  const stop = new AbortController();
  const running = purgeDue(
    { ...stores, clock: systemClock, log: silentLog, metrics },
    { cluster: undefined, signal: stop.signal },
  );
  const deadline = Date.now() + 60_000;
  for (;;) {
    const [row] = await stores.sql<{ parts_left: string | null }[]>`
      SELECT parts_left FROM purge_jobs WHERE tenant_num = ${num}`;
    if (row?.parts_left !== null) break;
    assert.ok(Date.now() < deadline, "it never waited");
    await systemClock.sleep(50);
  }
  stop.abort();
  await running;
}

async function mutationsOf(num: number): Promise<number> {
  const answer = await stores.clickhouse.query({
    query: `SELECT count() AS n FROM system.mutations WHERE database = currentDatabase()
      AND table = 'resources' AND match(command, {pattern:String})`,
    query_params: { pattern: String.raw`tenant_id = ${num}\b` },
    format: "JSONEachRow",
  });
  return Number((await answer.json<{ n: string }>())[0]?.n);
}

test("a tenant that cannot be deleted keeps no other one", async () => {
  const stuck = await addTenant("stuck", "terminating");
  await ask(stuck, "stuck", 300_000);
  const behind = await addTenant("behind", "terminating");
  await ask(behind, "behind");
  const { clickhouse } = stores;
  const broken = Object.assign(Object.create(clickhouse), {
    command: async (told: { query: string }) =>
      told.query.includes(` = ${stuck} `)
        ? await Promise.reject(new Error("no room"))
        : await clickhouse.command(told),
  }) as typeof clickhouse; // everything else is the real client
  await assert.rejects(
    purgeDue(
      { ...stores, clickhouse: broken, clock: systemClock, log: silentLog, metrics },
      { cluster: undefined, signal: new AbortController().signal },
    ),
    /no room/,
  );
  assert.equal((await jobOf(stuck)).finished_at, null);
  assert.ok((await jobOf(behind)).finished_at instanceof Date);
  await run();
});
