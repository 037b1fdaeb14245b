/** Ended intervals go when nothing can refer to them, in bounded statements, and open ones never. */
import assert from "node:assert/strict";
import test from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { silentLog as log } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { systemClock } from "@axonize/core/runtime/clock";
import { useStores } from "../../test/support/stores.ts";
import { createAgentMetrics } from "./metrics.ts";
import { pruneIdentity, startPruning } from "./prune.ts";

type Sql = Awaited<ReturnType<typeof useStores>>["sql"];

/** `key` began long ago and ended `days` ago; undefined: it is open. */
async function allocationEnded(sql: Sql, key: string, days: number | undefined): Promise<void> {
  await sql`
    INSERT INTO allocations (cluster, node, key, valid_from, valid_to, namespace, pod, container,
      resource_name, resource_id, resource_uuid, stale)
    VALUES ('', 'node-a', ${key}, now() - interval '5000 days',
      ${days === undefined ? null : sql.part`now() - ${days} * interval '1 day'`},
      'team-a', 'p', 'main', 'nvidia.com/gpu', 'r', 'GPU-1', false)`;
}

const keysOf = async (sql: Sql): Promise<string[]> =>
  (await sql<{ key: string }[]>`SELECT key FROM allocations ORDER BY key`).map(({ key }) => key);

test("what ended before the longest that anything refers to it is deleted, in batches", async () => {
  await using stores = await useStores();
  const { sql } = stores;
  const registry = createRegistry();
  const deps = { sql, log, clock: systemClock, metrics: createAgentMetrics(registry) };
  for (let index = 0; index < 25; index += 1) {
    await allocationEnded(sql, `old-${String(index).padStart(2, "0")}`, 402 + index);
  }
  await allocationEnded(sql, "young", 400);
  await allocationEnded(sql, "open", undefined);
  // A tenant that keeps its traces for ten years keeps what they may be asked about.
  await sql`INSERT INTO tenants (id, name, retention_days) VALUES ('keeper', 'Keeper', 3650)`;
  assert.equal(await pruneIdentity(deps), 0);
  await sql`DELETE FROM tenants WHERE id = 'keeper'`;
  assert.equal(await pruneIdentity(deps, { rows: 10 }), 25);
  assert.deepEqual(await keysOf(sql), ["open", "young"]);
  assert.equal(await pruneIdentity(deps), 0);
  const counted = await registry.metrics();
  assert.match(counted, /pruned_intervals_total\{table="allocations"\} 25/);
});

test("one replica prunes at a time", async () => {
  await using stores = await useStores();
  const { sql } = stores;
  const deps = { sql, log, clock: systemClock, metrics: createAgentMetrics(createRegistry()) };
  await allocationEnded(sql, "old", 500);
  await sql.begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(43174319)`;
    assert.equal(await pruneIdentity(deps), 0);
  });
  assert.equal(await pruneIdentity(deps), 1);
});

test("it runs every hour, and stops", async () => {
  await using stores = await useStores();
  const { sql } = stores;
  const clock = createFakeClock();
  const deps = { sql, log, clock, metrics: createAgentMetrics(createRegistry()) };
  await allocationEnded(sql, "old", 500);
  const pruning = startPruning(deps);
  await clock.advance(3_599_000);
  assert.deepEqual(await keysOf(sql), ["old"]);
  await clock.advance(1_000);
  // Disposal waits for the run in work.
  await pruning[Symbol.asyncDispose]();
  assert.deepEqual(await keysOf(sql), []);
});
