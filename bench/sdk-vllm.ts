/**
 * `npm run bench -- sdk-vllm`: what observing costs a real vLLM under load, in tokens per second.
 *
 * Paired ratios: in each round the same work runs unobserved, with our SDK and with OpenTelemetry's, in random
 * order on one engine; the figure is the median of with ÷ without. The bar is 0.99 for ours. Needs what
 * `npm run test:engine` sets up under .cache/vllm. A machine that nobody else uses for four minutes is enough for
 * the default of 8 rounds; AXONIZE_BENCH_APPEND=1 adds to the rounds of earlier runs. Gates nothing.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";

type Round = Record<"none" | "axonize" | "otel", number>;

interface Run {
  readonly rounds: readonly Round[];
  readonly spans: number;
  readonly arrived: number;
}

const bar = 0.99;
const root = join(import.meta.dirname, "..");
const python = join(root, ".cache/vllm/venv/bin/python");
const file = join(import.meta.dirname, "results/sdk-vllm.json");
const rounds = process.env["AXONIZE_BENCH_ROUNDS"] ?? "8";
const seed = Math.floor(Math.random() * 2 ** 31);

if (!existsSync(python)) {
  console.error("vLLM is not here: `npm run test:engine` sets it up.");
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), "axonize-bench-vllm-"));
try {
  const run = measure();
  const runs = [...(process.env["AXONIZE_BENCH_APPEND"] === "1" ? earlier() : []), run];
  report(runs);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function measure(): Run {
  const site = join(folder, "site");
  const model = join(folder, "model");
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", site];
  output([...pip, join(root, "sdk/python")]);
  output([join(root, "test/engine/make_model.py"), model]);
  const told = output([join(import.meta.dirname, "sdk-vllm.py"), model, rounds, String(seed)], {
    PYTHONPATH: site,
    HF_HUB_OFFLINE: "1",
    TRANSFORMERS_OFFLINE: "1",
    VLLM_NO_USAGE_STATS: "1",
    DO_NOT_TRACK: "1",
    VLLM_CPU_KVCACHE_SPACE: "1",
    VLLM_LOGGING_LEVEL: "WARNING",
  });
  // The script prints a Run; it is ours and of this commit.
  return JSON.parse(told.trim().split("\n").at(-1) ?? "{}") as Run;
}

function earlier(): Run[] {
  if (!existsSync(file)) return [];
  // Written below.
  return (JSON.parse(readFileSync(file, "utf8")) as { runs: Run[] }).runs;
}

function report(runs: readonly Run[]): void {
  const all = runs.flatMap((run) => run.rounds);
  const summary = (["axonize", "otel"] as const).map((way) => {
    const ratios = all.map((round) => round[way] / round.none).toSorted((a, b) => a - b);
    return {
      way,
      median: quantile(ratios, 0.5),
      lowerQuartile: quantile(ratios, 0.25),
      upperQuartile: quantile(ratios, 0.75),
      tokensPerSecond: quantile(
        all.map((round) => round[way]).toSorted((a, b) => a - b),
        0.5,
      ),
    };
  });
  const none = quantile(
    all.map((round) => round.none).toSorted((a, b) => a - b),
    0.5,
  );
  console.log(`unobserved ${none.toFixed(0)} tokens/s, median of ${all.length} rounds`);
  for (const { way, median, lowerQuartile, upperQuartile, tokensPerSecond } of summary) {
    const range = `${lowerQuartile.toFixed(3)}–${upperQuartile.toFixed(3)}`;
    const below = way === "axonize" && median < bar ? "  BELOW" : "";
    console.log(
      `${way.padEnd(8)} ${tokensPerSecond.toFixed(0)} tokens/s, ÷ unobserved ${median.toFixed(3)} (${range})${below}`,
    );
  }
  mkdirSync(join(import.meta.dirname, "results"), { recursive: true });
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg() };
  const told = { ...machine, bar, unobservedTokensPerSecond: none, summary, runs };
  writeFileSync(file, `${JSON.stringify(told, undefined, 2)}\n`);
}

function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return Math.round((below + (above - below) * (at % 1)) * 10_000) / 10_000;
}

function output(args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const run = spawnSync(python, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (run.status !== 0) throw new Error(`python ${args.join(" ")}\n${run.stdout}${run.stderr}`);
  return run.stdout;
}
