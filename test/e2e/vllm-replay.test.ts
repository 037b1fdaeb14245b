/**
 * A recorded run of a real vLLM (41 streaming calls behind a gateway, see the fixture's README) is
 * sent through the OTLP/HTTP port as JSON, its times moved to now, and found whole in the API: every
 * call with its phases, its parent and its model, the tokens equal to the engine's own counters.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { openAxonize, type InProcess } from "./support/in-process.ts";

const fixture = join(import.meta.dirname, "../fixtures/vllm-0.32.0-cpu");

/** The parts of an OTLP/JSON request that this test reads or moves. */
interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, unknown> }[];
}
interface Request {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
}

let axonize: InProcess;
let api: ApiClient;
let recorded: Span[];
let counters: ReadonlyMap<string, number>;
/** A window around the moved run. */
let range: { from: string; to: string };

before(async () => {
  axonize = await openAxonize();
  api = createApiClient(axonize.api);
  counters = readCounters(await readFile(join(fixture, "metrics.prom.txt"), "utf8"));
  const request = await shiftedToNow();
  recorded = spansOf(request);
  const nowMs = Date.now();
  range = { from: String(nowMs - 15 * 60_000), to: String(nowMs + 60_000) };
  const response = await fetch(`${axonize.otlpHttp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {}, "nothing is rejected");
});
after(async () => await axonize[Symbol.asyncDispose]());

test("all 41 calls are found at once, as traces of the gateway's span and the engine's", async () => {
  const { items, nextCursor } = await api.traces({ ...range, engine: "vllm", limit: "100" });
  assert.equal(nextCursor, null);
  const calls = items.filter((item) => item.model !== "");
  assert.equal(calls.length, 41);
  for (const call of calls) {
    assert.equal(call.name, "chat tiny-llama");
    assert.equal(call.spanCount, 2);
    assert.equal(call.model, "tiny-llama");
    assert.equal(call.ttftBasis, "engine");
    assert.ok(call.ttftMs !== null && call.ttftMs > 0);
  }
});

test("every engine span has the phases that vLLM measured, its parent, and the model of its trace", async () => {
  const engineSpans = recorded.filter((span) => span.name === "llm_request");
  assert.equal(engineSpans.length, 41);
  for (const sent of engineSpans) {
    const trace = await api.trace(sent.traceId, { format: "rows" });
    const span = trace.spans?.find((one) => one.spanId === sent.spanId);
    assert.ok(span, `span ${sent.spanId} of trace ${sent.traceId}`);
    assert.equal(trace.principalSpanId, sent.spanId);
    assert.equal(span.parentSpanId, sent.parentSpanId);
    assert.ok(trace.spans?.some((one) => one.spanId === span.parentSpanId));
    assert.equal(span.engine, "vllm");
    assert.equal(span.ttftBasis, "engine");
    assert.equal(span.model, "tiny-llama");
    assert.equal(span.modelSource, "trace");
    const milliseconds = (key: string): number => numberOf(sent, `gen_ai.latency.${key}`) * 1000;
    near(span.ttftMs, milliseconds("time_to_first_token"));
    near(span.queueMs, milliseconds("time_in_queue"));
    near(span.prefillMs, milliseconds("time_in_model_prefill"));
    near(span.decodeMs, milliseconds("time_in_model_decode"));
    assert.equal(span.inputTokens, numberOf(sent, "gen_ai.usage.prompt_tokens"));
    assert.equal(span.outputTokens, numberOf(sent, "gen_ai.usage.completion_tokens"));
  }
});

test("token sums equal the engine's Prometheus counters", async () => {
  const { items } = await api.traces({ ...range, engine: "vllm", limit: "100" });
  const sum = (pick: (item: (typeof items)[number]) => number | null): number =>
    items.reduce((total, item) => total + (pick(item) ?? 0), 0);
  assert.equal(counters.get("vllm:prompt_tokens_total"), 1455);
  assert.equal(counters.get("vllm:generation_tokens_total"), 2479);
  assert.equal(
    sum((item) => item.inputTokens),
    counters.get("vllm:prompt_tokens_total"),
  );
  assert.equal(
    sum((item) => item.outputTokens),
    counters.get("vllm:generation_tokens_total"),
  );
});

test("the engine's cold start is a trace of its own, kept whole", async () => {
  const coldStart = recorded.find((span) => span.name === "EngineCoreProc init");
  assert.ok(coldStart);
  const trace = await api.trace(coldStart.traceId, { format: "rows" });
  const sent = recorded.filter((span) => span.traceId === coldStart.traceId);
  assert.equal(trace.spanCount, sent.length);
  assert.deepEqual(
    trace.spans?.map((span) => span.name).sort(),
    sent.map((span) => span.name).sort(),
  );
});

/** The recorded request, moved so that its last span ended five seconds ago. */
async function shiftedToNow(): Promise<Request> {
  // Recorded in this shape.
  const request = JSON.parse(await readFile(join(fixture, "spans.otlp.json"), "utf8")) as Request;
  const spans = spansOf(request);
  const lastNs = spans
    .map((span) => BigInt(span.endTimeUnixNano))
    .reduce((a, b) => (b > a ? b : a));
  const shiftNs = BigInt(Date.now() - 5000) * 1_000_000n - lastNs;
  for (const span of spans) {
    span.startTimeUnixNano = String(BigInt(span.startTimeUnixNano) + shiftNs);
    span.endTimeUnixNano = String(BigInt(span.endTimeUnixNano) + shiftNs);
  }
  return request;
}

const spansOf = (request: Request): Span[] =>
  request.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans));

function numberOf(span: Span, key: string): number {
  const value = span.attributes.find((attribute) => attribute.key === key)?.value;
  const number = Number(value?.["doubleValue"] ?? value?.["intValue"]);
  assert.ok(Number.isFinite(number), `${key} of ${span.spanId}`);
  return number;
}

/** Stored in nanoseconds, answered in milliseconds. */
function near(actual: number | null | undefined, expected: number): void {
  assert.ok(typeof actual === "number", `no value where ${expected} was sent`);
  assert.ok(Math.abs(actual - expected) < 0.001, `${actual} ms, sent ${expected} ms`);
}

function readCounters(page: string): ReadonlyMap<string, number> {
  return new Map(
    [...page.matchAll(/^(vllm:\w+_total)\{[^}]*\} ([\d.e+]+)$/gm)].map((match) => [
      match[1] ?? "",
      Number(match[2]),
    ]),
  );
}
