/**
 * The two stores, embedded or the servers that the configuration names, each migrated as soon as it
 * answers and both at the same time.
 */
import { join } from "node:path";
import { createClickHouse, type ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres, type Sql } from "@axonize/core/runtime/postgres";
import { ensureDatabase, untilAnswers } from "@axonize/core/runtime/servers";
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

const waiting = ({ serverWaitMs: waitMs, signal }: StoreOptions) => ({ waitMs, signal });

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
        waiting(options),
        `ClickHouse at ${new URL(url).host} (AXONIZE_CLICKHOUSE_URL)`,
        async () => {
          await ensureDatabase(client, url, options.clickhouseCluster);
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
  const client = createPostgres({ url, application: "axonize-standalone", log: deps.log });
  const close = async (): Promise<void> => {
    await client.end();
    await embedded?.[Symbol.asyncDispose]();
  };
  let version = "";
  try {
    await untilAnswers(
      deps,
      waiting(options),
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
