/**
 * The process that runs ingest alone, in a cluster: environment → config → app → signals → exit code.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import { createAccess } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { openServers } from "@axonize/core/runtime/servers";
import { createIngest } from "./app.ts";
import { configFrom, IngestEnv } from "./config.ts";
import { clusterStopBudgetMs } from "./limits.ts";
import { startOps } from "./ops.ts";
import manifest from "./package.json" with { type: "json" };

await runProcess({
  name: "axonize-ingest",
  stopBudgetMs: clusterStopBudgetMs,
  start: async (signal) => {
    const env = parseConfig(IngestEnv, process.env);
    const log = createLog({ component: "ingest", level: env.AXONIZE_LOG_LEVEL });
    const registry = createRegistry();
    const clock = systemClock;
    const servers = await openServers(
      { log, clock },
      {
        clickhouseUrl: env.AXONIZE_CLICKHOUSE_URL,
        clickhouseCluster: env.AXONIZE_CLICKHOUSE_CLUSTER,
        postgresUrl: env.AXONIZE_POSTGRES_URL,
        application: "axonize-ingest",
        migrations: join(import.meta.dirname, "../migrations"),
        waitMs: env.AXONIZE_STORE_WAIT_SECONDS * 1000,
        signal,
      },
    );
    const { clickhouse, sql } = servers;
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
        ops.drain();
        await ingest[Symbol.asyncDispose]();
        await access[Symbol.asyncDispose]();
        await Promise.all([ops.stop(), servers[Symbol.asyncDispose]()]);
      },
    };
  },
});
