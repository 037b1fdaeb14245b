/** `npm start`: reads the command line and the environment, starts, and handles signals. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@axonize/core/runtime/clock";
import { runProcess } from "@axonize/core/runtime/lifecycle";
import { startStandalone } from "./app.ts";
import { readCommand } from "./command-line.ts";

const manifest = readFileSync(join(import.meta.dirname, "../package.json"), "utf8");
// Our own file.
const { version } = JSON.parse(manifest) as { version: string };

await runProcess({
  name: "axonize",
  stopBudgetMs: 5_000,
  start: async (signal) => {
    const command = readCommand(process.argv.slice(2), process.env, version);
    if (command.kind === "print") {
      process.stdout.write(command.text);
      process.exit(0);
    }
    const running = await startStandalone({
      config: command.config,
      version,
      migrateOnly: command.kind === "migrate",
      signal,
      output: {
        write: (text) => process.stdout.write(text),
        color: process.stdout.isTTY && process.env["NO_COLOR"] === undefined,
      },
      clock: systemClock,
    });
    if (command.kind === "migrate") {
      await running.stop();
      process.exit(0);
    }
    return running;
  },
});
