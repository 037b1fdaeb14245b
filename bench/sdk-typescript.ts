/**
 * `npm run bench -- sdk-typescript`: the TypeScript SDK beside OpenTelemetry's, in one process, per Node.
 *
 * Each figure is a ratio against OpenTelemetry measured back to back on the same Node, because absolute
 * times differ by machine and minute; times are CPU time. "Main thread" is what a 5-attribute span costs the event loop all
 * in: OpenTelemetry encodes there, we do in a worker. Gates nothing. Takes Nodes as
 * AXONIZE_BENCH_NODES (paths, separated by commas), else this one, those on the PATH and in .cache/node.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { cpus } from "node:os";
import { delimiter, join } from "node:path";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

interface Report {
  readonly node: string;
  readonly rows: Record<string, { axonizeNs: number; otelNs: number; ratio: number }>;
  readonly floor: Record<string, number>;
  readonly dropped: number;
}

const root = join(import.meta.dirname, "..");
const peers = join(root, ".cache/bench-otel-js");
/** The last line that runs on Node 20. */
const packages = [
  "@opentelemetry/api@1.9.1",
  "@opentelemetry/sdk-trace-node@2.12.0",
  "@opentelemetry/otlp-transformer@0.223.0",
];

if (isMainThread) await main();
else sink();

async function main(): Promise<void> {
  mkdirSync(peers, { recursive: true });
  if (!existsSync(join(peers, "node_modules/@opentelemetry/otlp-transformer"))) {
    writeFileSync(join(peers, "package.json"), '{ "private": true }\n');
    output("npm", ["install", "--no-audit", "--no-fund", "--prefix", peers, ...packages]);
  }
  output(process.execPath, [join(root, "sdk/typescript/scripts/build.ts")]);
  const server = new Worker(import.meta.filename);
  const port = await new Promise<number>((resolve) => {
    server.once("message", resolve);
  });
  const reports = findNodes().map((node) => measure(node, port));
  await server.terminate();
  for (const report of reports) print(report);
  const results = join(import.meta.dirname, "results");
  mkdirSync(results, { recursive: true });
  writeFileSync(
    join(results, "sdk-typescript.json"),
    `${JSON.stringify({ cpu: cpus()[0]?.model, cores: cpus().length, reports }, undefined, 2)}\n`,
  );
}

/** Says yes to everything, in a thread of its own. */
function sink(): void {
  const server = createServer((request, response) => {
    request.resume().on("end", () => response.writeHead(200).end());
  });
  const port = parentPort;
  // A listening TCP server has an address of this kind.
  server.listen(0, "127.0.0.1", () => port?.postMessage((server.address() as AddressInfo).port));
}

function measure(node: string, port: number): Report {
  const child = join(root, "sdk/typescript/bench/side-by-side.mjs");
  const sdk = join(root, "sdk/typescript/dist/esm/index.js");
  const told = output(node, [child, peers, sdk, `http://127.0.0.1:${port}`]);
  // The child prints a Report; it is ours and of this commit.
  return JSON.parse(told.trim().split("\n").at(-1) ?? "{}") as Report;
}

/** Least ratio to ship with, by Node's major version. */
function bar(row: string, major: number): number | undefined {
  if (row === "empty span") return major < 24 ? 5 : 3;
  return row.startsWith("main thread") ? (major < 24 ? 8 : 5) : undefined;
}

function print(report: Report): void {
  const major = Number.parseInt(report.node.slice(1));
  console.log(`\nNode ${report.node}, dropped ${report.dropped}`);
  console.log(`${"".padEnd(42)}Axonize   OpenTelemetry    ratio      bar`);
  for (const [name, row] of Object.entries(report.rows)) {
    const least = bar(name, major);
    const cells = [
      name.padEnd(38),
      `${row.axonizeNs.toFixed(0)} ns`.padStart(10),
      `${row.otelNs.toFixed(0)} ns`.padStart(15),
      `${row.ratio.toFixed(1)}x`.padStart(9),
      (least === undefined ? "" : `${least}x`).padStart(8),
      least === undefined || row.ratio >= least ? "" : "  BELOW",
    ];
    console.log(cells.join(""));
  }
  const floor = Object.entries(report.floor).map(([name, ns]) => `${name} ${ns.toFixed(0)} ns`);
  console.log(`floor: ${floor.join(", ")}`);
}

/** One of each major version from 20 on. */
function findNodes(): string[] {
  const given = process.env["AXONIZE_BENCH_NODES"];
  if (given !== undefined) return given.split(",");
  const paths = [
    ...(process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "node")),
    ...globSync("node/*/bin/node", { cwd: join(root, ".cache") }).map((path) =>
      join(root, ".cache", path),
    ),
    process.execPath,
  ];
  const found = new Map<number, string>();
  for (const path of new Set(paths.filter(existsSync).map((path) => realpathSync(path)))) {
    const told = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout;
    const major = Number.parseInt(told.slice(1));
    if (major >= 20 && !found.has(major)) found.set(major, path);
  }
  return [...found].sort(([a], [b]) => a - b).map(([, path]) => path);
}

function output(file: string, args: readonly string[]): string {
  const run = spawnSync(file, args, { cwd: root, encoding: "utf8" });
  if (run.status !== 0) throw new Error(`${file} ${args.join(" ")}\n${run.stdout}${run.stderr}`);
  return run.stdout;
}
