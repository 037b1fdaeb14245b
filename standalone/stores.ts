/**
 * The two stores, embedded or the servers that the configuration names, each migrated as soon as it
 * answers and both at the same time.
 */
import { join } from "node:path";
import { createClickHouse, type ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { startClickHouse } from "./clickhouse/start.ts";
import { startPostgres } from "./postgres/start.ts";

export interface OpenStores extends AsyncDisposable {
  clickhouse: ClickHouseClient;
  sql: Sql;
  /** For the banner: what they are, without credentials. */
  clickhouseName: string;
  postgresName: string;
}

export interface StoreOptions {
  dataDir: string;
  clickhouseUrl: string | undefined;
  clickhouseCluster: string | undefined;
  postgresUrl: string | undefined;
  /** A named server may start beside us (compose, Kubernetes): it is given this long. */
  serverWaitMs: number;
  signal: AbortSignal;
}

interface Deps {
  log: Log;
  clock: Clock;
}

const migrations = join(import.meta.dirname, "../migrations");

const retryMs = 500;

export async function openStores(deps: Deps, options: StoreOptions): Promise<OpenStores> {
  const [clickhouse, postgres] = await Promise.allSettled([
    openClickHouse(deps, options),
    openPostgres(deps, options),
  ]);
  if (clickhouse.status === "fulfilled" && postgres.status === "fulfilled") {
    return {
      clickhouse: clickhouse.value.client,
      sql: postgres.value.client,
      clickhouseName: clickhouse.value.name,
      postgresName: postgres.value.name,
      [Symbol.asyncDispose]: async () => {
        await Promise.all([clickhouse.value.close(), postgres.value.close()]);
      },
    };
  }
  // One of them failed: the other must not outlive the start.
  for (const store of [clickhouse, postgres]) {
    if (store.status === "fulfilled") await store.value.close();
  }
  throw clickhouse.status === "rejected"
    ? clickhouse.reason
    : (postgres as PromiseRejectedResult).reason;
}

interface Opened<T> {
  client: T;
  name: string;
  close(): Promise<void>;
}

async function openClickHouse(
  deps: Deps,
  options: StoreOptions,
): Promise<Opened<ClickHouseClient>> {
  const embedded =
    options.clickhouseUrl === undefined
      ? await startClickHouse({ dataDir: options.dataDir, log: deps.log, signal: options.signal })
      : undefined;
  const url = embedded?.url ?? options.clickhouseUrl ?? "";
  const client = createClickHouse({ url, application: "axonize-standalone", maxConnections: 24 });
  const close = async (): Promise<void> => {
    await client.close();
    await embedded?.[Symbol.asyncDispose]();
  };
  try {
    if (embedded === undefined) {
      await untilAnswers(
        deps,
        options,
        `ClickHouse at ${new URL(url).host} (AXONIZE_CLICKHOUSE_URL)`,
        async () => {
          await ensureDatabase(url);
        },
      );
    }
    await migrateClickHouse(client, {
      dir: join(migrations, "clickhouse"),
      log: deps.log,
      ...(options.clickhouseCluster === undefined ? {} : { cluster: options.clickhouseCluster }),
    });
  } catch (error) {
    await close();
    throw error;
  }
  const name =
    embedded === undefined
      ? `ClickHouse at ${new URL(url).host}`
      : `ClickHouse ${embedded.version}`;
  return { client, name, close };
}

async function openPostgres(deps: Deps, options: StoreOptions): Promise<Opened<Sql>> {
  const embedded =
    options.postgresUrl === undefined
      ? await startPostgres({ dataDir: options.dataDir, log: deps.log, signal: options.signal })
      : undefined;
  const url = embedded?.url ?? options.postgresUrl ?? "";
  const client = createPostgres({ url, application: "axonize-standalone" });
  const close = async (): Promise<void> => {
    await client.end({ timeout: 1 });
    await embedded?.[Symbol.asyncDispose]();
  };
  let version = "";
  try {
    await untilAnswers(
      deps,
      options,
      `PostgreSQL at ${new URL(url).host} (AXONIZE_POSTGRES_URL)`,
      async () => {
        const rows = await client<
          { version: string }[]
        >`SELECT current_setting('server_version') AS version`;
        version = rows[0]?.version ?? "";
      },
    );
    await migratePostgres(client, { dir: join(migrations, "postgres"), log: deps.log });
  } catch (error) {
    await close();
    throw error;
  }
  const name = `PostgreSQL ${version}${embedded === undefined ? ` at ${new URL(url).host}` : ""}`;
  return { client, name, close };
}

/** The database of the URL is made if the server does not have it. */
async function ensureDatabase(url: string): Promise<void> {
  const database = decodeURIComponent(new URL(url).pathname.slice(1));
  const base = new URL(url);
  base.pathname = "/default";
  const client = createClickHouse({ url: base.href, application: "axonize-standalone" });
  try {
    await client.command({ query: "SELECT 1" });
    if (database === "") return;
    await client.command({
      query: "CREATE DATABASE IF NOT EXISTS {database:Identifier}",
      query_params: { database },
    });
  } finally {
    await client.close();
  }
}

async function untilAnswers(
  deps: Deps,
  options: StoreOptions,
  name: string,
  ask: () => Promise<void>,
): Promise<void> {
  const deadline = deps.clock.monotonic() + options.serverWaitMs;
  for (;;) {
    try {
      await ask();
      return;
    } catch (error) {
      // Only what may pass is waited for; a wrong password stays wrong.
      const code = (error as NodeJS.ErrnoException).code ?? "";
      const passing = /^(ECONN|EHOST|ENET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|57P03|CONNECT)/.test(code);
      if (!passing || deps.clock.monotonic() > deadline) {
        throw new StartError(
          `${name} does not serve us: ${errorMessage(error).trim() || code}. Check that the server runs, that its address, user and password in the URL are right, and that this machine may reach it.`,
          { cause: error },
        );
      }
      deps.log.warn({ event: "store.waiting", reason: code }, `waiting for ${name}`);
      await deps.clock.sleep(retryMs, options.signal);
    }
  }
}
