/** Migrations: applied once, guarded by checksums, and readable by the engine in their cluster form. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { openDatabases } from "../../test/support/start-stores.ts";
import { useStores } from "../../test/support/stores.ts";
import { StartError } from "./error.ts";
import { silentLog } from "./log.ts";
import { createDatabase, migrateClickHouse, migratePostgres, renderClickHouse } from "./migrate.ts";

const migrations = join(import.meta.dirname, "../../migrations");
const stores = await useStores();

async function withCopy(store: string, use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "axonize-migrations-"));
  try {
    await cp(join(migrations, store), dir, { recursive: true });
    await use(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("applying again changes nothing", async () => {
  const count = async (): Promise<number> => {
    const answer = await stores.clickhouse.query({
      query: "SELECT toUInt32(count()) AS n FROM schema_migrations",
      format: "JSONEachRow",
    });
    return (await answer.json<{ n: number }>())[0]?.n ?? 0;
  };
  const before = await count();
  assert.equal(before, (await readdir(join(migrations, "clickhouse"))).length);
  await migrateClickHouse(stores.clickhouse, {
    dir: join(migrations, "clickhouse"),
    log: silentLog,
  });
  await migratePostgres(stores.sql, { dir: join(migrations, "postgres"), log: silentLog });
  assert.equal(await count(), before);
});

test("several processes may migrate one PostgreSQL at the same time", async () => {
  await using fresh = await openDatabases(stores);
  await fresh.sql.unsafe("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  await Promise.all(
    [1, 2, 3].map(async () => {
      await migratePostgres(fresh.sql, { dir: join(migrations, "postgres"), log: silentLog });
    }),
  );
  assert.equal((await fresh.sql`SELECT id FROM tenants`).length, 0);
});

test("an applied file that was edited stops the start, an added one is applied, an unknown record stays", async () => {
  await withCopy("clickhouse", async (dir) => {
    await writeFile(
      join(dir, "9999_more.sql"),
      "CREATE TABLE IF NOT EXISTS {{table:more}} (a UInt8) ENGINE = {{engine:MergeTree}} ORDER BY a",
    );
    await migrateClickHouse(stores.clickhouse, { dir, log: silentLog });
    await stores.clickhouse.command({ query: "SELECT a FROM more" });
    const [first = ""] = (await readdir(dir)).sort();
    await writeFile(join(dir, first), "-- edited", { flag: "a" });
    await assert.rejects(
      migrateClickHouse(stores.clickhouse, { dir, log: silentLog }),
      (error: unknown) => {
        assert.ok(error instanceof StartError);
        assert.match(
          error.message,
          new RegExp(`${first}.*was changed after it had been applied to ClickHouse`),
        );
        return true;
      },
    );
  });
  await migrateClickHouse(stores.clickhouse, {
    dir: join(migrations, "clickhouse"),
    log: silentLog,
  });
  await withCopy("postgres", async (dir) => {
    await writeFile(join(dir, "0001_tenants.sql"), "-- edited", { flag: "a" });
    await assert.rejects(migratePostgres(stores.sql, { dir, log: silentLog }), StartError);
  });
});

test("a failing migration names itself and leaves PostgreSQL as it was", async () => {
  await withCopy("postgres", async (dir) => {
    await writeFile(join(dir, "9998_fine.sql"), "CREATE TABLE fine (a int);");
    await writeFile(join(dir, "9999_broken.sql"), "CREATE TABLE broken (a nonsense);");
    await assert.rejects(
      migratePostgres(stores.sql, { dir, log: silentLog }),
      /9999_broken\.sql failed on PostgreSQL: type "nonsense" does not exist/,
    );
    assert.equal((await stores.sql`SELECT to_regclass('fine') AS oid`)[0]?.["oid"], null);
  });
});

test("every migration has a cluster form that the engine parses", async () => {
  const dir = join(migrations, "clickhouse");
  const target = { cluster: "it's", database: "axonize" };
  for (const name of await readdir(dir)) {
    const text = await readFile(join(dir, name), "utf8");
    const statements = renderClickHouse(text, target);
    assert.equal(statements.length, /\{\{(table|alter):/.test(text) ? 2 : 1, name);
    for (const statement of statements) {
      const answer = await stores.clickhouse.query({
        query: "SELECT formatQuerySingleLine({statement:String}) AS formatted",
        query_params: { statement },
        format: "JSONEachRow",
      });
      const formatted = (await answer.json<{ formatted: string }>())[0]?.formatted ?? "";
      assert.match(
        formatted,
        /^(CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS|ALTER TABLE) \w+ ON CLUSTER `?'?it/,
        name,
      );
      assert.doesNotMatch(statement, /\{\{/);
    }
  }
  const [local, distributed] = renderClickHouse(
    await readFile(join(dir, "0001_spans.sql"), "utf8"),
    { cluster: "main", database: "axonize" },
  );
  assert.match(local ?? "", /CREATE TABLE IF NOT EXISTS spans_local ON CLUSTER 'main'/);
  assert.match(
    local ?? "",
    /ENGINE = ReplicatedReplacingMergeTree\('\/clickhouse\/tables\/\{shard\}\/\{database\}\/spans_local', '\{replica\}', received\)/,
  );
  assert.equal(
    distributed,
    "CREATE TABLE IF NOT EXISTS spans ON CLUSTER 'main' AS spans_local ENGINE = Distributed('main', 'axonize', spans_local, cityHash64(trace_id))",
  );
});

test("the database is made on the cluster, too, also by a macro's name", async () => {
  const formatted = async (statement: string): Promise<string> => {
    const answer = await stores.clickhouse.query({
      query: "SELECT formatQuerySingleLine({statement:String}) AS formatted",
      query_params: { statement },
      format: "JSONEachRow",
    });
    return (await answer.json<{ formatted: string }>())[0]?.formatted ?? "";
  };
  assert.equal(
    await formatted(createDatabase("axonize", "{cluster}")),
    "CREATE DATABASE IF NOT EXISTS axonize ON CLUSTER `{cluster}`",
  );
  assert.equal(
    await formatted(createDatabase("a`b", undefined)),
    "CREATE DATABASE IF NOT EXISTS `a\\`b`",
  );
});

test("a table without a shard key has no cluster form", () => {
  assert.throws(
    () =>
      renderClickHouse("CREATE TABLE {{table:x}} ENGINE = {{engine:MergeTree}}", {
        cluster: "c",
        database: "d",
      }),
    /the migration of x names no shard key/,
  );
});
