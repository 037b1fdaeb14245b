/**
 * Both embedded stores behind their own wire protocols, for a cluster's trial: ClickHouse's HTTP
 * interface and PostgreSQL, each with a password, over one data directory. One replica, no TLS, no
 * backups. It migrates nothing: ingest does that here as with any other server.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import type { Running } from "@axonize/core/runtime/lifecycle";
import type { Log } from "@axonize/core/runtime/log";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { startClickHouse } from "../clickhouse/start.ts";
import { openDataDir } from "../data-dir.ts";
import { startPostgres } from "../postgres/start.ts";
import { ensureAccount } from "./account.ts";
import type { StoresConfig } from "./config.ts";
import * as limits from "./limits.ts";
import { startOps } from "./ops.ts";

/** Whom the cluster's processes are to PostgreSQL: not its superuser, who may run programs. */
const account = { user: "app", database: "axonize" } as const;

export interface Stores extends Running {
  clickhouseUrl: string;
  /** As the superuser, over loopback. */
  postgresUrl: string;
  opsAddress: { host: string; port: number };
}

export async function startStores(
  deps: { log: Log; clock: Clock },
  options: { config: StoresConfig; signal: AbortSignal },
): Promise<Stores> {
  const { config, signal } = options;
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.use(await openDataDir(config.AXONIZE_DATA_DIR));
  const start = { dataDir: dataDir.path, log: deps.log, signal };
  const [clickhouse, postgres] = await settleBoth(
    opening,
    startClickHouse({
      ...start,
      remote: {
        listen: config.AXONIZE_STORES_CLICKHOUSE_LISTEN,
        password: config.AXONIZE_STORES_CLICKHOUSE_PASSWORD,
      },
    }),
    startPostgres({
      ...start,
      remote: {
        ...account,
        listen: config.AXONIZE_STORES_POSTGRES_LISTEN,
        stopBudgetMs: limits.postgresStopMs,
      },
    }),
  );
  const application = "axonize-stores";
  const client = createClickHouse({ url: clickhouse.url, application, maxConnections: 2 });
  opening.defer(async () => await client.close());
  const sql = createPostgres({ url: postgres.url, application, log: deps.log, max: 2 });
  opening.defer(async () => await sql.end());
  await ensureAccount(sql, { ...account, password: config.AXONIZE_STORES_POSTGRES_PASSWORD });
  const ops = await startOps({ clickhouse: client, sql }, config.AXONIZE_STORES_OPS_LISTEN);
  opening.defer(async () => await ops.stop());
  deps.log.info({ event: "stores.ready", clickhouse: clickhouse.version });
  const running = opening.move();
  return {
    clickhouseUrl: clickhouse.url,
    postgresUrl: postgres.url,
    opsAddress: ops.address,
    stop: async () => {
      ops.drain();
      await running.disposeAsync();
    },
  };
}

/** Both start at once, and stop at once; one that fails does not leave the other running. */
async function settleBoth<A extends AsyncDisposable, B extends AsyncDisposable>(
  stack: AsyncDisposableStack,
  ...starting: readonly [Promise<A>, Promise<B>]
): Promise<[A, B]> {
  const settled = await Promise.allSettled(starting);
  const started = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  stack.defer(async () => {
    await Promise.all(started.map(async (each) => await each[Symbol.asyncDispose]()));
  });
  return [await starting[0], await starting[1]];
}
