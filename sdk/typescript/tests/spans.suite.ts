/**
 * What arrives of a span, decoded with the official definitions: ids, times, attributes of every kind,
 * events, links, status, and what a model call derives.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import * as axonize from "@axonize/sdk";
import { SpanKind, SpanStatus, type AttributeValue, type Span } from "@axonize/sdk";
import { createCollector, type Collector } from "./support/collector.ts";
import type { ReadSpan } from "./support/otlp.ts";

let collector: Collector;

before(async () => {
  collector = await createCollector("grpc");
  axonize.init({
    endpoint: collector.endpoint,
    serviceName: "spans",
    environment: "test",
    flushIntervalMs: 3_600_000,
    resourceAttributes: { team: "vision" },
  });
});
after(async () => {
  await axonize.shutdown();
  await collector[Symbol.asyncDispose]();
});
beforeEach(() => {
  collector.requests.length = 0;
});

/** Everything that was recorded since the last call. */
async function sent(): Promise<ReadSpan[]> {
  assert.equal(await axonize.flush(20_000), true);
  return collector.spans();
}

async function one(): Promise<ReadSpan> {
  const spans = await sent();
  assert.equal(spans.length, 1);
  const [span] = spans;
  assert.ok(span);
  return span;
}

test("a span has its ids, times, name, kind, resource and scope", async () => {
  const before = BigInt(Date.now() - 50) * 1_000_000n;
  const ids = axonize.span("work", { kind: SpanKind.SERVER }, (span) => ({
    traceId: span.traceId,
    spanId: span.spanId,
  }));
  const span = await one();
  assert.match(span.traceId, /^[0-9a-f]{32}$/);
  assert.deepEqual({ traceId: span.traceId, spanId: span.spanId }, ids);
  assert.equal(span.parentSpanId, "");
  assert.equal(span.name, "work");
  assert.equal(span.kind, SpanKind.SERVER);
  assert.ok(span.startNs >= before && span.startNs <= span.endNs);
  assert.ok(span.endNs <= BigInt(Date.now() + 50) * 1_000_000n);
  assert.deepEqual(span.status, { code: 0, message: "" });
  assert.equal(span.flags, 0x101);
  assert.deepEqual(span.scope, { name: "axonize", version: axonize.version, attributes: {} });
  assert.equal(span.resource["service.name"], "spans");
  assert.equal(span.resource["deployment.environment.name"], "test");
  assert.equal(span.resource["team"], "vision");
  assert.equal(span.resource["telemetry.sdk.language"], "nodejs");
  assert.equal(span.resource["process.pid"], process.pid);
  assert.equal(span.resource["process.runtime.version"], process.versions.node);
});

test("children carry the trace and their parent, through calls and awaits", async () => {
  await axonize.span("outer", async () => {
    axonize.span("first", () => undefined);
    await new Promise(setImmediate);
    await axonize.span("second", async () => {
      await Promise.resolve();
      axonize.span("third", () => undefined);
    });
  });
  const spans = await sent();
  const named = (name: string): ReadSpan => {
    const found = spans.find((span) => span.name === name);
    assert.ok(found, name);
    return found;
  };
  assert.equal(new Set(spans.map((span) => span.traceId)).size, 1);
  assert.equal(named("first").parentSpanId, named("outer").spanId);
  assert.equal(named("second").parentSpanId, named("outer").spanId);
  assert.equal(named("third").parentSpanId, named("second").spanId);
});

test("attributes of every kind arrive as they were", async () => {
  const values: Record<string, AttributeValue> = {
    text: "plain",
    unicode: "naïve ✓ 😀",
    empty: "",
    long: "x".repeat(5000),
    yes: true,
    no: false,
    zero: 0,
    negative: -42,
    large: Number.MAX_SAFE_INTEGER,
    small: -Number.MAX_SAFE_INTEGER,
    float: 0.1,
    infinite: Infinity,
    bigint: 2n ** 62n,
    list: ["a", 1, 2.5, true],
    nested: { a: { b: [1, { c: "deep" }] } },
    bytes: new Uint8Array([0, 255, 7]),
  };
  axonize.span("attributes", { attributes: values }, () => undefined);
  const { attributes, doubles } = await one();
  assert.deepEqual({ ...attributes, bytes: undefined }, { ...values, bytes: undefined });
  assert.deepEqual([...(attributes["bytes"] as Uint8Array)], [0, 255, 7]);
  assert.deepEqual([...doubles].sort(), ["float", "infinite"]);
});

