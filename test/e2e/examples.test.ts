/**
 * The lessons in examples/, run as a reader runs them, against ingest and the API: each ends with the
 * URL of what it sent, and what is found there is what it says. And with nobody listening, each says so
 * in words. Those that need a large engine are in test/engine/.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { freePorts } from "../support/free-ports.ts";
import { eventually } from "../support/engine-client.ts";
import { openAxonize, type InProcess } from "./support/in-process.ts";
import { run } from "./support/run.ts";

const root = join(import.meta.dirname, "../..");
const scratch = mkdtempSync(join(tmpdir(), "axonize-examples-"));
let axonize: InProcess;
let api: ApiClient;
let python: string;
let site: string;

before(async () => {
  axonize = await openAxonize();
  api = createApiClient(axonize.api);
  await run(process.execPath, [join(root, "sdk/typescript/scripts/build.ts"), "--if-stale"]);
  python = await createVenv();
  site = await installSdk();
});
after(async () => {
  await axonize?.[Symbol.asyncDispose]();
  rmSync(scratch, { recursive: true, force: true });
});

interface Ended {
  code: number | null;
  output: string;
}

async function runExample(file: string, endpoint: string): Promise<Ended> {
  const isPython = file.endsWith(".py");
  const child = spawn(isPython ? python : process.execPath, [join(root, "examples", file)], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NODE_NO_WARNINGS: "1",
      PYTHONPATH: site,
      AXONIZE_ENDPOINT: endpoint,
      AXONIZE_DASHBOARD: axonize.api,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    },
  });
  let output = "";
  child.stdout.on("data", (part: Buffer) => (output += part.toString()));
  child.stderr.on("data", (part: Buffer) => (output += part.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  return { code, output };
}

/** Runs a lesson and reads the trace that its last line names. */
async function lesson(file: string, endpoint: string) {
  const { code, output } = await runExample(file, endpoint);
  assert.equal(code, 0, output);
  const last = output.trim().split("\n").at(-1) ?? "";
  const traceId = /^open (http:\/\/127\.0\.0\.1:\d+)\/requests\/([0-9a-f]{32})$/.exec(last)?.[2];
  assert.ok(traceId, output);
  return { output, trace: await api.trace(traceId, { format: "rows" }) };
}

for (const [file, transport] of [
  ["quickstart.py", "gRPC"],
  ["quickstart.ts", "gRPC"],
  ["quickstart.ts", "HTTP"],
] as const) {
  test(`${file} over ${transport}: one request, one call, its tokens and its TTFT`, async () => {
    const endpoint = transport === "gRPC" ? axonize.otlpGrpc : axonize.otlpHttp;
    const { output, trace } = await lesson(file, endpoint);
    assert.match(output, /You asked: Why was this call slow\?/);
    assert.equal(trace.name, "POST /chat");
    assert.equal(trace.spanCount, 2);
    assert.equal(trace.model, "stand-in");
    assert.equal(trace.inputTokens, 5);
    assert.equal(trace.outputTokens, 7);
    assert.ok(
      trace.ttftMs !== null && trace.ttftMs >= 140 && trace.ttftMs < 10_000,
      `${trace.ttftMs}`,
    );
    assert.equal(trace.ttftBasis, "client");
    const call = trace.spans?.find(({ name }) => name === "chat stand-in");
    const root = trace.spans?.find(({ name }) => name === "POST /chat");
    assert.ok(call && root);
    assert.equal(call.parentSpanId, root.spanId);
    const { attributes } = await api.span(trace.traceId, call.spanId);
    assert.ok(Number(attributes["ai.llm.tokens_per_second"]) > 5);
    assert.ok(Array.isArray(attributes["axonize.llm.timeline.tokens"]), JSON.stringify(attributes));
  });
}

test("custom_model.py: stages, a device, an error that is told, and a request that went on", async () => {
  const { output, trace } = await lesson("custom_model.py", axonize.otlpGrpc);
  assert.match(output, /refused: 'unknown word: tpu'/);
  const names = trace.spans?.map(({ name }) => name).sort();
  assert.deepEqual(names, [
    "generate",
    "generate",
    "load weights",
    "request",
    "tokenize",
    "tokenize",
  ]);
  const calls = trace.spans?.filter(({ name }) => name === "generate") ?? [];
  assert.deepEqual(calls.map(({ status }) => status).sort(), ["error", "unset"]);
  const [first] = calls;
  assert.ok(first);
  const { attributes } = await api.span(trace.traceId, first.spanId);
  assert.deepEqual(attributes["axonize.gpu.ordinals"], [0]);
  assert.equal(attributes["ai.model.version"], "1");
});

