/**
 * The embedded stores for a run of tests or benches: both engines in a temporary directory, gone
 * afterwards. `scripts/test.ts` starts them once for all test files.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClickHouse, type ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { silentLog, type Log } from "@axonize/core/runtime/log";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { startClickHouse } from "../../standalone/clickhouse/start.ts";
import { startPostgres } from "../../standalone/postgres/start.ts";

export interface TestStores {
  clickhouseUrl: string;
  postgresUrl: string;
  stop(): Promise<void>;
}

export interface Stores extends AsyncDisposable {
  clickhouse: ClickHouseClient;
  clickhouseUrl: string;
  sql: Sql;
  postgresUrl: string;
}

export async function startTestStores(options: { log?: Log } = {}): Promise<TestStores> {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-test-"));
  const start = { dataDir, log: options.log ?? silentLog, signal: new AbortController().signal };
  const [clickhouse, postgres] = await Promise.all([startClickHouse(start), startPostgres(start)]);
  return {
    clickhouseUrl: clickhouse.url,
    postgresUrl: postgres.url,
    stop: async () => {
      await Promise.all([clickhouse[Symbol.asyncDispose](), postgres[Symbol.asyncDispose]()]);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const root = join(import.meta.dirname, "../..");

/** A fresh database in each store, migrated; dropped again on disposal. */
export async function openDatabases(urls: {
  clickhouseUrl: string;
  postgresUrl: string;
}): Promise<Stores> {
  const name = `test_${randomBytes(6).toString("hex")}`;
  const clickhouseUrl = withPath(urls.clickhouseUrl, name);
  const postgresUrl = withPath(urls.postgresUrl, name);
  const clickhouseAdmin = createClickHouse({ url: urls.clickhouseUrl, application: "test" });
  const log = silentLog;
  const postgresAdmin = createPostgres({ url: urls.postgresUrl, application: "test", log, max: 1 });
  await Promise.all([
    clickhouseAdmin.command({ query: `CREATE DATABASE ${name} ENGINE = Atomic` }),
    postgresAdmin.unsafe(`CREATE DATABASE ${name}`),
  ]);
  const clickhouse = createClickHouse({ url: clickhouseUrl, application: "test" });
  const sql = createPostgres({ url: postgresUrl, application: "test", log });
  await Promise.all([
    migrateClickHouse(clickhouse, { dir: join(root, "migrations/clickhouse"), log }),
    migratePostgres(sql, { dir: join(root, "migrations/postgres"), log }),
  ]);
  let disposed = false;
  return {
    clickhouse,
    clickhouseUrl,
    sql,
    postgresUrl,
    [Symbol.asyncDispose]: async () => {
      if (disposed) return;
      disposed = true;
      await Promise.all([clickhouse.close(), sql.end()]);
      await Promise.all([
        clickhouseAdmin.command({ query: `DROP DATABASE IF EXISTS ${name} SYNC` }),
        postgresAdmin.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
      ]);
      await Promise.all([clickhouseAdmin.close(), postgresAdmin.end()]);
    },
  };
}

function withPath(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
