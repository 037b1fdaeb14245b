/**
 * The SDK in the life of a process: no thread before the first span, every way to end, children, cluster
 * workers and worker threads. Nothing is lost that two seconds allow, nothing is sent twice, nothing
 * hangs, and exit codes and signals stay what they were. Each case is a program of its own.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCollector, type Collector } from "./support/collector.ts";
import { runProgram, type Ended } from "./support/program.ts";

const head = `import * as axonize from "@axonize/sdk";
axonize.init({ flushIntervalMs: 3600000 });
const work = (n, name = "s") => { for (let i = 0; i < n; i++) axonize.span(name, () => undefined); };
`;

/** Runs a program against a collector; every span must have arrived once. */
async function ends(
  program: string,
  spans: number,
  options: { signal?: NodeJS.Signals; flags?: string[]; reply?: Collector["reply"] } = {},
): Promise<Ended> {
  await using collector = await createCollector("grpc");
  if (options.reply !== undefined) collector.reply = options.reply;
  const { signal } = options;
  const done = await runProgram(
    head + program,
    // Two seconds are enough for a machine that works, not for one that runs ten tests at once.
    { AXONIZE_ENDPOINT: collector.endpoint, AXONIZE_EXIT_TIMEOUT_MS: "40000" },
    (child, printed) => {
      if (signal === undefined) return;
      let sent = false;
      child.stdout?.on("data", () => {
        if (!sent && printed().includes("ready")) {
          sent = true;
          child.kill(signal);
        }
      });
    },
    options.flags,
  );
  const ids = collector.spans().map(({ spanId }) => spanId);
  assert.equal(ids.length, spans, `${done.stdout}${done.stderr}`);
  assert.equal(new Set(ids).size, spans, "sent twice");
  return done;
}

test("a program that just ends loses nothing and ends soon", async () => {
  const done = await ends("work(300);", 300);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stderr, "");
});

test("process.exit keeps its code and loses nothing", async () => {
  const done = await ends("work(300); process.exit(7);", 300);
  assert.equal(done.code, 7);
});

test("an uncaught exception prints and ends as ever, and its spans are sent", async () => {
  const done = await ends(
    `axonize.span("outer", () => { work(2); throw new RangeError("unhandled"); });`,
    3,
  );
  assert.equal(done.code, 1);
  assert.match(done.stderr, /RangeError: unhandled/);
});

test("an unhandled rejection ends as ever, and its spans are sent", async () => {
  const done = await ends(`work(2); await Promise.reject(new Error("rejected"));`, 2);
  assert.equal(done.code, 1);
  assert.match(done.stderr, /Error: rejected/);
});

const wait = `setInterval(() => undefined, 1000); console.log("ready");`;
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} flushes and then ends the process as before`, async () => {
    const done = await ends(`work(300); ${wait}`, 300, { signal });
    assert.equal(done.signal, signal);
  });
}

test("a program that handles SIGTERM itself ends as it likes", async () => {
  const done = await ends(
    `work(3);
process.once("SIGTERM", () => setTimeout(() => { work(2); process.exit(3); }, 50));
${wait}`,
    5,
    { signal: "SIGTERM" },
  );
  assert.equal(done.code, 3);
});

test("handleSignals: false leaves signals alone", async () => {
  const done = await ends(
    `axonize.init({ handleSignals: true });
console.log(process.listenerCount("SIGTERM"));`,
    0,
  );
  assert.equal(done.stdout.trim(), "1");
  const alone = await runProgram(`import * as axonize from "@axonize/sdk";
const before = process.listenerCount("exit");
axonize.init({ handleSignals: false });
console.log(process.listenerCount("SIGTERM"), process.listenerCount("exit") - before);`);
  assert.equal(alone.stdout.trim(), "0 1");
});

test("a program without spans starts no thread, waits for nothing and asks nobody", async () => {
  const done = await ends(
    `const { readdirSync, existsSync } = await import("node:fs");
