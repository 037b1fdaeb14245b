/**
 * The two stores as servers that a process of a cluster finds: waited for (they may start beside us),
 * then migrated, one process at a time, before anything is served from them.
 *
 * Every process does this at its start. What an older version's process has running keeps working:
 * migrations only add, and a record that a version does not know is left alone.
 */
import { join } from "node:path";
import { createClickHouse, type ClickHouseClient } from "./clickhouse.ts";
import type { Clock } from "./clock.ts";
import { errorMessage, StartError } from "./error.ts";
import type { Log } from "./log.ts";
import { createDatabase, migrateClickHouse, migratePostgres, migrationsMs } from "./migrate.ts";
import { createPostgres, type Sql } from "./postgres.ts";

export interface Servers extends AsyncDisposable {
  clickhouse: ClickHouseClient;
  sql: Sql;
}

interface Deps {
  log: Log;
  clock: Clock;
}

export interface Waiting {
  /** How long a server that does not answer yet is waited for. */
  waitMs: number;
  signal: AbortSignal;
}

const retryMs = 500;
/** Any number that is ours alone in the database; the one of `migrate.ts` is taken inside. */
const advisoryLock = 43_174_319;

export async function openServers(
  deps: Deps,
  options: Waiting & {
    clickhouseUrl: string;
    clickhouseCluster: string | undefined;
    postgresUrl: string;
    application: string;
    /** The folder with `clickhouse/` and `postgres/`. */
    migrations: string;
  },
): Promise<Servers> {
  const { application, clickhouseUrl, clickhouseCluster: cluster, postgresUrl } = options;
  const clickhouse = createClickHouse({ url: clickhouseUrl, application });
  const sql = createPostgres({ url: postgresUrl, application, log: deps.log });
  const close = async (): Promise<void> => {
    await Promise.all([clickhouse.close(), sql.end()]);
  };
  try {
    await Promise.all([
      untilAnswers(
        deps,
        options,
        `ClickHouse at ${new URL(clickhouseUrl).host} (AXONIZE_CLICKHOUSE_URL)`,
        async () => {
          await ensureDatabase(clickhouse, clickhouseUrl, cluster);
        },
      ),
      untilAnswers(
        deps,
        options,
        `PostgreSQL at ${new URL(postgresUrl).host} (AXONIZE_POSTGRES_URL)`,
        async () => {
          await sql`SELECT 1`;
        },
      ),
    ]);
    await oneAtATime(sql, async () => {
      const { log } = deps;
      await migratePostgres(sql, { dir: join(options.migrations, "postgres"), log });
      const dir = join(options.migrations, "clickhouse");
      await migrateClickHouse(
        clickhouse,
        cluster === undefined ? { dir, log } : { dir, log, cluster },
      );
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { clickhouse, sql, [Symbol.asyncDispose]: close };
}

/** ClickHouse has no lock of its own, so PostgreSQL's stands for both. It goes with its connection. */
async function oneAtATime(sql: Sql, work: () => Promise<void>): Promise<void> {
  await sql.within(migrationsMs).begin(async (tx) => {
    await tx`SELECT pg_advisory_xact_lock(${advisoryLock})`;
    await work();
  });
}

/** Asks the URL's database, and makes it where the server does not have it. */
export async function ensureDatabase(
  client: ClickHouseClient,
  url: string,
  cluster: string | undefined,
): Promise<void> {
  try {
    await client.command({ query: "SELECT 1" });
  } catch (error) {
    if ((error as { type?: string }).type !== "UNKNOWN_DATABASE") throw error;
    const base = new URL(url);
    const database = decodeURIComponent(base.pathname.slice(1));
    base.pathname = "/default";
    const admin = createClickHouse({ url: base.href, application: "axonize-migrate" });
    try {
      await admin.command({ query: createDatabase(database, cluster) });
    } finally {
      await admin.close();
    }
  }
}

/** Only what may pass is waited for; a wrong password stays wrong. */
export async function untilAnswers(
  deps: Deps,
  options: Waiting,
  name: string,
  ask: () => Promise<void>,
): Promise<void> {
  const deadline = deps.clock.monotonic() + options.waitMs;
  for (;;) {
    try {
      await ask();
      return;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "";
      const passing = /^(ECONN|EHOST|ENET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|57P03|08006)/.test(code);
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
