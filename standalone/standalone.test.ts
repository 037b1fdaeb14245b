/**
 * Standalone as a user starts it: a process of its own in an empty folder, spoken to over its ports,
 * stopped by signals. What it acknowledged is looked for in the stores it leaves behind.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createClickHouse } from "@axonize/core/runtime/clickhouse";
import { silentLog } from "@axonize/core/runtime/log";
import { eventually, readRows } from "../test/support/engine-client.ts";
import { startClickHouse } from "./clickhouse/start.ts";

const main = join(import.meta.dirname, "main.ts");

const anyPorts = {
  AXONIZE_HTTP_LISTEN: "127.0.0.1:0",
  AXONIZE_OTLP_HTTP_LISTEN: "127.0.0.1:0",
  AXONIZE_OTLP_GRPC_LISTEN: "127.0.0.1:0",
};

interface Instance {
  child: ChildProcess;
  output: () => string;
  otlpHttp: string;
  dashboard: string;
  /** Sends the signal; resolves with exit code and the time it took. */
  stop(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }>;
}

/** Of the running test: what a failed one leaves is ended with it. */
const launched: ChildProcess[] = [];

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "axonize-standalone-"));
  try {
    await use(folder);
  } finally {
    for (const child of launched.splice(0)) child.kill("SIGKILL");
    // A failed test may leave a process behind that still writes for a moment.
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  }
}

function launch(
  folder: string,
  env: Record<string, string> = {},
): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [main], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"],
      ...anyPorts,
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  launched.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  return { child, output: () => output };
}

async function start(folder: string, env: Record<string, string> = {}): Promise<Instance> {
  const { child, output } = launch(folder, env);
  const deadline = performance.now() + 60_000;
  while (!output().includes("Ctrl-C stops it")) {
    assert.ok(
      child.exitCode === null && performance.now() < deadline,
      `did not start:\n${output()}`,
    );
    await sleep(20);
  }
  const line = (name: string): string =>
    new RegExp(`${name}\\s+(?:http://)?(\\S+)`).exec(output())?.[1] ?? assert.fail(`no ${name}`);
  return {
    child,
    output,
    otlpHttp: `http://${line("OTLP HTTP").replace("0.0.0.0", "127.0.0.1")}`,
    // Where the web app is not built, the banner names the API instead.
    dashboard: `http://${line("(?:Dashboard|API)").replace("/api/v1", "")}`,
    stop: async (signal) => {
      const started = performance.now();
      const exited = once(child, "exit");
      child.kill(signal);
      const [code]: unknown[] = await exited;
      return { code: typeof code === "number" ? code : null, ms: performance.now() - started };
    },
  };
}

/** Starts and waits for the end: for starts that must fail. */
async function fails(folder: string, env: Record<string, string> = {}): Promise<string> {
  const { child, output } = launch(folder, env);
  const [code]: unknown[] = await once(child, "close");
  assert.notEqual(code, 0, output());
  assert.doesNotMatch(output(), /\n\s+at .*:\d+:\d+/, "a stack trace");
  return output();
}

/** One span as OTLP/JSON; resolves with the status, or undefined if nobody answered. */
async function send(
  url: string,
  traceId: string,
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  const nano = `${Date.now()}000000`;
  const span = {
    traceId,
    spanId: traceId.slice(0, 16),
    name: "chat",
    kind: 3,
    startTimeUnixNano: nano,
    endTimeUnixNano: nano,
  };
  try {
    const answer = await fetch(`${url}/v1/traces`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
      signal: AbortSignal.timeout(15_000),
    });
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return undefined; // refused, reset or too late: not acknowledged
  }
}

const newTraceId = (): string => randomBytes(16).toString("hex");

/** What is stored, read by an engine of our own once the instance has gone. */
async function storedTraces(folder: string): Promise<string[]> {
  const engine = {
    dataDir: join(folder, ".axonize"),
    log: silentLog,
    signal: new AbortController().signal,
  };
  await using clickhouse = await startClickHouse(engine);
  const client = createClickHouse({ url: clickhouse.url, application: "test" });
  const rows = await readRows<{ id: string }>(
    client,
    "SELECT lower(hex(trace_id)) AS id FROM spans FINAL",
  );
  await client.close();
  return rows.map(({ id }) => id);
}