if (existsSync("/proc/self/task")) {
  const threads = () => readdirSync("/proc/self/task").length;
  const before = threads();
  await new Promise((resolve) => setTimeout(resolve, 50));
  console.log(threads() - before);
} else console.log(0);`,
    0,
  );
  assert.equal(done.stdout.trim(), "0");
});

test("a server that is not there, or never answers, delays the end by two seconds at most", async () => {
  const floor = await runProgram(`${head} await 0;`);
  const absent = await runProgram(`${head} work(3);`, { AXONIZE_ENDPOINT: "127.0.0.1:1" });
  assert.equal(absent.code, 0);
  assert.ok(absent.tookMs < floor.tookMs + 2500, `${absent.tookMs} ms`);
  assert.equal(absent.stderr.trim().split("\n").length, 1, absent.stderr);
  for (const protocol of ["grpc", "http"] as const) {
    await using collector = await createCollector(protocol);
    collector.reply = () => ({ hang: true });
    const silent = await runProgram(`${head} work(3);`, { AXONIZE_ENDPOINT: collector.endpoint });
    assert.equal(silent.code, 0);
    // Two seconds, and what a loaded machine adds.
    assert.ok(
      silent.tookMs < floor.tookMs * 3 + 3500,
      `${silent.tookMs} ms, ${floor.tookMs} without`,
    );
  }
});

test("a running exporter does not keep the process alive", async () => {
  const done = await ends(
    `work(600); await axonize.flush(10000); work(1);
setTimeout(() => undefined, 20);`,
    601,
  );
  assert.equal(done.code, 0);
  assert.ok(done.tookMs < 20_000);
});

test("awaiting a flush keeps the process alive until it is done", async () => {
  const done = await ends(`work(10); console.log(await axonize.flush(10000));`, 10);
  assert.equal(done.stdout.trim(), "true");
});

test("shutdown at the end, and the end itself, send once", async () => {
  const done = await ends(`work(10); await axonize.shutdown(10000); work(5);`, 10);
  assert.equal(done.code, 0);
});

test("a main thread that is busy to its end loses nothing", async () => {
  const done = await ends(
    `work(20000); const until = performance.now() + 100; while (performance.now() < until);`,
    20_000,
  );
  assert.equal(done.code, 0, done.stderr);
});

const child = (spans: number): string =>
  JSON.stringify(`${head} work(${spans}, "child"); process.disconnect?.();`);

test("child processes have spans of their own, sent once", async () => {
  await ends(
    `work(5, "parent");
const { spawnSync } = await import("node:child_process");
for (let i = 0; i < 3; i++) {
  spawnSync(process.execPath, ["--input-type=module", "--eval", ${child(4)}], { stdio: "inherit" });
}
work(5, "parent");`,
    22,
  );
});

test("cluster workers and their primary lose and double nothing, also when workers are killed softly", async () => {
  await ends(
    `const { default: cluster } = await import("node:cluster");
const { writeFileSync, mkdtempSync, rmSync } = await import("node:fs");
const { tmpdir } = await import("node:os");
const folder = mkdtempSync(tmpdir() + "/axonize-cluster-");
const file = folder + "/worker.mjs";
const sdk = import.meta.resolve("@axonize/sdk");
writeFileSync(file, 'import * as axonize from ' + JSON.stringify(sdk) + ';' +
  'axonize.init({ flushIntervalMs: 3600000 }); for (let i = 0; i < 6; i++) axonize.span("w", () => 0);' +
  'process.send("done"); setInterval(() => 0, 1000);');
work(5, "primary");
cluster.setupPrimary({ exec: file, execArgv: [] });
await Promise.all([0, 1, 2].map(() => new Promise((resolve) => {
  const worker = cluster.fork();
  worker.on("message", () => worker.process.kill("SIGTERM"));
  worker.on("exit", resolve);
})));
rmSync(folder, { recursive: true });`,
    23,
  );
});

test("worker threads have rings of their own and flush when they end", async () => {
  await ends(
    `const { Worker } = await import("node:worker_threads");
const sdk = import.meta.resolve("@axonize/sdk");
const code = 'import(' + JSON.stringify(sdk) + ').then((axonize) => {' +
  'axonize.init({ flushIntervalMs: 3600000 });' +
  'for (let i = 0; i < 7; i++) axonize.span("thread", () => 0);' +
  'if (require("node:worker_threads").workerData) process.exit(); });';
work(5);
await Promise.all([true, false].map((hard) => new Promise((resolve) =>
  new Worker(code, { eval: true, execArgv: [], workerData: hard }).on("exit", resolve))));`,
    19,
  );
});

test("preloads of the program do not run in the exporter", async () => {
  const preload = "data:text/javascript,console.log('preloaded')";
  const done = await ends("work(3);", 3, { flags: [`--import=${preload}`] });
  assert.equal(done.stdout.trim(), "preloaded");
});

test("an exporter that dies is started anew, and one that keeps dying stops recording", async () => {
  const done = await ends(
    `const { Worker } = await import("node:worker_threads");
