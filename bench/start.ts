/**
 * How long `npm start` takes to its banner, the first time (empty data directory) and later, and what
 * the idle process tree holds in memory. Building the web app, part of the very first start after
 * `npm ci`, is timed on its own.
 *
 * Memory is proportional set size where Linux tells it (shared pages counted once), else resident size.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { processTree, startProduct, totalMb, type Held } from "./support/product.ts";

const root = join(import.meta.dirname, "..");
const rounds = Number(process.argv[2] ?? 3);
const bars = { firstMs: 10_000, laterMs: 4_000, idleMb: 700 };

const first: number[] = [];
const later: number[] = [];
let idle: Record<string, Held> = {};
for (let round = 0; round < rounds; round += 1) {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-bench-"));
  first.push(await measureStart(dataDir));
  later.push(
    await measureStart(dataDir, async (pid) => {
      // What the start itself needed is given back within seconds.
      if (round === 0) await sleep(15_000);
      if (round === 0) idle = processTree(pid);
    }),
  );
  await rm(dataDir, { recursive: true, force: true });
}
const buildMs = measureBuild();

const idleMb = totalMb(idle);
const figures = {
  machine: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores, Node ${process.version}`,
  firstMs: median(first),
  laterMs: median(later),
  webBuildMs: buildMs,
  idleMb,
  idleByProcess: idle,
};
console.log(
  `npm start to banner, empty data directory   ${line(figures.firstMs, bars.firstMs, "ms")}`,
);
console.log(
  `npm start to banner, later                  ${line(figures.laterMs, bars.laterMs, "ms")}`,
);
console.log(
  `building the web app (first after npm ci)   ${buildMs === undefined ? "not here" : `${buildMs} ms`}`,
);
console.log(`memory of the idle process tree             ${line(idleMb, bars.idleMb, "MB")}`);
for (const [name, { memoryMb }] of Object.entries(idle)) {
  console.log(`  ${name.padEnd(42)}${memoryMb} MB`);
}
mkdirSync(join(root, "bench/results"), { recursive: true });
writeFileSync(join(root, "bench/results/start.json"), `${JSON.stringify(figures, undefined, 2)}\n`);

async function measureStart(
  dataDir: string,
  whileIdle: (pid: number) => Promise<void> = async () => await Promise.resolve(),
): Promise<number> {
  const product = await startProduct(dataDir);
  await whileIdle(product.pid);
  await product.stop();
  return product.readyMs;
}

/** Into a folder of its own, so that a running instance keeps its app. */
function measureBuild(): number | undefined {
  const out = join(tmpdir(), `axonize-bench-web-${process.pid}`);
  const started = performance.now();
  const run = spawnSync(
    process.execPath,
    [
      join(root, "node_modules/vite/bin/vite.js"),
      "build",
      "--logLevel",
      "error",
      "--outDir",
      out,
      "--emptyOutDir",
    ],
    { cwd: join(root, "dashboard/web") },
  );
  rmSync(out, { recursive: true, force: true });
  return run.status === 0 ? Math.round(performance.now() - started) : undefined;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? Number.NaN);
}

function line(value: number, bar: number, unit: string): string {
  return `${String(value).padStart(6)} ${unit}   bar ${bar} ${unit}   ${value <= bar ? "holds" : "MISSED"}`;
}
