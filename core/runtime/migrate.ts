/**
 * Applies `migrations/` at start: each file once, in order, recorded with its checksum. A file that
 * was edited after it had been applied stops the start; a record without a file (written by a newer
 * version) does not.
 *
 * ClickHouse files are one statement each, with placeholders that make the same text fit a single
 * node and a cluster. ClickHouse knows no transactions, so they must be repeatable (IF NOT EXISTS);
 * PostgreSQL's run in one transaction under an advisory lock.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClickHouseClient } from "./clickhouse.ts";
import { errorMessage, StartError } from "./error.ts";
import type { Log } from "./log.ts";
import type { Sql } from "./postgres.ts";

/** Any number that is ours alone in the database. */
const advisoryLock = 43_174_318;

/** Of all there is to apply: an index over what a year of identity left is built in minutes. */
export const migrationsMs = 3_600_000;

export async function migrateClickHouse(
  client: ClickHouseClient,
  options: { dir: string; cluster?: string; log: Log },
): Promise<void> {
  const migrations = await readMigrations(options.dir);
  const database = await currentDatabase(client);
  const target = options.cluster === undefined ? undefined : { cluster: options.cluster, database };
  for (const query of renderHistory(target)) await client.command({ query });
  const applied = await readApplied(client);
  for (const migration of migrations) {
    if (isApplied(migration, applied.get(migration.name), "ClickHouse")) continue;
    for (const query of renderClickHouse(migration.text, target)) {
      try {
        await client.command({ query, clickhouse_settings: { wait_end_of_query: 1 } });
      } catch (error) {
        throw failed(migration, "ClickHouse", error);
      }
    }
    await client.insert({
      table: "schema_migrations",
      values: [{ name: migration.name, checksum: migration.checksum }],
      format: "JSONEachRow",
    });
    options.log.info({ event: "migration.applied", store: "clickhouse", name: migration.name });
  }
}