/** Senders that never stop by themselves; `acknowledged` grows while they run. */
function sendMany(
  url: string,
  senders: number,
): AsyncDisposable & { acknowledged: string[]; stop: () => Promise<void> } {
  const acknowledged: string[] = [];
  const stop = new AbortController();
  const running = Array.from({ length: senders }, async () => {
    while (!stop.signal.aborted) {
      const traceId = newTraceId();
      if ((await send(url, traceId)) === 200) acknowledged.push(traceId);
      else await sleep(20);
    }
  });
  const stopAll = async (): Promise<void> => {
    stop.abort();
    await Promise.all(running);
  };
  return { acknowledged, stop: stopAll, [Symbol.asyncDispose]: stopAll };
}

async function engineChild(parent: number): Promise<number> {
  const children = (await readFile(`/proc/${parent}/task/${parent}/children`, "utf8"))
    .trim()
    .split(" ");
  for (const pid of children) {
    if ((await readFile(`/proc/${pid}/cmdline`, "utf8")).includes("clickhouse/child.ts"))
      return Number(pid);
  }
  assert.fail("no engine process");
}

test("an empty folder becomes a running Axonize, and a restart keeps everything", async () => {
  await inFolder(async (folder) => {
    const first = await start(folder);
    assert.equal((await stat(join(folder, ".axonize/admin-key"))).mode & 0o777, 0o600);
    const adminKey = (await readFile(join(folder, ".axonize/admin-key"), "utf8")).trim();
    assert.ok(!first.output().includes(adminKey));
    const traceId = newTraceId();
    assert.equal(await send(first.otlpHttp, traceId), 200);
    const ready = await fetch(`${first.dashboard}/readyz`);
    assert.equal(ready.status, 200, await ready.text());
    const stopped = await first.stop("SIGINT");
    assert.equal(stopped.code, 0, first.output());

    const second = await start(folder);
    assert.match(second.output(), /kept from before/);
    const trace = await fetch(`${second.dashboard}/api/v1/traces/${traceId}`);
    assert.equal(trace.status, 200, await trace.text());
    assert.equal((await readFile(join(folder, ".axonize/admin-key"), "utf8")).trim(), adminKey);
    assert.equal((await second.stop("SIGTERM")).code, 0, second.output());
    const log = await readFile(join(folder, ".axonize/logs/axonize.log"), "utf8");
    assert.ok(!log.includes(adminKey));
  });
});

test("SIGTERM under load: exit 0 within the 5 s that it has, and every acknowledged span is there", async () => {
  await inFolder(async (folder) => {
    const instance = await start(folder);
    await using load = sendMany(instance.otlpHttp, 16);
    await eventually(
      "spans are acknowledged",
      async () => await Promise.resolve(load.acknowledged.length > 200),
    );
    const stopped = await instance.stop("SIGTERM");
    await load.stop();
    assert.equal(stopped.code, 0, instance.output());
    const stored = new Set(await storedTraces(folder));
    assert.deepEqual(
      load.acknowledged.filter((id) => !stored.has(id)),
      [],
    );
  });
});

test("the engine killed under load: senders are told to wait, then it goes on, and nothing is lost", async () => {
  await inFolder(async (folder) => {
    const instance = await start(folder);
    const pid = instance.child.pid ?? assert.fail("no pid");
    await using load = sendMany(instance.otlpHttp, 16);
    for (let kill = 0; kill < 2; kill += 1) {
      const before = load.acknowledged.length;
      await eventually(
        "spans are acknowledged",
        async () => await Promise.resolve(load.acknowledged.length > before + 100),
      );
      process.kill(await engineChild(pid), "SIGKILL");
    }
    const before = load.acknowledged.length;
    await eventually(
      "it goes on",
      async () => await Promise.resolve(load.acknowledged.length > before + 100),
    );
    await load.stop();
    assert.equal((await instance.stop("SIGTERM")).code, 0, instance.output());
    const stored = await storedTraces(folder);
    const found = new Set(stored);
    assert.deepEqual(
      load.acknowledged.filter((id) => !found.has(id)),
      [],
    );
    assert.equal(stored.length, found.size, "a span was stored twice");
  });
});

test("killed itself, it leaves nothing running and starts again", async () => {
  await inFolder(async (folder) => {
    const first = await start(folder);
    const engine = await engineChild(first.child.pid ?? 0);
    const traceId = newTraceId();
    assert.equal(await send(first.otlpHttp, traceId), 200);
    await first.stop("SIGKILL");
    await eventually("the engine ends with it", async () => {
      const state = await readFile(`/proc/${engine}/stat`, "utf8").catch(() => "gone");
      return await Promise.resolve(state === "gone" || state.includes(") Z "));
    });
    const second = await start(folder);
    assert.equal((await second.stop("SIGTERM")).code, 0, second.output());
    assert.deepEqual(await storedTraces(folder), [traceId]);
  });
});