test("a second value replaces the first, undefined and null are ignored", async () => {
  axonize.span("twice", (span) => {
    span.setAttribute("a", 1).setAttribute("b", "kept").setAttribute("a", "two");
    span.setAttribute("b", undefined).setAttribute("c", null);
  });
  assert.deepEqual((await one()).attributes, { a: "two", b: "kept" });
});

test("lists are kept as they were when they were set", async () => {
  axonize.span("snapshot", (span) => {
    const list = [1, 2];
    span.setAttribute("list", list);
    list.push(3);
  });
  assert.deepEqual((await one()).attributes["list"], [1, 2]);
});

test("values of no sensible kind become text and hurt nobody", async () => {
  const odd: unknown[] = [
    Symbol("s"),
    () => 1,
    new Date(0),
    new Map([["k", 1]]),
    new Set([1, 2]),
    new (class Point {
      x = 1;
    })(),
    {
      get bad() {
        throw new Error("no");
      },
    },
    {
      toString() {
        throw new Error("no");
      },
      __proto__: { odd: true },
    },
    2n ** 70n,
    NaN,
    -0,
  ];
  axonize.span("odd", (span) => {
    odd.forEach((value, index) => span.setAttribute(`v${index}`, value as AttributeValue));
  });
  const { attributes } = await one();
  assert.equal(attributes["v0"], "Symbol(s)");
  assert.equal(attributes["v2"], "1970-01-01T00:00:00.000Z");
  assert.deepEqual(attributes["v3"], { k: 1 });
  assert.deepEqual(attributes["v4"], [1, 2]);
  assert.equal(attributes["v5"], "[object Object]");
  assert.equal(attributes["v7"], "<object>");
  assert.equal(attributes["v8"], String(2n ** 70n));
  assert.ok(Number.isNaN(attributes["v9"]));
  assert.ok(Object.is(attributes["v10"], -0));
  assert.equal(Object.keys(attributes).length, odd.length);
});

test("a span holds 128 attributes and 64 KiB, and counts what it dropped", async () => {
  axonize.span("full", (span) => {
    for (let i = 0; i < 200; i++) span.setAttribute(`key${i}`, i);
  });
  axonize.span("heavy", (span) => {
    for (let i = 0; i < 10; i++) span.setAttribute(`big${i}`, "y".repeat(30_000));
    for (let i = 0; i < 200; i++) span.addEvent("e", { i });
  });
  const [full, heavy] = await sent();
  assert.ok(full && heavy);
  assert.equal(Object.keys(full.attributes).length, 128);
  assert.equal(full.droppedAttributes, 72);
  assert.equal(Object.keys(heavy.attributes).length, 2);
  assert.equal(heavy.droppedAttributes, 8);
  assert.equal(heavy.events.length, 128);
  assert.equal(heavy.droppedEvents, 72);
});

test("names, keys and values are cut at their limits, inside no character", async () => {
  axonize.span("é".repeat(2000), (span) => {
    span.setAttribute("k".repeat(1000), "ü".repeat(40_000));
    span.setStatus(SpanStatus.ERROR, "ß".repeat(3000));
  });
  const span = await one();
  assert.equal(span.name, "é".repeat(512));
  assert.equal(span.status.message, "ß".repeat(512));
  const [[key, value] = []] = Object.entries(span.attributes);
  assert.equal(key, "k".repeat(256));
  assert.equal(value, "ü".repeat(16 * 1024));
});

