// Overview and heat map over the real engine: sums, change, percentiles, late and repeated spans.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Heatmap, Overview } from "@axonize/core/contract/analytics";
import {
  buildCall,
  buildSpan,
  insertSpans,
  type TestSpan,
} from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a, b } = dashboard;
const { clickhouse } = dashboard.stores;
const hour = 3_600_000;
const base = Math.floor(Date.now() / hour) * hour - 6 * hour;

const overview = async (query: string): Promise<Overview> => {
  const reply = await dashboard.get<Overview>(`/api/v1/analytics/overview?${query}`, a.headers);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
};
/** Without what a query cost, which differs each time. */
const figures = ({ query: _cost, ...rest }: Overview) => rest;

const calls: TestSpan[] = Array.from({ length: 100 }, (_, at) =>
  buildCall({
    startMs: base + at * 30_000,
    receivedMs: base + at * 30_000 + 2000,
    tenantNum: a.num,
    durationMs: 10 * (at + 1),
    ttftMs: at + 1,
    model: at % 4 === 0 ? "small" : "large",
    status: at % 10 === 0 ? 2 : 1,
  }),
);
const tools = calls.slice(0, 10).map((call) =>
  buildSpan({
    startMs: call.startMs,
    receivedMs: call.receivedMs,
    tenantNum: a.num,
    traceId: call.traceId,
    parentSpanId: call.spanId,
    operation: "execute_tool",
    durationMs: 5,
  }),
);
await insertSpans(clickhouse, [...calls, ...tools]);
const range = `from=${base}&to=${base + hour}&buckets=12`;

test("totals count calls, spans and traces; tools are spans, not calls", async () => {
  const { totals, basis, stepMs } = await overview(range);
  assert.equal(basis, "calls");
  assert.equal(stepMs, 300_000);
  assert.deepEqual([totals.calls, totals.spans, totals.traces, totals.errors], [100, 110, 100, 10]);
  assert.equal(totals.errorRatio, 0.1);
  assert.equal(totals.inputTokens, 10_000);
  assert.equal(totals.outputTokens, 4100);
  assert.ok(Math.abs((totals.durationP50Ms ?? 0) - 500) < 15, String(totals.durationP50Ms));
  assert.ok(Math.abs((totals.ttftP95Ms ?? 0) - 95) < 3, String(totals.ttftP95Ms));
  assert.ok(Math.abs((totals.perTokenP50Ms ?? 0) - 20) < 0.6, String(totals.perTokenP50Ms));
});

test("tokens that client and engine both tell count once, the client's alone count as well", async () => {
  const at = base - 3 * hour;
  const client = { tenantNum: a.num, engine: "", service: "app", ttftBasis: "client" as const };
  const served = buildCall({ ...client, startMs: at + 899_000, inputTokens: 7 });
  await insertSpans(clickhouse, [
    served,
    buildCall({ startMs: at + 901_000, tenantNum: a.num, traceId: served.traceId, inputTokens: 8 }),
    buildCall({ ...client, startMs: at + 5000, inputTokens: 100 }),
  ]);
  for (const buckets of [10, 60]) {
    const { totals } = await overview(`from=${at}&to=${at + hour}&buckets=${buckets}`);
    assert.equal(totals.inputTokens, 108);
    assert.equal(totals.calls, 3);
  }
});

test("the series adds up to the totals, and the groups too", async () => {
  const { series, totals, byModel, byService } = await overview(range);
  assert.equal(series.startMs.length, 12);
  const sum = (numbers: readonly number[]): number => numbers.reduce((x, y) => x + y, 0);
  assert.equal(sum(series.calls), totals.calls);
  assert.equal(sum(series.errors), totals.errors);
  assert.deepEqual(
    byModel.map(({ value, engine, totals: own }) => [value, engine, own.calls]),
    [
      ["large", "vllm", 75],
      ["small", "vllm", 25],
    ],
  );
  assert.equal(sum(byModel.flatMap((group) => group.series)), 100);
  assert.deepEqual(
    byService.map(({ value }) => value),
    ["engine"],
  );
});

test("the range before is what it is compared with", async () => {
  const later = await overview(`from=${base + hour}&to=${base + 2 * hour}&buckets=12`);
  assert.equal(later.totals.calls, 0);
  assert.equal(later.previous?.calls, 100);
  assert.equal((await overview(range)).previous, null);
});

test("a range that cuts slots counts just what lies in it", async () => {
  const from = base + 10 * 30_000;
  const cut = await overview(`from=${from + 1}&to=${from + 20 * 30_000 + 1}&buckets=10`);
  assert.equal(cut.totals.calls, 20);
  assert.equal(cut.totals.traces, 20);
});