test("another instance on the directory, a taken port and damage are a paragraph each", async () => {
  await inFolder(async (folder) => {
    const instance = await start(folder);
    assert.match(await fails(folder), /Another Axonize \(process \d+\) uses the data directory/);
    const port = new URL(instance.dashboard).port;
    const taken = await fails(join(folder), {
      AXONIZE_DATA_DIR: join(folder, "other"),
      AXONIZE_HTTP_LISTEN: `127.0.0.1:${port}`,
    });
    assert.match(
      taken,
      new RegExp(`Port ${port} for the dashboard is taken by .*AXONIZE_HTTP_LISTEN`),
    );
    await instance.stop("SIGTERM");
    await writeFile(
      join(folder, ".axonize/postgres/data/global/pg_control"),
      Buffer.alloc(8192, 7),
    );
    assert.match(await fails(folder), /PostgreSQL could not open its data: .*move it away/s);
    await writeFile(join(folder, "file"), "");
    assert.match(
      await fails(folder, { AXONIZE_DATA_DIR: join(folder, "file") }),
      /cannot be written: a file is in its place/,
    );
    assert.match(
      await fails(join(folder), {
        AXONIZE_DATA_DIR: join(folder, "other"),
        AXONIZE_NVML_LIBRARY: join(folder, "no-such.so"),
      }),
      /no GPU driver's library at .*no-such\.so, which AXONIZE_NVML_LIBRARY names/,
    );
  });
});

test("Ctrl-C while it starts ends it at once, with exit code 0 and nothing left over", async () => {
  await inFolder(async (folder) => {
    const { child, output } = launch(folder);
    await eventually(
      "it has begun",
      async () => await Promise.resolve(/Creating the stores/.test(output())),
    );
    child.kill("SIGINT");
    const [code]: unknown[] = await once(child, "exit");
    assert.equal(code, 0, output());
    const instance = await start(folder);
    assert.equal((await instance.stop("SIGINT")).code, 0);
  });
});

test("npm start hands SIGTERM to the process itself, so that none stays behind", async () => {
  await inFolder(async (folder) => {
    const env = { ...process.env, ...anyPorts, AXONIZE_DATA_DIR: folder };
    const npm = spawn("npm", ["start"], {
      cwd: join(main, "../.."),
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    launched.push(npm);
    let output = "";
    npm.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await eventually(
      "it runs",
      async () => await Promise.resolve(output.includes("Ctrl-C stops it")),
    );
    const pid = Number((await readFile(join(folder, "lock"), "utf8")).split(" ")[0]);
    const exited = once(npm, "exit");
    npm.kill("SIGTERM");
    await exited;
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
    await assert.rejects(stat(join(folder, "lock")), { code: "ENOENT" });
  });
});

test("a server that does not answer is named, without its password", async () => {
  await inFolder(async (folder) => {
    const text = await fails(folder, {
      AXONIZE_POSTGRES_URL: "postgres://axonize:hidden@nowhere.invalid:1/x",
      AXONIZE_CLICKHOUSE_URL: "http://u:hidden@127.0.0.1:1/x",
      AXONIZE_STORE_WAIT_SECONDS: "1",
    });
    assert.match(
      text,
      /(PostgreSQL at nowhere\.invalid:1|ClickHouse at 127\.0\.0\.1:1) \(AXONIZE_\w+_URL\) does not serve us/,
    );
    assert.ok(!text.includes("hidden"));
  });
});

for (const [what, env] of Object.entries({
  "listening beyond loopback": {
    AXONIZE_OTLP_HTTP_LISTEN: "0.0.0.0:0",
    AXONIZE_HTTP_LISTEN: "0.0.0.0:0",
  },
  AXONIZE_REQUIRE_KEYS: { AXONIZE_REQUIRE_KEYS: "true" },
})) {
  test(`${what} demands a key`, async () => {
    await inFolder(async (folder) => {
      const instance = await start(folder, env);
      assert.match(instance.output(), /every request needs a key/i);
      assert.equal(await send(instance.otlpHttp, newTraceId()), 401);
      assert.equal((await fetch(`${instance.dashboard}/api/v1/traces`)).status, 401);
      const adminKey = (await readFile(join(folder, ".axonize/admin-key"), "utf8")).trim();
      const made = await fetch(`${instance.dashboard}/api/v1/admin/tenants/default/keys`, {
        method: "POST",
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        body: "{}",
      });
      assert.equal(made.status, 201);
      const { key } = (await made.json()) as { key: string };
      assert.equal(
        await send(instance.otlpHttp, newTraceId(), { authorization: `Bearer ${key}` }),
        200,
      );
      await instance.stop("SIGTERM");
    });
  });
}
