/**
 * `npm run bench`: runs the measurements one after another, each in a process of its own.
 *
 * `npm run bench -- transcode queries` runs some. Each prints its figures as medians beside the
 * peer's, and writes them to bench/results/<name>.json with the machine named. They gate nothing.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { basename, join } from "node:path";

const here = import.meta.dirname;
const all = globSync("*.ts", { cwd: here })
  .map((file) => basename(file, ".ts"))
  .filter((name) => name !== "main" && name !== "otlp-payload")
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`No such bench: ${unknown.join(", ")}. There are: ${all.join(", ")}.`);
  process.exit(2);
}

const cpu = cpus();
console.log(
  `${cpu[0]?.model ?? "unknown CPU"}, ${cpu.length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
);
let failed = 0;
for (const name of wanted.length > 0 ? wanted : all) {
  console.log(`\n=== ${name}`);
  const run = spawnSync(process.execPath, ["--expose-gc", join(here, `${name}.ts`)], {
    stdio: "inherit",
  });
  if (run.status !== 0) failed += 1;
}
process.exit(failed === 0 ? 0 : 1);
