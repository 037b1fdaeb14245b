/**
 * The operator's process: environment → config → app → signals → exit code. `cleanup` is what the chart runs
 * before it is uninstalled.
 */
import { hostname } from "node:os";
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { createOperator } from "./app.ts";
import { runCleanup } from "./cleanup.ts";
import { CleanupEnv, configFrom, OperatorEnv } from "./config.ts";
import { accessFrom } from "./kube/access.ts";
import manifest from "./package.json" with { type: "json" };

const isCleanup = process.argv[2] === "cleanup";
const clock = systemClock;

await runProcess({
  name: "axonize-operator",
  // A drain of 23 s, 2 s for what aborts, the lease's return in 3 s (kube/limits.ts).
  stopBudgetMs: 30_000,
  start: async (signal) => {
    const env = parseConfig(CleanupEnv, process.env);
    const log = createLog({ component: "operator", level: env.AXONIZE_LOG_LEVEL });
    const access = await accessFrom({ clock }, env);
    if (isCleanup) process.exit(await runCleanup({ access, clock, log }, env, manifest.version));
    const config = configFrom(parseConfig(OperatorEnv, process.env), {
      version: manifest.version,
      host: hostname(),
      namespace: access.namespace,
    });
    const registry = createRegistry();
    const sql = createPostgres({ url: config.postgresUrl, application: "axonize-operator", log });
    const onFatal = (): never => process.exit(1);
    const deps = { access, sql, clock, log, registry, onFatal };
    const operator = await createOperator(deps, config, signal);
    log.info({ event: "operator.started", ops: operator.opsAddress, version: manifest.version });
    return {
      stop: async () => {
        await operator[Symbol.asyncDispose]();
        await sql.end();
      },
    };
  },
});
