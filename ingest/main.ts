/**
 * The process that runs ingest alone, in a cluster: environment → config → app → signals → exit code.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { createAccess } from "@axonize/core/runtime/access";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { migrateClickHouse, migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { createIngest } from "./app.ts";
import { configFrom, IngestEnv } from "./config.ts";
import { startOps } from "./ops.ts";
import manifest from "./package.json" with { type: "json" };

await runProcess({
  name: "axonize-ingest",
  stopBudgetMs: 15_000,
  start: async () => {
    const env = parseConfig(IngestEnv, process.env);
    const log = createLog({ component: "ingest", level: env.AXONIZE_LOG_LEVEL });
    const registry = createRegistry();
    const clock = systemClock;
    const application = "axonize-ingest";
    const clickhouse = createClickHouse({ url: env.AXONIZE_CLICKHOUSE_URL, application });
    const sql = createPostgres({ url: env.AXONIZE_POSTGRES_URL, application });
    const cluster = env.AXONIZE_CLICKHOUSE_CLUSTER;
    const dir = join(import.meta.dirname, "../migrations");
    await migratePostgres(sql, { dir: join(dir, "postgres"), log });
    await migrateClickHouse(clickhouse, {
      dir: join(dir, "clickhouse"),
      log,
      ...(cluster === undefined ? {} : { cluster }),
    });
    const access = await createAccess(
      { sql, clock, log },
      { adminKey: env.AXONIZE_ADMIN_KEY, loopbackTenant: undefined },
    );
    const ingest = await createIngest(
      { clickhouse, sql, access, clock, log, registry },
      configFrom(env, { version: manifest.version, host: hostname() }),
    );
    const ops = await startOps({ registry, clickhouse, sql }, env.AXONIZE_INGEST_OPS_LISTEN);
    log.info({ event: "ingest.ready", grpc: ingest.grpcAddress, http: ingest.httpAddress });
    return {
      stop: async () => {
        await ingest[Symbol.asyncDispose]();
        await access[Symbol.asyncDispose]();
        await Promise.all([ops.stop(), clickhouse.close(), sql.end({ timeout: 1 })]);
      },
    };
  },
});
