/**
 * `npm run bench -- sdk-python`: the Python SDK beside OpenTelemetry's, in one process, per Python.
 *
 * Bars and what they mean: each figure is a ratio against OpenTelemetry measured back to back on the
 * same interpreter, because absolute times differ by machine and minute. Gates nothing. Takes Pythons
 * as AXONIZE_BENCH_PYTHONS (paths, separated by commas), else python3. The results' file keeps one report for
 * each version: a run replaces those that it measured.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";

interface Row {
  readonly axonizeNs: number;
  readonly otelNs: number;
  readonly ratio: number;
}

interface Report {
  readonly python: string;
  readonly implementation: string;
  readonly rows: Record<string, Row>;
  readonly tail: Record<string, { p50Us: number; p999Us: number }>;
  readonly sdk: { installedBytes: number; importMs: number; threadsAfterInit: number };
  readonly exitUnreachableMs: Record<string, number>;
  readonly takenAt: string;
  readonly load: number;
}

/** Least ratio to ship with. */
const bars: Record<string, number> = {
  "empty span": 30,
  "span with 5 attributes": 30,
  "record_token / add_event": 40,
  "encode a 5-attribute span": 1000,
  "create + encode + send, CPU": 80,
  "256-token request, CPU": 75,
};
/** What we are after. */
const moonshots: Record<string, number> = {
  "empty span": 80,
  "span with 5 attributes": 70,
  "record_token / add_event": 100,
  "encode a 5-attribute span": 2500,
  "create + encode + send, CPU": 150,
  "256-token request, CPU": 200,
};
const root = join(import.meta.dirname, "..");
const packages = ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-grpc==1.45.2"];

const pythons = (process.env["AXONIZE_BENCH_PYTHONS"] ?? "python3").split(",");
const reports = pythons.map((python) => measure(python));
for (const report of reports) print(report);
const results = join(import.meta.dirname, "results");
const file = join(results, "sdk-python.json");
mkdirSync(results, { recursive: true });
const kept = earlier().filter((one) => !reports.some(({ python }) => python === one.python));
const told = { cpu: cpus()[0]?.model, cores: cpus().length, bars, moonshots };
writeFileSync(
  file,
  `${JSON.stringify({ ...told, reports: [...kept, ...reports] }, undefined, 2)}\n`,
);

function earlier(): Report[] {
  if (!existsSync(file)) return [];
  // Written above.
  return (JSON.parse(readFileSync(file, "utf8")) as { reports: Report[] }).reports;
}

function measure(python: string): Report {
  const version = output(python, ["-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]);
  const venv = join(root, ".cache/python", `bench-${version.trim()}`);
  const binary = join(venv, "bin/python");
  if (!existsSync(binary)) {
    output(python, ["-m", "venv", venv]);
    output(binary, ["-m", "pip", "install", "--quiet", "wheel", "setuptools>=77", ...packages]);
  }
  output(binary, [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--force-reinstall",
    "--no-deps",
    "--no-build-isolation",
    join(root, "sdk/python"),
  ]);
  const load = loadavg()[0] ?? Number.NaN;
  const said = output(binary, [join(import.meta.dirname, "sdk-python.py")]);
  // The script prints a Report; it is ours and of this commit.
  const report = JSON.parse(said.trim().split("\n").at(-1) ?? "{}") as Report;
  return { ...report, takenAt: new Date().toISOString(), load };
}

function print(report: Report): void {
  console.log(`\nPython ${report.python}, ${report.implementation} core`);
  console.log(
    "                                 Axonize    OpenTelemetry     ratio       bar  moonshot",
  );
  for (const [name, row] of Object.entries(report.rows)) {
    const bar = bars[name] ?? 0;
    const cells = [
      name.padEnd(30),
      format(row.axonizeNs).padStart(10),
      format(row.otelNs).padStart(16),
      `${row.ratio.toFixed(0)}x`.padStart(9),
      `${bar}x`.padStart(8),
      `${moonshots[name] ?? 0}x`.padStart(9),
      row.ratio >= bar ? "" : "  BELOW",
    ];
    console.log(cells.join(" "));
  }
  const tail = Object.entries(report.tail).map(
    ([name, step]) => `${name} ${step.p50Us} / ${step.p999Us}`,
  );
  console.log(`step of ~70 us with one span, p50 / p99.9 in us: ${tail.join(", ")}`);
  const { installedBytes, importMs, threadsAfterInit } = report.sdk;
  console.log(
    `installed ${(installedBytes / 1024).toFixed(0)} KiB, import ${importMs} ms, threads after init ${threadsAfterInit}`,
  );
  const exits = Object.entries(report.exitUnreachableMs).map(([name, ms]) => `${name} ${ms} ms`);
  console.log(`exit without a server: ${exits.join(", ")}`);
}

function format(ns: number): string {
  return ns < 10_000 ? `${ns.toFixed(0)} ns` : `${(ns / 1000).toFixed(1)} us`;
}

function output(file: string, args: readonly string[]): string {
  const run = spawnSync(file, args, { cwd: root, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`${file} ${args.join(" ")}\n${run.stdout}${run.stderr}`);
  return run.stdout;
}
