/** The embedded stores as a process of their own, for the chart's trial mode. */
import { systemClock } from "@axonize/core/runtime/clock";
import { parseConfig, printConfig } from "@axonize/core/runtime/config";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { createLog } from "@axonize/core/runtime/log";
import { startStores } from "./app.ts";
import { StoresConfig } from "./config.ts";
import { processStopBudgetMs } from "./limits.ts";

await runProcess({
  name: "axonize-stores",
  stopBudgetMs: processStopBudgetMs,
  start: async (signal) => {
    const config = parseConfig(StoresConfig, process.env);
    if (process.argv.includes("--print-config")) {
      process.stdout.write(`${printConfig(StoresConfig, config)}\n`);
      process.exit(0);
    }
    const log = createLog({ component: "stores", level: config.AXONIZE_LOG_LEVEL });
    return await startStores({ log, clock: systemClock }, { config, signal });
  },
});
