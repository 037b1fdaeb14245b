/** The dashboard as a process of its own, over stores that it waits for and migrates. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createAccess } from "@axonize/core/runtime/access";
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig, printConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { openServers } from "@axonize/core/runtime/servers";
import manifest from "../package.json" with { type: "json" };
import { createDashboard } from "./app.ts";
import { DashboardConfig, serversFrom } from "./config.ts";
import { loginOptionsFrom } from "./login/config.ts";

await runProcess({
  name: "axonize dashboard",
  stopBudgetMs: 5000,
  start: async (signal) => {
    const config = parseConfig(DashboardConfig, process.env);
    if (process.argv.includes("--print-config")) {
      process.stdout.write(`${printConfig(DashboardConfig, config)}\n`);
      process.exit(0);
    }
    const log = createLog({ component: "dashboard", level: config.AXONIZE_LOG_LEVEL });
    const stack = new AsyncDisposableStack();
    const migrations = join(import.meta.dirname, "../../migrations");
    const { clickhouse, sql } = stack.use(
      await openServers(
        { log, clock: systemClock },
        { ...serversFrom(config), migrations, signal },
      ),
    );
    const access = stack.use(
      await createAccess(
        { sql, clock: systemClock, log },
        { adminKey: config.AXONIZE_ADMIN_KEY, loopbackTenant: undefined },
      ),
    );
    const webRoot = join(import.meta.dirname, "../web/dist");
    const dashboard = stack.use(
      await createDashboard(
        { clickhouse, sql, access, clock: systemClock, log, registry: createRegistry() },
        {
          listen: config.AXONIZE_HTTP_LISTEN,
          mode: "cluster",
          keylessLoopback: false,
          otlpGrpcEndpoint: config.AXONIZE_OTLP_GRPC_ENDPOINT,
          otlpHttpEndpoint: config.AXONIZE_OTLP_HTTP_ENDPOINT,
          webRoot: existsSync(webRoot) ? webRoot : undefined,
          version: manifest.version,
          publicUrl: config.AXONIZE_PUBLIC_URL,
          login: loginOptionsFrom(config),
        },
      ),
    );
    log.info({ event: "started", ...dashboard.address });
    return { stop: async () => await stack.disposeAsync() };
  },
});