test("ollama_integration.py: the real client's call, with the server's own times", async () => {
  const { output, trace } = await lesson("ollama_integration.py", axonize.otlpGrpc);
  assert.match(output, /It waited in the queue\./);
  assert.equal(trace.model, "llama3.2");
  assert.equal(trace.provider, "ollama");
  assert.equal(trace.inputTokens, 6);
  assert.equal(trace.outputTokens, 5);
  assert.ok(trace.ttftMs !== null && trace.ttftMs > 0);
});

test("vercel-ai.ts: the AI SDK's spans, through the bridge", async () => {
  const { output, trace } = await lesson("vercel-ai.ts", axonize.otlpHttp);
  assert.match(output, /It waited in the queue\./);
  assert.equal(trace.model, "stand-in");
  assert.equal(trace.inputTokens, 6);
  assert.equal(trace.outputTokens, 5);
  assert.equal(trace.operation, "chat");
  assert.ok(trace.ttftMs !== null && trace.ttftMs > 0 && trace.ttftBasis === "client");
  assert.equal(trace.spanCount, 4);
});

test("k8s/chat: calls under the name that its environment gives, and what waits is sent at its end", async () => {
  const { port } = await freePorts("port");
  const child = spawn(process.execPath, [join(root, "examples/k8s/chat/main.mjs")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      PORT: String(port),
      CALLS_PER_SECOND: "50",
      OTEL_EXPORTER_OTLP_ENDPOINT: axonize.otlpHttp,
      OTEL_RESOURCE_ATTRIBUTES: "service.name=chat-lesson",
    },
  });
  let output = "";
  child.stdout.on("data", (part: Buffer) => (output += part.toString()));
  const ended = once(child, "close");
  const url = `http://127.0.0.1:${port}/`;
  let made = 0;
  await eventually("it made calls", async () => {
    // Refused until it listens.
    const said = await fetch(url).then(
      async (answer) => await answer.text(),
      () => "",
    );
    made = Number(/^(\d+) calls$/m.exec(said)?.[1] ?? 0);
    return made > 0;
  });
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.match(output, /^open the dashboard at \/requests\?filter=model:tiny$/m);
  const { items } = await api.traces({ service: "chat-lesson" });
  assert.ok(items.length >= Math.min(made, 20), `${items.length} of ${made}`);
  for (const { name, model, spanCount } of items) {
    assert.deepEqual(
      { name, model, spanCount },
      { name: "POST /chat", model: "tiny", spanCount: 2 },
    );
  }
});

test("with nobody listening each example says so in words, and fails", async () => {
  for (const file of ["quickstart.py", "custom_model.py", "quickstart.ts", "vercel-ai.ts"]) {
    const { code, output } = await runExample(file, "127.0.0.1:1");
    assert.equal(code, 1, output);
    assert.match(
      output,
      /Nothing was sent: is `npm start` running\? AXONIZE_ENDPOINT says where\.$/m,
    );
    assert.doesNotMatch(output, /^\s+at |Traceback/m);
  }
  const node = await runExample("node/chat.mjs", "http://127.0.0.1:1");
  assert.equal(node.code, 1, node.output);
  assert.match(node.output, /Nothing was sent: .*\nOTEL_EXPORTER_OTLP_ENDPOINT says where/);
  assert.doesNotMatch(node.output, /^\s+at /m);
});

test("each lesson fits on a screen", () => {
  const lessons = globSync("{*.py,*.ts,k8s/chat/*.mjs}", { cwd: join(root, "examples") });
  assert.ok(lessons.length >= 8);
  for (const file of lessons) {
    const lines = readFileSync(join(root, "examples", file), "utf8")
      .trimEnd()
      .split("\n").length;
    assert.ok(lines <= 60, `${file}: ${lines} lines`);
  }
});

/** A virtual environment with the real ollama client, kept between runs. */
async function createVenv(): Promise<string> {
  const packages = ["ollama==0.6.3", "setuptools>=77", "wheel"];
  const sum = createHash("sha256").update(packages.join()).digest("hex").slice(0, 12);
  const folder = join(root, ".cache/python", `examples-${sum}`);
  const binary = join(folder, "bin/python");
  const ready = join(folder, "ready");
  if (existsSync(ready)) return binary;
  await run("python3", ["-m", "venv", "--clear", folder]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  await run(binary, [...pip, ...packages], { timeoutMs: 240_000 });
  writeFileSync(ready, "");
  return binary;
}

/** `pip install ./sdk/python`, from a copy, so that builds at the same time do not meet. */
async function installSdk(): Promise<string> {
  const source = join(scratch, "sdk");
  for (const part of ["csrc", "src", "setup.py", "pyproject.toml", "README.md", "MANIFEST.in"]) {
    cpSync(join(root, "sdk/python", part), join(source, part), { recursive: true });
  }
  const target = join(scratch, "site");
  const flags = ["--quiet", "--no-deps", "--no-build-isolation", "--target", target];
  await run(python, ["-m", "pip", "install", ...flags, source], { timeoutMs: 240_000 });
  return target;
}
