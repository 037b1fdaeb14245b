/**
 * The generated fleet: the same for the same seed, whole as trees, honest about what it is, with an
 * incident that can be found, and readable on the wire by a protobuf library that is not ours.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import protobuf from "protobufjs";
import { createFleet } from "./fleet.ts";
import { encodeMetrics, encodeTraces, type DemoPoint, type DemoSpan } from "./otlp.ts";
import { rustDuration } from "./engines.ts";
import { retryAfterMs } from "./send.ts";
import { readOptions } from "./options.ts";

const anchorMs = Date.parse("2026-11-25T16:00:00Z");
const minuteMs = 60_000;

function generate(options: { seed?: number; minutes?: number; stepMs?: number } = {}) {
  const minutes = options.minutes ?? 3;
  const startMs = anchorMs - minutes * minuteMs;
  const fleet = createFleet({
    seed: options.seed ?? 7,
    startMs,
    anchorMs,
    tracesPerSecond: 2,
    gpuTickMs: 5000,
  });
  const spans: DemoSpan[] = [];
  const points: DemoPoint[] = [];
  const stepMs = options.stepMs ?? 5000;
  for (let toMs = startMs + stepMs; toMs <= anchorMs; toMs += stepMs) {
    const part = fleet.advance(toMs);
    spans.push(...part.spans);
    points.push(...part.points);
  }
  return { fleet, spans, points };
}

const byId = (spans: readonly DemoSpan[]): string[] =>
  spans.map((span) => `${span.spanId} ${span.startMs} ${span.endMs} ${span.name}`).sort();

test("the same seed gives the same spans and points, whatever the steps", () => {
  const coarse = generate({ stepMs: 60_000 });
  const fine = generate({ stepMs: 1000 });
  assert.ok(coarse.spans.length > 1000);
  assert.deepEqual(byId(fine.spans), byId(coarse.spans));
  assert.deepEqual(fine.points, coarse.points);
  assert.notDeepEqual(byId(generate({ seed: 8 }).spans), byId(coarse.spans));
});

test("every span has a parent in its own trace, and ids are unique", () => {
  const { spans } = generate();
  const ids = new Map(spans.map((span) => [span.spanId, span]));
  assert.equal(ids.size, spans.length);
  const roots = new Map<string, number>();
  for (const span of spans) {
    assert.ok(span.endMs >= span.startMs, `${span.name} ends before it starts`);
    assert.ok(Number.isFinite(span.endMs));
    if (span.parentSpanId === "") {
      roots.set(span.traceId, (roots.get(span.traceId) ?? 0) + 1);
      continue;
    }
    // A parent that is still running when the clock stops has not been sent yet.
    const parent = ids.get(span.parentSpanId);
    if (parent === undefined) continue;
    assert.equal(parent.traceId, span.traceId);
    assert.ok(parent.startMs <= span.startMs, `${span.name} starts before ${parent.name}`);
  }
  assert.ok([...roots.values()].every((count) => count === 1));
});

test("each engine speaks its own vocabulary", () => {
  const { spans } = generate({ minutes: 10 });
  const keys = (name: RegExp): Set<string> =>
    new Set(spans.filter((span) => name.test(span.name)).flatMap((s) => Object.keys(s.attributes)));
  assert.ok(keys(/^llm_request$/).has("gen_ai.latency.time_in_queue"));
  assert.ok(keys(/^ Req /).has("gen_ai.usage.cached_tokens"));
  assert.ok(keys(/^engine\.generate$/).has("ttft_ms"));
  assert.ok(keys(/^generate_stream$/).has("time_per_token"));
  assert.ok(keys(/^chat gpt-5/).has("gen_ai.response.time_to_first_chunk"));
  assert.ok(keys(/^image-generation$/).has("axonize.gpu.ordinals"));
  assert.ok(keys(/^execute_tool /).has("gen_ai.tool.name"));
  assert.ok(keys(/^embeddings bge-m3$/).has("gen_ai.embeddings.dimension.count"));
  assert.ok(
    spans.some((span) => span.traceId.startsWith("0".repeat(16))),
    "SGLang's 64-bit ids",
  );
  const models = new Set(spans.map((span) => span.attributes["gen_ai.request.model"]));
  assert.ok(models.size >= 8, `${models.size} models`);
});

test("everything says that it is generated", () => {
  const { spans, points } = generate();
  for (const { process } of [...spans, ...points]) {
    assert.equal(process.resource["axonize.demo"], true);
  }
});

test("the incident shows in one pod's calls and in one GPU's readings, and nowhere else", () => {
  const { fleet, spans, points } = generate({ minutes: 50 });
  const { incident } = fleet;
  const middleMs = (incident.fromMs + incident.toMs) / 2;
  const near = (timeMs: number): boolean => Math.abs(timeMs - middleMs) < 4 * minuteMs;
  const ttft = (pod: (typeof fleet.cluster.vllm)[number]): number => {
    const values = spans
      .filter((span) => span.process === pod.process && near(span.startMs))
      .map((span) => span.attributes["gen_ai.latency.time_to_first_token"])
      .map((value) => (typeof value === "object" && "double" in value ? value.double : Number.NaN))
      .sort((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? Number.NaN;
  };
  const [slow, healthy] = fleet.cluster.vllm;
  assert.ok(ttft(slow) > 5 * ttft(healthy), `${ttft(slow)} s against ${ttft(healthy)} s`);
  const hottest = points
    .filter((point) => point.metric === "hw.temperature" && near(point.timeMs))
    .reduce((a, b) => (valueOf(b) > valueOf(a) ? b : a));
  assert.equal(hottest.attributes["hw.id"], incident.device.uuid);
  assert.ok(valueOf(hottest) > 88);
});

test("GPU readings stay within what the device can do, and slices name their GPU", () => {
  const { points, fleet } = generate({ minutes: 10 });
  const uuids = new Set(fleet.cluster.devices.map((device) => device.uuid));
  for (const point of points) {
    const id = point.attributes["hw.id"];
    assert.ok(typeof id === "string" && uuids.has(id));
    const value = valueOf(point);
    if (point.unit === "1") assert.ok(value >= 0 && value <= 1, `${point.metric} ${value}`);
    if (point.metric === "hw.power") assert.ok(value > 40 && value < 720, `${value} W`);
    if (point.metric === "hw.gpu.memory.usage") assert.ok(value > 0 && value <= 80 * 1024 ** 3);
  }
  const parents = new Set(points.map((point) => point.attributes["hw.parent"]));
  assert.equal(parents.size, 2, "none, and the one GPU that is cut");
  assert.equal(fleet.cluster.devices.filter((device) => device.parent === undefined).length, 16);
});

test("a GPU that is cut into slices uses at least the memory that its slices use, at every tick", () => {
  const { points, fleet } = generate({ minutes: 10 });
  const parents = new Map(fleet.cluster.devices.map(({ uuid, parent }) => [uuid, parent?.uuid]));
  const cut = new Set([...parents.values()].filter((uuid) => uuid !== undefined));
  const whole = new Map<string, number>();
  const slices = new Map<string, number>();
  for (const point of points.filter(({ metric }) => metric === "hw.gpu.memory.usage")) {
    const id = point.attributes["hw.id"];
    assert.ok(typeof id === "string");
    const parent = parents.get(id);
    const key = `${parent ?? id} ${point.timeMs}`;
    if (parent !== undefined) slices.set(key, (slices.get(key) ?? 0) + valueOf(point));
    else if (cut.has(id)) whole.set(key, valueOf(point));
  }
  assert.equal(slices.size, 120, "one GPU, 10 min of 5 s ticks");
  for (const [key, used] of slices) {
    const all = whole.get(key) ?? 0;
    assert.ok(used > 0 && all >= used, `${key}: ${all} on the GPU, ${used} on its slices`);
    assert.ok(all - used < 1024 ** 3, `${key}: no more than the driver's own beyond them`);
  }
});

const valueOf = (point: DemoPoint): number =>
  typeof point.value === "number" ? point.value : point.value.double;

const schema = protobuf.parse(
  `
  syntax = "proto3";
  message Traces { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message Scope { string name = 1; string version = 2; }
  message ScopeSpans { Scope scope = 1; repeated Span spans = 2; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message ArrayValue { repeated AnyValue values = 1; }
  message AnyValue { oneof value { string s = 1; bool b = 2; int64 i = 3; double d = 4; ArrayValue a = 5; } }
  message Event { fixed64 time = 1; string name = 2; repeated KeyValue attributes = 3; }
  message Link { bytes trace_id = 1; bytes span_id = 2; }
  message Status { string message = 2; int32 code = 3; }
  message Span { bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5;
    int32 kind = 6; fixed64 start = 7; fixed64 end = 8; repeated KeyValue attributes = 9;
    repeated Event events = 11; repeated Link links = 13; Status status = 15; }
  message Metrics { repeated ResourceMetrics resource_metrics = 1; }
  message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; }
  message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; }
  message Metric { string name = 1; string unit = 3; oneof data { Gauge gauge = 5; Sum sum = 7; } }
  message Gauge { repeated Point points = 1; }
  message Sum { repeated Point points = 1; int32 temporality = 2; bool monotonic = 3; }
  message Point { fixed64 start = 2; fixed64 time = 3; oneof value { double d = 4; sfixed64 i = 6; } repeated KeyValue attributes = 7; }
`,
  { keepCase: true },
).root;

interface Decoded {
  resource_spans: {
    resource: { attributes: { key: string; value: Record<string, unknown> }[] };
    scope_spans: { scope: { name: string }; spans: Record<string, unknown>[] }[];
  }[];
}

test("another library reads our bytes as what we meant", () => {
  const { spans, points } = generate();
  const type = schema.lookupType("Traces");
  // The shape is what the schema above says.
  const decoded = type.toObject(type.decode(encodeTraces(spans)), {
    longs: String,
    bytes: String,
  }) as Decoded;
  const read = decoded.resource_spans.flatMap((resource) =>
    resource.scope_spans.flatMap((scope) => scope.spans),
  );
  assert.equal(read.length, spans.length);
  const hex = (value: unknown): string => Buffer.from(String(value), "base64").toString("hex");
  const found = new Map(read.map((span) => [hex(span["span_id"]), span]));
  for (const span of spans) {
    const other = found.get(span.spanId);
    assert.ok(other);
    assert.equal(hex(other["trace_id"]), span.traceId);
    assert.equal(other["name"], span.name);
    assert.ok(
      Math.abs(Number(BigInt(String(other["start"])) / 1000n) / 1000 - span.startMs) < 0.01,
    );
    // Same shape again: a list of attributes.
    const attributes = other["attributes"] as unknown[] | undefined;
    assert.equal(attributes?.length ?? 0, Object.keys(span.attributes).length);
  }
  const metrics = schema.lookupType("Metrics");
  const text = JSON.stringify(
    metrics.toObject(metrics.decode(encodeMetrics(points)), { longs: String }),
  );
  assert.equal(text.split('"time":').length - 1, points.length);
  assert.match(text, /"name":"hw.energy","unit":"J","sum":/);
});

test("Rust durations, Retry-After and options are read and written as their owners do", () => {
  assert.equal(rustDuration(1230), "1.23s");
  assert.equal(rustDuration(2000), "2.0s");
  assert.equal(rustDuration(45.6), "45.600000ms");
  assert.equal(retryAfterMs("2"), 2000);
  assert.equal(retryAfterMs("Wed, 25 Nov 2026 16:00:05 GMT", anchorMs), 5000);
  assert.equal(retryAfterMs(null), undefined);
  assert.equal(readOptions(["--help"], {}), "help");
  const read = readOptions(["--backfill", "6h", "--rate", "0.5", "--key", "axk_x"], {});
  assert.ok(typeof read === "object" && "key" in read);
  assert.equal(read.backfillMs, 6 * 3_600_000);
  for (const bad of [
    ["--backfill", "soon"],
    ["--rate", "-1"],
    ["--endpoint", "x"],
    ["--nonsense"],
  ]) {
    const answer = readOptions(bad, {});
    assert.ok(typeof answer === "object" && "problem" in answer, bad.join(" "));
  }
});
