/**
 * The bridge to OpenTelemetry: programs and instrumentations written for its API record into our ring,
 * both kinds of span nest, and spans of its SDK are copied whole. The Vercel AI SDK is the real one.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { OpenTelemetry } from "@ai-sdk/otel";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { TracerProvider } from "@opentelemetry/sdk-trace";
import * as axonize from "@axonize/sdk";
import {
  createContextManager,
  createSpanProcessor,
  createTracerProvider,
  register,
} from "@axonize/sdk/otel";
import { embed, generateText, streamText } from "ai";
import { createCollector, type Collector } from "./support/collector.ts";
import { createOpenAIServer, words, type ModelServer } from "./support/model-servers.ts";
import type { ReadSpan } from "./support/otlp.ts";

let collector: Collector;
let model: ModelServer;

before(async () => {
  collector = await createCollector("grpc");
  model = await createOpenAIServer();
  axonize.init({ endpoint: collector.endpoint, flushIntervalMs: 3_600_000 });
});
after(async () => {
  await axonize.shutdown();
  await model[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});
beforeEach(() => {
  collector.requests.length = 0;
});
afterEach(() => {
  trace.disable();
  context.disable();
});

async function sent(): Promise<Map<string, ReadSpan>> {
  assert.equal(await axonize.flush(20_000), true);
  return new Map(collector.spans().map((span) => [span.name, span]));
}

const leaf = (name: string): void => axonize.span(name, () => undefined);

test("a tracer of ours does what the API promises", async () => {
  const tracer = createTracerProvider().getTracer("my-lib", "1.2.3");
  const other = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: 1,
  };
  const span = tracer.startSpan("op", {
    kind: SpanKind.PRODUCER,
    attributes: { a: 1, list: ["x", "y"] },
    links: [{ context: other, attributes: { why: "batch" } }],
    startTime: [1_760_000_000, 500_000_000],
  });
  span.setAttribute("b", true).setAttributes({ c: "d" }).updateName("renamed");
  span.addEvent("e1", { k: "v" }, [1_760_000_000, 600_000_000]);
  span.addEvent("e2", new Date(1_760_000_000_700));
  span.recordException(new TypeError("bad"));
  span.setStatus({ code: SpanStatusCode.ERROR, message: "failed" });
  span.end([1_760_000_001, 250_000_000]);
  assert.equal(span.isRecording(), false);
  const read = (await sent()).get("renamed");
  assert.ok(read);
  assert.deepEqual(read.scope, { name: "my-lib", version: "1.2.3", attributes: {} });
  assert.equal(read.kind, 4);
  assert.equal(read.startNs, 1_760_000_000_500_000_000n);
  assert.equal(read.endNs, 1_760_000_001_250_000_000n);
  assert.deepEqual(read.attributes, { a: 1, list: ["x", "y"], b: true, c: "d" });
  assert.deepEqual(read.status, { code: 2, message: "failed" });
  assert.deepEqual(
    read.events.map(({ name }) => name),
    ["e1", "e2", "exception"],
  );
  assert.equal(read.events[0]?.timeNs, 1_760_000_000_600_000_000n);
  assert.equal(read.links[0]?.traceId, other.traceId);
  assert.deepEqual(read.links[0]?.attributes, { why: "batch" });
});

test("both kinds of span nest in each other, without anything global", async () => {
  const tracer = createTracerProvider().getTracer("lib");
  await axonize.span("ours", async () => {
    await tracer.startActiveSpan("theirs", async (span) => {
      await Promise.resolve();
      leaf("inside");
      const child = tracer.startSpan("started");
      child.end();
      span.end();
    });
  });
  const spans = await sent();
  assert.equal(spans.get("theirs")?.parentSpanId, spans.get("ours")?.spanId);
  assert.equal(spans.get("inside")?.parentSpanId, spans.get("theirs")?.spanId);
  assert.equal(spans.get("started")?.parentSpanId, spans.get("theirs")?.spanId);
});

test("register sets provider and context manager, once, and never replaces another's", async () => {
  assert.equal(register(), true);
  assert.equal(register(), false);
  const tracer = trace.getTracer("global");
  await axonize.span("ours", async () => {
    const active = trace.getActiveSpan();
    assert.equal(active?.spanContext().spanId, axonize.current()?.spanId);
    const span = tracer.startSpan("explicit");
    await context.with(trace.setSpan(context.active(), span), async () => {
      await Promise.resolve();
      assert.equal(trace.getActiveSpan(), span);
      leaf("below explicit");
    });
    context.with(ROOT_CONTEXT, () => leaf("root"));
    span.end();
    const bound = context.bind(trace.setSpan(ROOT_CONTEXT, span), () => leaf("bound"));
    bound();
    leaf("below ours");
  });
  const spans = await sent();
  const explicit = spans.get("explicit")?.spanId;
  assert.equal(spans.get("below explicit")?.parentSpanId, explicit);
  assert.equal(spans.get("bound")?.parentSpanId, explicit);
  assert.equal(spans.get("root")?.parentSpanId, "");
  assert.equal(spans.get("below ours")?.parentSpanId, spans.get("ours")?.spanId);
});

test("a parent elsewhere, a root on demand, and silence where asked for", async () => {
  const tracer = createTracerProvider().getTracer("lib");
  const remote = {
    traceId: "0af7651916cd43dd8448eb211c80319c",
    spanId: "b7ad6b7169203331",
    traceFlags: 1,
    isRemote: true,
  };
  tracer.startSpan("child", {}, trace.setSpanContext(ROOT_CONTEXT, remote)).end();
  axonize.span("ours", () => tracer.startSpan("rooted", { root: true }).end());
  const { suppressTracing } = await import("@opentelemetry/core");
  tracer.startSpan("silent", {}, suppressTracing(ROOT_CONTEXT)).end();
  const spans = await sent();
  assert.equal(spans.get("child")?.parentSpanId, remote.spanId);
  assert.equal(spans.get("child")?.traceId, remote.traceId);
  assert.equal(spans.get("rooted")?.parentSpanId, "");
  assert.equal(spans.has("silent"), false);
});

test("a span processor copies what OpenTelemetry's SDK records, and ours nest in it", async () => {
  const processor = createSpanProcessor();
  const provider = new TracerProvider({ spanProcessors: [processor] });
  context.setGlobalContextManager(createContextManager());
  const tracer = provider.getTracer("sdk", "9");
  let ids = { traceId: "", spanId: "" };
  tracer.startActiveSpan("outer", { attributes: { n: 1.5 } }, (outer) => {
    ids = outer.spanContext();
    tracer.startActiveSpan("inner", (inner) => {
      inner.addEvent("e", { x: 1 });
      inner.setStatus({ code: SpanStatusCode.ERROR, message: "no" });
      leaf("ours");
      inner.end();
    });
    outer.end();
  });
  const spans = await sent();
  const [outer, inner, ours] = ["outer", "inner", "ours"].map((name) => spans.get(name));
  assert.ok(outer && inner && ours);
  assert.deepEqual(
    { traceId: outer.traceId, spanId: outer.spanId },
    { traceId: ids.traceId, spanId: ids.spanId },
  );
  assert.equal(inner.parentSpanId, outer.spanId);
  assert.equal(ours.parentSpanId, inner.spanId);
  assert.deepEqual(outer.scope, { name: "sdk", version: "9", attributes: {} });
  assert.deepEqual(outer.attributes, { n: 1.5 });
  assert.deepEqual(inner.status, { code: 2, message: "no" });
  assert.equal(inner.events[0]?.name, "e");
  assert.ok(inner.startNs <= inner.endNs && inner.endNs - outer.startNs < 60_000_000_000n);
  await processor.shutdown();
});

test("the Vercel AI SDK records through the bridge: text, streams, embeddings", async () => {
  const provider = createOpenAICompatible({
    name: "stand-in",
    baseURL: `${model.url}/v1`,
    includeUsage: true,
  });
  const telemetry = {
    integrations: [new OpenTelemetry({ tracer: createTracerProvider().getTracer("ai") })],
  };
  await axonize.span("handler", async () => {
    const answer = await generateText({ model: provider("m-text"), prompt: "hi", telemetry });
    assert.equal(answer.text, words.join(""));
    const streaming = streamText({ model: provider("m-stream"), prompt: "hi", telemetry });
    let text = "";
    for await (const part of streaming.textStream) text += part;
    assert.equal(text, words.join(""));
    await embed({ model: provider.embeddingModel("m-embed"), value: "x", telemetry });
  });
  const spans = await sent();
  const handler = spans.get("handler");
  assert.ok(handler);
  assert.equal(new Set([...spans.values()].map(({ traceId }) => traceId)).size, 1);
  for (const name of ["chat m-text", "chat m-stream"]) {
    const span = spans.get(name);
    assert.ok(span, [...spans.keys()].join());
    assert.equal(span.attributes["gen_ai.usage.input_tokens"], 11);
    assert.equal(span.attributes["gen_ai.usage.output_tokens"], 5);
    assert.equal(span.scope.name, "ai");
  }
  const roots = [...spans.values()].filter(({ parentSpanId }) => parentSpanId === handler.spanId);
  assert.equal(roots.length, 3, [...spans.keys()].join());
});
