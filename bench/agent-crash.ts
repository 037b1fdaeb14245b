/**
 * An agent killed 100 times and ingest 20 times (SIGKILL) while samples flow: spooled samples that were
 * lost, and samples that are in the table twice. Both bars are 0.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { crash } from "../test/support/agent-crashes.ts";
import { openDatabases, startTestStores } from "../test/support/start-stores.ts";

await using stack = new AsyncDisposableStack();
const engines = await startTestStores();
stack.defer(async () => await engines.stop());
const stores = stack.use(await openDatabases(engines));
const result = await crash(stores, {
  agentKills: Number(process.env["AXONIZE_BENCH_KILLS"] ?? 100),
  ingestEvery: 5,
  lifeMs: () => Math.random() * 600,
});
console.log(JSON.stringify(result));
console.log(`lost ${result.lost} (bar 0), twice ${result.duplicates} (bar 0)`);
await mkdir(join(import.meta.dirname, "results"), { recursive: true });
await writeFile(
  join(import.meta.dirname, "results/agent-crash.json"),
  `${JSON.stringify({ machine: cpus()[0]?.model ?? "unknown", ...result }, undefined, 2)}\n`,
);