test("filters hold, and a tenant without such calls gets zeros and nulls", async () => {
  assert.equal((await overview(`${range}&model=small`)).totals.calls, 25);
  assert.equal((await overview(`${range}&model=small&status=error`)).totals.calls, 5);
  const none = await overview(`${range}&model=nothing`);
  assert.equal(none.totals.durationP50Ms, null);
  assert.equal(none.totals.errorRatio, null);
});

test("a span that is sent again changes nothing, a late one is in the next answer", async () => {
  const before = await overview(range);
  await insertSpans(
    clickhouse,
    calls.toReversed().map((call) => ({ ...call, receivedMs: Date.now() })),
  );
  assert.deepEqual(figures(await overview(range)), figures(before));
  await insertSpans(clickhouse, [
    buildCall({ startMs: base + 1000, receivedMs: Date.now(), tenantNum: a.num }),
  ]);
  const after = await overview(range);
  assert.equal(after.totals.calls, 101);
  assert.equal(after.totals.traces, 101);
});

test("what has not changed is answered from memory: few rows are read", async () => {
  await overview(`${range}&environment=test`);
  // Everything above was received just now; wait for nothing, but ask for a quiet hour.
  const quiet = `from=${base - 4 * hour}&to=${base - 3 * hour}&buckets=12`;
  await insertSpans(
    clickhouse,
    Array.from({ length: 50 }, (_, at) =>
      buildCall({ startMs: base - 4 * hour + at * 1000, tenantNum: a.num }),
    ),
  );
  const first = await overview(quiet);
  const second = await overview(quiet);
  assert.equal(second.totals.calls, 50);
  assert.ok(second.query.rowsRead < first.query.rowsRead, `${second.query.rowsRead} rows read`);
});

test("without model calls, spans are counted", async () => {
  await insertSpans(clickhouse, [buildSpan({ startMs: base, tenantNum: b.num })]);
  const reply = await dashboard.get<Overview>(`/api/v1/analytics/overview?${range}`, b.headers);
  assert.equal(reply.body.basis, "spans");
  assert.equal(reply.body.totals.calls, 1);
});

test("the heat map holds every call once, within its scale", async () => {
  for (const metric of [
    "duration",
    "ttft",
    "perToken",
    "queue",
    "prefill",
    "decode",
    "outputTokens",
  ]) {
    const { body } = await dashboard.get<Heatmap>(
      `/api/v1/analytics/heatmap?${range}&metric=${metric}&model=large`,
      a.headers,
    );
    assert.equal(body.counts.length, body.columns * body.rows, metric);
    assert.equal(
      body.counts.reduce((x, y) => x + y, 0),
      75,
      metric,
    );
    assert.equal(body.total, 75);
    const top = body.yMin * body.yRatio ** body.rows;
    for (const p99 of body.p99) assert.ok(p99 === null || (p99 >= body.yMin * 0.95 && p99 <= top));
  }
});

test("one device in the heat map's unit: 40 ms of TTFT lies in the row of 40 ms", async () => {
  const at = base - 5 * hour;
  await insertSpans(clickhouse, [buildCall({ startMs: at, tenantNum: a.num, ttftMs: 40 })]);
  const { body } = await dashboard.get<Heatmap>(
    `/api/v1/analytics/heatmap?from=${at}&to=${at + hour}&buckets=10`,
    a.headers,
  );
  const row = body.counts.indexOf(1) % body.rows;
  const low = body.yMin * body.yRatio ** row;
  assert.ok(low <= 40 && 40 < low * body.yRatio, `${low} ms`);
});

test("a range of ten years is clamped to the retention, not answered slot by slot", async () => {
  const wide = await overview("from=-3000d&buckets=100");
  assert.ok(wide.series.startMs.length <= 101);
});

test("a late span changes the slot of its trace's beginning and its own, wherever they lie", async () => {
  const at = base - 20 * hour;
  const asked = `from=${at}&to=${at + hour}&buckets=60&engine=late-engine`;
  const client = buildCall({
    tenantNum: a.num,
    startMs: at + 30_000,
    receivedMs: at + 40_000,
    engine: "",
    service: "app",
    inputTokens: 7,
  });
  await insertSpans(clickhouse, [client]);
  const everything = `from=${at}&to=${at + hour}&buckets=60`;
  assert.equal((await overview(everything)).totals.inputTokens, 7);
  assert.equal((await overview(asked)).totals.traces, 0);
  await insertSpans(clickhouse, [
    buildCall({
      tenantNum: a.num,
      traceId: client.traceId,
      startMs: at + 40 * 60_000,
      receivedMs: Date.now(),
      engine: "late-engine",
      inputTokens: 8,
    }),
  ]);
  // The engine's word counts in its own slot, the client's no more in the first.
  assert.equal((await overview(everything)).totals.inputTokens, 8);
  const { totals } = await overview(asked);
  assert.deepEqual([totals.traces, totals.calls], [1, 1]);
});
