/**
 * A real vLLM serves streaming calls of concurrent clients and sends its own spans to `npm start`.
 * Every call must arrive with its phases, TTFT as the engine measured it, its model and its parent,
 * and the token sums must equal the engine's own Prometheus counters.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "../support/free-ports.ts";
import { context, propagation, SpanKind, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { createApiClient, type ApiClient } from "../e2e/support/api.ts";
import { npmStart, type Started } from "../e2e/support/npm-start.ts";
import { run } from "../e2e/support/run.ts";

const python = process.env["AXONIZE_TEST_VLLM_PYTHON"] ?? "";
const model = "tiny-llama";
const waves = [1, 4, 12, 24];
const callCount = waves.reduce((sum, calls) => sum + calls, 0);

let folder: string;
let axonize: Started;
let api: ApiClient;
let engine: ChildProcess;
let engineUrl: string;
let engineLog = "";

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "axonize-engine-"));
  axonize = await npmStart(join(folder, "data"));
  api = createApiClient(axonize.api);
  await run(python, [join(import.meta.dirname, "make_model.py"), join(folder, model)]);
  const { port } = await freePorts("port");
  engineUrl = `http://127.0.0.1:${port}`;
  engine = startEngine(port);
  await engineReady();
  await callInWaves();
});
after(async () => {
  engine.kill("SIGTERM");
  await axonize.interrupt();
  await rm(folder, { recursive: true, force: true });
});

test("every call arrives, with the engine's phases and TTFT, its model and its parent", async () => {
  const items = await allCalls();
  assert.equal(items.length, callCount);
  for (const item of items) {
    assert.equal(item.name, `chat ${model}`);
    assert.equal(item.model, model);
    assert.equal(item.ttftBasis, "engine");
    for (const phase of ["ttftMs", "queueMs", "prefillMs", "decodeMs"] as const) {
      assert.ok((item[phase] ?? -1) >= 0, `${phase} of ${item.traceId} is ${item[phase]}`);
    }
    assert.ok((item.ttftMs ?? 0) > 0);
    assert.deepEqual(item.marks, []);
  }
  const { spans } = await api.trace(items[0]?.traceId ?? "", { format: "rows" });
  const call = spans?.find((span) => span.name === `chat ${model}`);
  const request = spans?.find((span) => span.name === "llm_request");
  assert.equal(request?.parentSpanId, call?.spanId);
  assert.equal(request?.engine, "vllm");
  assert.equal(request?.modelSource, "trace");
});

test("with 24 at once some queued, and the queue's time is told", async () => {
  const longest = Math.max(...(await allCalls()).map((item) => item.queueMs ?? 0));
  assert.ok(longest > 1, `the longest queue was ${longest} ms`);
});

test("the token sums equal the engine's Prometheus counters", async () => {
  const page = await (await fetch(`${engineUrl}/metrics`)).text();
  const counter = (name: string): number =>
    Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(page)?.[1]);
  const items = await allCalls();
  const sum = (key: "inputTokens" | "outputTokens"): number =>
    items.reduce((total, item) => total + (item[key] ?? 0), 0);
  assert.equal(sum("inputTokens"), counter("vllm:prompt_tokens_total"));
  assert.equal(sum("outputTokens"), counter("vllm:generation_tokens_total"));
});

/** Polls: the engine's exporter sends every five seconds. */
async function allCalls() {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const { items } = await api.traces({ engine: "vllm", calls: "true", limit: "200" });
    const whole = items.filter((item) => item.spanCount >= 2);
    if (whole.length >= callCount || Date.now() > deadline) return whole;
    await sleep(500);
  }
}

function startEngine(port: number): ChildProcess {
  const options = {
    model: join(folder, model),
    "served-model-name": model,
    "load-format": "dummy",
    dtype: "float32",
    "max-model-len": "256",
    // Fewer at once than callers, so that some wait.
    "max-num-seqs": "8",
    host: "127.0.0.1",
    port: String(port),
    "otlp-traces-endpoint": `grpc://${axonize.otlpGrpc}`,
    "collect-detailed-traces": "all",
  };
  const args = [
    "-m",
    "vllm.entrypoints.openai.api_server",
    "--enforce-eager",
    ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
  ];
  const child = spawn(python, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      HF_HUB_OFFLINE: "1",
      TRANSFORMERS_OFFLINE: "1",
      VLLM_NO_USAGE_STATS: "1",
      DO_NOT_TRACK: "1",
      VLLM_CPU_KVCACHE_SPACE: "1",
      OTEL_SERVICE_NAME: "vllm-cpu",
    },
  });
  const collect = (chunk: Buffer): void => {
    engineLog = (engineLog + chunk.toString()).slice(-20_000);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  return child;
}

async function engineReady(): Promise<void> {
  const deadline = Date.now() + 300_000;
  while (Date.now() < deadline) {
    if (engine.exitCode !== null) break;
    const isUp = await fetch(`${engineUrl}/health`).then(
      (response) => response.ok,
      () => false, // not listening yet
    );
    if (isUp) return;
    await sleep(500);
  }
  throw new Error(`vLLM did not become ready:\n${engineLog}`);
}

/** Each call is a span of ours, named as OpenTelemetry's gen_ai conventions have it; vLLM's is its child. */
async function callInWaves(): Promise<void> {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "caller" }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `http://${axonize.otlpGrpc}` }),
      }),
    ],
  });
  const tracer = provider.getTracer("engine-test");
  for (const calls of waves) {
    await Promise.all(
      Array.from({ length: calls }, async (_, at) => {
        await tracer.startActiveSpan(`chat ${model}`, { kind: SpanKind.CLIENT }, async (span) => {
          span.setAttributes({
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "gen_ai.request.stream": true,
          });
          await stream(at);
          span.end();
        });
      }),
    );
  }
  await provider.shutdown();
}

async function stream(at: number): Promise<void> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  propagation.inject(trace.setSpanContext(context.active(), activeSpanContext()), headers);
  const response = await fetch(`${engineUrl}/v1/chat/completions`, {
    method: "POST",
    headers,
    body: JSON.stringify({
      model,
      stream: true,
      max_tokens: 20 + (at % 5) * 20,
      messages: [{ role: "user", content: "Why was this call slow? ".repeat(1 + (at % 3)) }],
    }),
  });
  assert.equal(response.status, 200);
  for await (const _ of response.body ?? []) continue;
}

function activeSpanContext() {
  const span = trace.getActiveSpan();
  assert.ok(span);
  return span.spanContext();
}
