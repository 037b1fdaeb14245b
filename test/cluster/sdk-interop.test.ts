/**
 * Both SDKs against Go: grpc-go as the OTLP/gRPC server, and an HTTP/1.1 reverse proxy of Go's standard
 * library before an OTLP/HTTP one. Connections there are cut short (GOAWAY after 300 ms, idle ones closed
 * after 100), so that what is held is not only the first request: nothing is lost and nothing comes twice.
 *
 * Here because it needs Go, as this lane does; the program is tools/interop, built once per its sources.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { createWorkshop, findPythons } from "../../sdk/python/tests/workshop.ts";
import { runProgram } from "../../sdk/typescript/tests/support/program.ts";

const root = join(import.meta.dirname, "../..");
const source = join(root, "tools/interop");
const workshop = createWorkshop();
let venv = "";
let site = "";
let peer: ChildProcess | undefined;
let ports = { grpc: 0, http: 0, proxy: 0 };

interface Seen {
  readonly calls: number;
  readonly spans: number;
  readonly unique: number;
  readonly keys: Record<string, number>;
  readonly services: Record<string, number>;
}

async function build(): Promise<string> {
  const sum = createHash("sha256");
  for (const file of ["main.go", "go.mod", "go.sum"]) sum.update(readFileSync(join(source, file)));
  const folder = join(root, ".cache/interop");
  const binary = join(folder, sum.digest("hex").slice(0, 16));
  if (existsSync(binary)) return binary;
  await mkdir(folder, { recursive: true });
  const making = `${binary}.${process.pid}`;
  const built = spawnSync("go", ["build", "-buildvcs=false", "-o", making, "."], {
    cwd: source,
    encoding: "utf8",
  });
  assert.equal(built.status, 0, `tools/interop needs Go 1.25 or newer: ${built.stderr}`);
  renameSync(making, binary);
  return binary;
}

before(async () => {
  const [found] = findPythons();
  assert.ok(found, "install Python 3.10 or newer with its headers and venv");
  venv = await workshop.createVenv(found);
  const wheel = await workshop.buildWheel(venv, "interop", {});
  site = await workshop.install(venv, wheel, "interop");
  peer = spawn(await build(), { stdio: ["pipe", "pipe", "inherit"] });
  assert.ok(peer.stdout);
  const [line] = await once(createInterface(peer.stdout), "line");
  // The program is ours: one object of three ports.
  ports = JSON.parse(String(line)) as typeof ports;
});
after(async () => {
  workshop[Symbol.dispose]();
  if (!peer?.stdin) return;
  const ended = once(peer, "exit");
  peer.stdin.end();
  await ended;
});

/** What the Go side has of a service by one way. */
async function seen(way: "grpc" | "proxy"): Promise<Seen> {
  const answer = await fetch(`http://127.0.0.1:${ports.http}/seen`);
  const all = (await answer.json()) as Record<string, Seen>; // of the program above
  const found = all[way];
  assert.ok(found, JSON.stringify(all));
  return found;
}

const rounds = 6;
const perRound = 500;

/** Rounds with pauses longer than a connection lives there; the time is what is tested. */
const python = `
import sys, time, axonize
axonize.init(sys.argv[1], "python-interop", api_key="axk_python", compression=sys.argv[2] or None, batch_size=200)
for number in range(${rounds}):
    for item in range(${perRound}):
        with axonize.span("s", number=number, text="x" * (item % 50 * 20)):
            pass
    assert axonize.flush(30), axonize.stats()
    time.sleep(0.2)
stats = axonize.stats()
assert stats["sent"] == ${rounds * perRound} and stats["lost"] == stats["dropped"] == 0, stats
`;
const node = `import * as axonize from "@axonize/sdk";
const [endpoint, compression] = process.env.WHERE.split(" ");
axonize.init({ endpoint, serviceName: "node-interop", apiKey: "axk_node", compression: compression || undefined, batchSize: 200 });
for (let number = 0; number < ${rounds}; number++) {
  for (let item = 0; item < ${perRound}; item++)
    axonize.span("s", { attributes: { number, text: "x".repeat((item % 50) * 20) } }, () => undefined);
  if (!(await axonize.flush(30000))) throw new Error(JSON.stringify(axonize.stats()));
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const stats = axonize.stats();
if (stats.sent !== ${rounds * perRound} || stats.lost + stats.dropped > 0) throw new Error(JSON.stringify(stats));
`;

const endpointOf = (way: "grpc" | "proxy"): string =>
  way === "grpc" ? `127.0.0.1:${ports.grpc}` : `http://127.0.0.1:${ports.proxy}`;

async function hold(name: string, way: "grpc" | "proxy", earlier: number): Promise<void> {
  const { unique, spans, keys, services, calls } = await seen(way);
  assert.equal(unique - earlier, rounds * perRound, "every span, by its id");
  assert.equal(spans, unique, "none twice");
  assert.ok((keys[`Bearer axk_${name}`] ?? 0) >= rounds, JSON.stringify(keys));
  assert.ok((services[`${name}-interop`] ?? 0) >= rounds, JSON.stringify(services));
  assert.ok(calls >= rounds);
}

/** Spans that earlier tests brought by each way. */
const brought = { grpc: 0, proxy: 0 };
for (const way of ["grpc", "proxy"] as const) {
  for (const compression of ["", "gzip"]) {
    const how = `${way}${compression === "" ? "" : ", gzip"}`;
    test(`the Python SDK over ${how}`, async () => {
      const args = ["-c", python, endpointOf(way), compression];
      const done = await workshop.run(join(venv, "bin/python"), args, { PYTHONPATH: site });
      assert.equal(done.code, 0, done.output);
      await hold("python", way, brought[way]);
      brought[way] += rounds * perRound;
    });

    test(`the TypeScript SDK over ${how}`, async () => {
      const done = await runProgram(node, { WHERE: `${endpointOf(way)} ${compression}` });
      assert.equal(done.code, 0, done.stderr);
      await hold("node", way, brought[way]);
      brought[way] += rounds * perRound;
    });
  }
}