const lines = [];
axonize.init({ flushIntervalMs: 3600000, log: (line) => lines.push(line) });
work(3);
await axonize.flush(10000);
const proto = Worker.prototype;
const end = async () => {
  const [worker] = exporters.splice(0);
  await worker.terminate();
  await new Promise((resolve) => setTimeout(resolve, 50));
};
const exporters = [];
const ref = proto.unref;
proto.unref = function () { exporters.push(this); return ref.call(this); };
axonize.init({ flushIntervalMs: 3600000, log: (line) => lines.push(line) });
work(1); await axonize.flush(10000);
await end(); work(2); console.log(await axonize.flush(10000));
await end(); work(2); console.log(await axonize.flush(10000));
await end(); work(2); console.log(await axonize.flush(1000), axonize.startSpan("x").isRecording);
console.log(lines.filter((line) => line.includes("exporter stopped")).length);`,
    8,
  );
  assert.deepEqual(done.stdout.trim().split("\n"), ["true", "true", "true false", "2"]);
});

test("a clock that jumps moves later spans, and no duration", async () => {
  await using collector = await createCollector("grpc");
  const done = await runProgram(
    `${head}
const real = Date.now;
work(1, "before"); await axonize.flush(10000);
axonize.span("now", (s) => { Date.now = () => real() + 3_600_000; s.addEvent("e"); });
console.log(real());
await axonize.flush(10000);`,
    { AXONIZE_ENDPOINT: collector.endpoint },
  );
  const at = Number(done.stdout);
  const [, span] = collector.spans();
  assert.ok(span);
  // The exporter's clock did not jump (its thread has its own Date), the program's did: events follow it.
  assert.ok(Math.abs(Number(span.startNs / 1_000_000n) - at) < 60_000);
  assert.ok(Number((span.events[0]?.timeNs ?? 0n) / 1_000_000n) - at > 3_000_000);
  assert.ok(span.endNs - span.startNs < 60_000_000_000n);
});

test("thirty thousand spans leave no memory behind", async () => {
  const done = await ends(
    `const rss = () => { globalThis.gc(); return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers; };
const burst = async () => { for (let i = 0; i < 20; i++) { work(500); await axonize.flush(20000); } };
await burst(); const before = rss(); await burst(); await burst();
console.log(Math.round((rss() - before) / 1024));`,
    30_000,
    { flags: ["--expose-gc"] },
  );
  assert.ok(Number(done.stdout) < 2048, `${done.stdout} KiB more`);
});

/** Workers are what this permission model forbids; the program may read, so that it finds the SDK. */
const noWorkers = [
  Number(process.versions.node.split(".")[0]) < 22 ? "--experimental-permission" : "--permission",
  "--allow-fs-read=*",
  ...(process.allowedNodeEnvironmentFlags.has("--allow-net") ? ["--allow-net"] : []),
];

test("without worker threads the program's own thread sends, and one line says so", async () => {
  const flushed = await ends("work(300); console.log(await axonize.flush(20000));", 300, {
    flags: noWorkers,
  });
  assert.match(flushed.stdout, /true/);
  const said = flushed.stderr.split("\n").filter((line) => line.startsWith("axonize"));
  assert.equal(said.length, 1, flushed.stderr);
  assert.match(said[0] ?? "", /sending from this one/);
});

test("without worker threads a program that just ends loses nothing", async () => {
  const done = await ends("work(300); await new Promise(setImmediate); work(5);", 305, {
    flags: noWorkers,
  });
  assert.equal(done.code, 0, done.stderr);
});

test("without worker threads neither an exporter nor a deaf server keeps the program alive", async () => {
  await using collector = await createCollector("grpc");
  collector.reply = () => ({ hang: true });
  const done = await runProgram(
    `${head}work(3); process.on("exit", () => console.log(axonize.stats().pending));`,
    { AXONIZE_ENDPOINT: collector.endpoint, AXONIZE_EXIT_TIMEOUT_MS: "200" },
    undefined,
    noWorkers,
  );
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stdout.trim(), "3");
  assert.ok(done.tookMs < 30_000, `${done.tookMs} ms`);
});