test("events carry times and attributes, links carry ids", async () => {
  const other = axonize.startSpan("other");
  other.end();
  axonize.span("eventful", { links: [other] }, (span) => {
    span.addEvent("cache miss", { key: "k", size: 3 });
    span.addLink({ traceId: "nonsense", spanId: "1" });
  });
  const span = (await sent()).find(({ name }) => name === "eventful");
  assert.ok(span);
  const [event] = span.events;
  assert.ok(event);
  assert.equal(event.name, "cache miss");
  assert.deepEqual(event.attributes, { key: "k", size: 3 });
  const around = 20_000_000n;
  assert.ok(event.timeNs >= span.startNs - around && event.timeNs <= span.endNs + around);
  assert.deepEqual(span.links, [
    { traceId: other.traceId, spanId: other.spanId, traceState: "", attributes: {} },
  ]);
});

test("an error that leaves a span is recorded, makes it one, and goes on as it was", async () => {
  class ModelError extends Error {}
  const thrown = new ModelError("out of memory");
  assert.throws(
    () =>
      axonize.span("sync", (span) => {
        span.setStatus(SpanStatus.OK);
        throw thrown;
      }),
    (error) => error === thrown,
  );
  await assert.rejects(
    axonize.span("async", async () => {
      await Promise.resolve();
      throw thrown;
    }),
    (error) => error === thrown,
  );
  const spans = await sent();
  assert.equal(spans.length, 2);
  for (const span of spans) {
    assert.deepEqual(span.status, { code: 2, message: "ModelError: out of memory" });
    assert.equal(span.attributes["error.type"], "ModelError");
    assert.equal(span.events[0]?.name, "exception");
    assert.equal(span.events[0]?.attributes["exception.message"], "out of memory");
    const stack = span.events[0]?.attributes["exception.stacktrace"];
    assert.ok(typeof stack === "string" && stack.includes("spans.suite"), span.events[0]?.name);
  }
});

test("an abort is no error; odd things that are thrown are", async () => {
  const abort = new DOMException("stopped", "AbortError");
  assert.throws(() =>
    axonize.span("abort", () => {
      throw abort;
    }),
  );
  assert.throws(() =>
    axonize.span("string", () => {
      throw "just text";
    }),
  );
  const [aborted, text] = await sent();
  assert.equal(aborted?.status.code, 0);
  assert.deepEqual(text?.status, { code: 2, message: "string: just text" });
});

test("devices are named by ordinal, ascending, once", async () => {
  axonize.span("gpus", (span) => {
    span.setGpus(["cuda:3", 0, "1", "cuda", "cpu", -1, 999, 1.5]).setGpus("cuda:3");
  });
  assert.deepEqual((await one()).attributes["axonize.gpu.ordinals"], [0, 1, 3]);
});

test("a model call derives TTFT, rates, inter-token times and the timeline", async () => {
  await axonize.llmSpan("generate", { model: "llama-3-70b" }, async (span) => {
    span.setTokensInput(128).setModel("llama-3", "70b");
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
      span.recordToken(i === 4 ? 3 : 1);
    }
  });
  const { attributes: read, doubles, startNs, endNs } = await one();
  assert.equal(read["gen_ai.request.model"], "llama-3");
  assert.equal(read["ai.model.name"], "llama-3");
  assert.equal(read["ai.model.version"], "70b");
  assert.equal(read["gen_ai.usage.input_tokens"], 128);
  assert.equal(read["ai.llm.tokens.input"], 128);
  assert.equal(read["gen_ai.usage.output_tokens"], 7);
  assert.equal(read["ai.llm.tokens.output"], 7);
  const ttftMs = Number(read["ai.llm.ttft_ms"]);
  const lastMs = Number(read["axonize.llm.last_token_ms"]);
  const durationMs = Number(endNs - startNs) / 1e6;
  assert.ok(ttftMs >= 8 && ttftMs < lastMs && lastMs <= durationMs + 0.01, JSON.stringify(read));
  assert.ok(Math.abs(Number(read["gen_ai.response.time_to_first_chunk"]) * 1000 - ttftMs) < 1e-6);
  const rate = (6 * 1000) / (lastMs - ttftMs);
  assert.ok(Math.abs(Number(read["ai.llm.tokens_per_second"]) - rate) < rate * 1e-6);
  const p50 = Number(read["axonize.llm.itl_p50_ms"]);
  const p99 = Number(read["axonize.llm.itl_p99_ms"]);
  assert.ok(p50 > 1 && p50 <= p99 && p99 <= (lastMs - ttftMs) * 1.13, `${p50} ${p99}`);
  const bins = read["axonize.llm.timeline.tokens"] as number[];
  const binMs = Number(read["axonize.llm.timeline.bin_ms"]);
  assert.equal(
    bins.reduce((sum, tokens) => sum + tokens, 0),
    7,
  );
  assert.equal(bins[0], 1);
  assert.equal(bins.length, Math.floor((lastMs - ttftMs) / binMs) + 1);
  for (const key of [
    "ai.llm.ttft_ms",
    "axonize.llm.last_token_ms",
    "axonize.llm.timeline.bin_ms",
  ]) {
    assert.ok(doubles.has(key), `${key} is a double`);
  }
});