export async function migratePostgres(sql: Sql, options: { dir: string; log: Log }): Promise<void> {
  const migrations = await readMigrations(options.dir);
  await sql.within(migrationsMs).begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${advisoryLock})`;
    await tx`
      CREATE TABLE IF NOT EXISTS schema_migrations (
        name text PRIMARY KEY,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
      )`;
    const rows = await tx<{ name: string; checksum: string }[]>`
      SELECT name, checksum FROM schema_migrations`;
    const applied = new Map(rows.map((row) => [row.name, row.checksum]));
    for (const migration of migrations) {
      if (isApplied(migration, applied.get(migration.name), "PostgreSQL")) continue;
      try {
        await tx.unsafe(migration.text);
      } catch (error) {
        throw failed(migration, "PostgreSQL", error);
      }
      await tx`
        INSERT INTO schema_migrations (name, checksum)
        VALUES (${migration.name}, ${migration.checksum})`;
      options.log.info({ event: "migration.applied", store: "postgres", name: migration.name });
    }
  });
}

export interface ClusterTarget {
  cluster: string;
  database: string;
}

/**
 * The statements of one ClickHouse migration. On a cluster a table `x` becomes `x_local` (replicated,
 * on every node) and a Distributed table `x` over it, sharded by the file's `-- Shard key:` line.
 */
export function renderClickHouse(text: string, target: ClusterTarget | undefined): string[] {
  if (target === undefined) {
    return [text.replaceAll(placeholder, (_, _kind: string, value: string) => value)];
  }
  const onCluster = `ON CLUSTER ${literal(target.cluster)}`;
  if (text.includes("{{alter:")) {
    // The Distributed table is told last: until then nobody asks its nodes for what they lack.
    return ["_local", ""].map((suffix) => text.replaceAll(placeholder, `$2${suffix} ${onCluster}`));
  }
  const tables: string[] = [];
  const statement = text.replaceAll(placeholder, (_, kind: string, value: string) => {
    if (kind === "engine") return replicated(value, tables.at(-1));
    if (kind === "view") return `${value} ${onCluster}`;
    // A setting of the storage: the Distributed table has none.
    if (kind === "local") return `${value}_local ${onCluster}`;
    if (kind !== "table") return `${value}_local`;
    tables.push(value);
    return `${value}_local ${onCluster}`;
  });
  const shardKey = /^-- Shard key: (.+)$/m.exec(text)?.[1];
  return [
    statement,
    ...tables.map((table) => {
      if (shardKey === undefined) throw new Error(`the migration of ${table} names no shard key`);
      return `CREATE TABLE IF NOT EXISTS ${table} ${onCluster} AS ${table}_local ENGINE = Distributed(${literal(target.cluster)}, ${literal(target.database)}, ${table}_local, ${shardKey})`;
    }),
  ];
}

/** The table of applied migrations. All nodes of a cluster are replicas of one. */
function renderHistory(target: ClusterTarget | undefined): string[] {
  const [onCluster, engine] =
    target === undefined
      ? ["", "ReplacingMergeTree(applied_at)"]
      : [
          `ON CLUSTER ${literal(target.cluster)}`,
          "ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/schema_migrations', '{shard}-{replica}', applied_at)",
        ];
  return [
    `CREATE TABLE IF NOT EXISTS schema_migrations ${onCluster} (
      name String,
      checksum String,
      applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
    ) ENGINE = ${engine} ORDER BY name`,
  ];
}

/** `{{table:spans}}`, `{{engine:ReplacingMergeTree(received)}}`, view, target, source, alter, local. */
const placeholder = /\{\{(table|engine|view|target|source|alter|local):([^{}]+)\}\}/g;

/** `E(a)` as `ReplicatedE(path, replica, a)`; macros are filled in by each server. */
function replicated(engine: string, table: string | undefined): string {
  const match = /^(\w+)(?:\((.*)\))?$/.exec(engine);
  if (match === null || table === undefined) throw new Error(`cannot replicate engine ${engine}`);
  const [, name, args] = match;
  const path = `'/clickhouse/tables/{shard}/{database}/${table}_local'`;
  return `Replicated${name}(${[path, "'{replica}'", ...(args === undefined ? [] : [args])].join(", ")})`;
}

/** A literal, because ON CLUSTER takes no parameter: `{name:Identifier}` is a syntax error there. */
export const createDatabase = (database: string, cluster: string | undefined): string =>
  `CREATE DATABASE IF NOT EXISTS \`${database.replaceAll(/[\\`]/g, String.raw`\$&`)}\`${cluster === undefined ? "" : ` ON CLUSTER ${literal(cluster)}`}`;

const literal = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;

interface Migration {
  name: string;
  text: string;
  checksum: string;
}

async function readMigrations(dir: string): Promise<Migration[]> {
  const names = (await readdir(dir)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort();
  return await Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(dir, name), "utf8");
      return { name, text, checksum: createHash("sha256").update(text).digest("hex") };
    }),
  );
}

async function currentDatabase(client: ClickHouseClient): Promise<string> {
  const answer = await client.query({
    query: "SELECT currentDatabase() AS name",
    format: "JSONEachRow",
  });
  const [row] = await answer.json<{ name: string }>();
  if (row === undefined) throw new Error("ClickHouse named no current database");
  return row.name;
}

async function readApplied(client: ClickHouseClient): Promise<Map<string, string>> {
  const answer = await client.query({
    query: "SELECT name, checksum FROM schema_migrations FINAL",
    format: "JSONEachRow",
  });
  const rows = await answer.json<{ name: string; checksum: string }>();
  return new Map(rows.map((row) => [row.name, row.checksum]));
}

function isApplied(migration: Migration, checksum: string | undefined, store: string): boolean {
  if (checksum === undefined) return false;
  if (checksum === migration.checksum) return true;
  throw new StartError(
    `The migration ${migration.name} was changed after it had been applied to ${store}, so the tables there are not what this version expects. Put the file back as it was and add the change as a new migration; on a store without data to keep, drop the tables (or the data directory) and start again.`,
  );
}

function failed(migration: Migration, store: string, error: unknown): StartError {
  return new StartError(
    `The migration ${migration.name} failed on ${store}: ${errorMessage(error).trim()}. Nothing after it was applied; the next start tries it again.`,
    { cause: error },
  );
}
