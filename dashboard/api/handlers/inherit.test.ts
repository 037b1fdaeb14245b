// Calls of engines that name no model, over the real engine: inherited in lists, rows, columns and
// single spans, found by the model filter; and the filters for calls and phases.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type * as z from "zod";
import type { FacetList, SpanDetail, Trace, TraceList } from "@axonize/core/contract/trace";
import {
  buildCall,
  buildSpan,
  insertSpans,
  type TestSpan,
} from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";

type List = z.infer<typeof TraceList>;

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a } = dashboard;
const { clickhouse } = dashboard.stores;
const base = Date.now() - 3_600_000;
const range = `from=${base - 60_000}&to=${base + 60_000}`;

const get = async <T>(path: string): Promise<T> => {
  const reply = await dashboard.get<T>(`/api/v1/${path}`, a.headers);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
};
const found = async (query: string): Promise<string[]> =>
  (await get<List>(`traces?${range}&${query}`)).items.map((item) => item.traceId).sort();

let startMs = base;
/** Spans from the root down, each the child of the one before. */
function chain(...spans: (Partial<TestSpan> | "vllm")[]): TestSpan[] {
  startMs += 1000;
  const made: TestSpan[] = [];
  for (const span of spans) {
    const parent = made.at(-1);
    const common = {
      startMs: startMs + made.length,
      tenantNum: a.num,
      ...(parent === undefined ? {} : { traceId: parent.traceId, parentSpanId: parent.spanId }),
    };
    made.push(
      span === "vllm"
        ? // As vLLM sends it: phases and tokens, no model.
          buildCall({ ...common, model: "", service: "vllm-0", ttftMs: 700 })
        : buildSpan({ ...common, ...span }),
    );
  }
  return made;
}

const agent = { name: "invoke_agent", operation: "invoke_agent", model: "gpt-5" };
const chat = { name: "chat llama-3.3-70b", operation: "chat", model: "llama-3.3-70b" };
const post = { name: "POST" };

const agentTrace = chain(agent, { ...chat, provider: "vllm" }, post, "vllm");
const farTrace = chain(agent, chat, post, post, post, "vllm");
const onlyTrace = chain(chat, post, post, post, "vllm");
const bareTrace = chain(post, "vllm");
const probe = chain({ name: "GET /health" });
await insertSpans(clickhouse, [...agentTrace, ...farTrace, ...onlyTrace, ...bareTrace, ...probe]);
const idOf = (spans: readonly TestSpan[]): string => spans[0]?.traceId ?? "";

test("a call without a model takes its nearest ancestor's, else the trace's only one, else none", async () => {
  const { items } = await get<List>(`traces?${range}`);
  const models = new Map(items.map((item) => [item.traceId, item.model]));
  assert.equal(models.get(idOf(agentTrace)), "llama-3.3-70b");
  assert.equal(models.get(idOf(farTrace)), "", "four levels up, and two models: not guessed");
  assert.equal(models.get(idOf(onlyTrace)), "llama-3.3-70b");
  assert.equal(models.get(idOf(bareTrace)), "");
  assert.equal(items.find((item) => item.traceId === idOf(agentTrace))?.provider, "vllm");
});

test("rows, columns and the detail of a span show the inherited model with its source", async () => {
  for (const [spans, model] of [
    [agentTrace, "llama-3.3-70b"],
    [farTrace, ""],
    [onlyTrace, "llama-3.3-70b"],
    [bareTrace, ""],
  ] as const) {
    const call = spans.at(-1)?.spanId ?? "";
    const rows = await get<Trace>(`traces/${idOf(spans)}?format=rows`);
    const row = rows.spans?.find((span) => span.spanId === call);
    assert.equal(row?.model, model);
    assert.equal(row.modelSource, model === "" ? "none" : "trace");
    const { columns } = await get<Trace>(`traces/${idOf(spans)}?format=columns`);
    assert.ok(columns);
    const at = columns.spanId.indexOf(call);
    assert.equal(columns.strings[columns.modelIndex[at] ?? -1], model);
    const detail = await get<SpanDetail>(`traces/${idOf(spans)}/spans/${call}`);
    assert.deepEqual([detail.model, detail.modelSource], [row.model, row.modelSource]);
  }
  const { spans } = await get<Trace>(`traces/${idOf(agentTrace)}?format=rows`);
  assert.deepEqual(
    spans?.map((span) => span.model),
    ["gpt-5", "llama-3.3-70b", "", "llama-3.3-70b"],
    "an HTTP span inherits nothing",
  );
});

test("the model filter finds an engine's call by the model that its trace names", async () => {
  const named = [idOf(agentTrace), idOf(farTrace), idOf(onlyTrace)].sort();
  assert.deepEqual(await found("model=llama-3.3-70b&service=vllm-0"), named);
  assert.deepEqual(await found("model=llama-3.3-70b&minTtftMs=600"), named);
  assert.deepEqual(await found("model=llama-3.3-70b&minTtftMs=800"), []);
  assert.deepEqual(await found("model=qwen&service=vllm-0"), []);
  assert.deepEqual(await found("model=!llama-3.3-70b&service=vllm-0"), []);
  assert.deepEqual(await found("model=llama-3.3-70b&sort=ttft&service=vllm-0"), named);
  const { items } = await get<FacetList>(`facets?${range}&model=llama-3.3-70b&key=engine`);
  assert.deepEqual(items[0]?.values, [{ value: "vllm", count: 3 }]);
  await get(`analytics/overview?${range}&model=llama-3.3-70b`);
});

test("`calls` keeps traces with a model call, whichever of their spans matches the rest", async () => {
  const calls = [agentTrace, farTrace, onlyTrace, bareTrace].map(idOf).sort();
  assert.deepEqual(await found("calls=true"), calls);
  assert.deepEqual(await found("calls=true&service=web"), calls);
  assert.deepEqual(await found("calls=true&q=health"), []);
  assert.deepEqual(await found("calls=false"), [...calls, idOf(probe)].sort());
  const { items } = await get<FacetList>(`facets?${range}&calls=true&q=health&key=service`);
  assert.deepEqual(items[0]?.values, []);
  const refused = await dashboard.get(`/api/v1/traces?calls=maybe`, a.headers);
  assert.equal(refused.status, 400);
});

test("calls are found by the time of each phase and by the time per token", async () => {
  const calls = [agentTrace, farTrace, onlyTrace, bareTrace].map(idOf).sort();
  // Queue 50 ms, prefill 150 ms, decode 800 ms for 40 tokens after the first.
  for (const [name, ms] of [
    ["Queue", 50],
    ["Prefill", 150],
    ["Decode", 800],
    ["PerToken", 20],
  ] as const) {
    assert.deepEqual(await found(`min${name}Ms=${ms}&max${name}Ms=${ms}`), calls, name);
    assert.deepEqual(await found(`min${name}Ms=${ms + 1}`), [], name);
    assert.deepEqual(await found(`max${name}Ms=${ms - 1}`), [], name);
  }
});
