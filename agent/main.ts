#!/usr/bin/env node
/**
 * The agent of one node: environment → config → lock → exporter → app → signals → exit code.
 */
import { hostname } from "node:os";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createAgent } from "./app.ts";
import { readCommand } from "./command-line.ts";
import { watchConfigFile } from "./config-file.ts";
import { agentConfigFrom, exporterOptionsFrom } from "./config.ts";
import { createExporter } from "./export/exporter.ts";
import { lockNode } from "./lock.ts";
import manifest from "./package.json" with { type: "json" };
import { defaultPoolConfig as defaults } from "./pool-config.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";

await runProcess({
  name: "axonize-agent",
  stopBudgetMs: 10_000,
  start: async () => {
    const command = readCommand(process.argv.slice(2), process.env, manifest.version);
    if (command.kind === "print") {
      process.stdout.write(command.text);
      process.exit(0);
    }
    const { env } = command;
    const config = agentConfigFrom(env, { hostname: hostname(), version: manifest.version });
    if (command.kind === "doctor") {
      // Not loaded into an agent that runs for weeks.
      const { runDoctor } = await import("./doctor/run.ts");
      process.exit(
        await runDoctor({ clock, write: (text) => process.stdout.write(text) }, env, config),
      );
    }
    await using opening = new AsyncDisposableStack();
    opening.use(await lockNode(env.AXONIZE_AGENT_STATE_DIR));
    const log = createLog({ component: "agent", level: env.AXONIZE_LOG_LEVEL });
    const deps = { clock, log, registry: createRegistry(), random: Math.random };
    const reporter = opening.use(await createExporter(deps, exporterOptionsFrom(env, config)));
    const path = env.AXONIZE_AGENT_CONFIG;
    if (path !== undefined) {
      const apply = (pool: PoolConfig): void => reporter.configure(pool);
      opening.use(await watchConfigFile({ clock, log }, { path, defaults, apply }));
    }
    const stop = async (): Promise<void> => await closing.disposeAsync();
    // A new life loads the new library; whoever runs the agent starts it again (EX_TEMPFAIL).
    const onHopeless = (): void => void stop().finally(() => process.exit(75));
    const agent = opening.use(await createAgent({ ...deps, reporter, onHopeless }, config));
    log.info({ event: "agent.ready", node: config.node, metricsPort: agent.metricsPort });
    const closing = opening.move();
    return { stop };
  },
});