test("what the program says of a call wins over what was counted", async () => {
  axonize.llmSpan("counted", (span) => {
    span.recordToken();
    span.setTokensOutput(50).setTokensInput(-3).setAttribute("ai.llm.ttft_ms", 1.5);
  });
  axonize.llmSpan("silent", () => undefined);
  const [counted, silent] = await sent();
  assert.equal(counted?.attributes["gen_ai.usage.output_tokens"], 50);
  assert.equal(counted?.attributes["ai.llm.ttft_ms"], 1.5);
  assert.equal(counted?.attributes["gen_ai.usage.input_tokens"], undefined);
  assert.deepEqual(silent?.attributes, {});
});

test("a long stream costs 64 bins", async () => {
  axonize.llmSpan("long", (span) => {
    const until = performance.now() + 150;
    while (performance.now() < until) span.recordToken();
  });
  const { attributes } = await one();
  const bins = attributes["axonize.llm.timeline.tokens"] as number[];
  assert.ok(bins.length > 32 && bins.length <= 64, `${bins.length} bins`);
  assert.equal(
    bins.reduce((sum, tokens) => sum + tokens, 0),
    attributes["gen_ai.usage.output_tokens"],
  );
});

test("methods of an ended span do nothing, and ending twice sends once", async () => {
  const span: Span = axonize.startSpan("once", { attributes: { a: 1 } });
  span.end();
  span.setAttribute("late", 1).addEvent("late").setStatus(SpanStatus.ERROR).setGpus(0).end();
  assert.equal(span.isRecording, false);
  const read = await one();
  assert.deepEqual(read.attributes, { a: 1 });
  assert.equal(read.events.length, 0);
});

test("trace wraps functions of every kind, and decorates", async () => {
  const plain = axonize.trace(function plain(this: { by: number }, a: number) {
    return a * this.by;
  });
  const later = axonize.trace("named", async (a: number) => {
    await Promise.resolve();
    return a + 1;
  });
  const tagged = axonize.trace({ name: "tagged", attributes: { tag: true } })(() => "t");
  function* counting(): Generator<number, string, number> {
    const got = yield 1;
    yield got;
    return "end";
  }
  const generator = axonize.trace(counting);
  assert.equal(plain.call({ by: 3 }, 2), 6);
  assert.equal(plain.name, "plain");
  assert.equal(plain.length, 1);
  assert.equal(await later(1), 2);
  assert.equal(tagged(), "t");
  const iterator = generator();
  assert.deepEqual(iterator.next(), { done: false, value: 1 });
  assert.deepEqual(iterator.next(7), { done: false, value: 7 });
  assert.deepEqual(iterator.next(), { done: true, value: "end" });
  const spans = await sent();
  assert.deepEqual(
    spans.map(({ name }) => name),
    ["plain", "named", "tagged", "counting"],
  );
  assert.deepEqual(spans[2]?.attributes, { tag: true });
});

test("spans with names made up from data are told in full, beyond the table of names", async () => {
  for (let i = 0; i < 3000; i++)
    axonize.span(`GET /users/${i}`, { attributes: { [`k${i}`]: i } }, () => undefined);
  const spans = await sent();
  assert.equal(spans.length, 3000);
  spans.forEach((span, i) => {
    assert.equal(span.name, `GET /users/${i}`);
    assert.deepEqual(span.attributes, { [`k${i}`]: i });
  });
});
