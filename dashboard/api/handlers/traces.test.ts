// The list over the real engine: order, pages under inserts, filters, facets, spans sent again.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type * as z from "zod";
import type { FacetList, TraceList } from "@axonize/core/contract/trace";
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

/** An hour in the past, so that spans sent by other tests are elsewhere. */
const base = Date.now() - 3 * 3_600_000;
const range = (fromMs: number, toMs: number): string =>
  `from=${Math.floor(fromMs)}&to=${Math.ceil(toMs)}`;
const list = async (query: string): Promise<List> => {
  const reply = await dashboard.get<List>(`/api/v1/traces?${query}`, a.headers);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
};

/** A gateway's root span with an engine's call below it. */
function request(startMs: number, call: Partial<TestSpan> = {}): TestSpan[] {
  const root = buildSpan({
    startMs,
    tenantNum: a.num,
    name: "POST /v1/chat/completions",
    service: "gateway",
    durationMs: 1500,
    status: 1,
  });
  return [
    root,
    buildCall({
      startMs: startMs + 20,
      tenantNum: a.num,
      traceId: root.traceId,
      parentSpanId: root.spanId,
      ...call,
    }),
  ];
}

async function walk(query: string, onPage?: (page: List) => Promise<void>): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  for (let pages = 0; pages < 100; pages += 1) {
    const page: List = await list(cursor === null ? query : `${query}&cursor=${cursor}`);
    ids.push(...page.items.map((item) => item.traceId));
    if (page.nextCursor === null) return ids;
    cursor = page.nextCursor;
    await onPage?.(page);
  }
  return assert.fail("the list has no end");
}

const fleet = Array.from({ length: 57 }, (_, at) => request(base + at * 30_000));
await insertSpans(clickhouse, fleet.flat());
const newestFirst = fleet.map(([root]) => root?.traceId ?? "").toReversed();
const fleetRange = range(base, base + 57 * 30_000);

test("traces come newest first, each once, over all pages", async () => {
  assert.deepEqual(await walk(`${fleetRange}&limit=10`), newestFirst);
});

test("oldest first is the same list backwards", async () => {
  assert.deepEqual(await walk(`${fleetRange}&limit=10&order=asc`), newestFirst.toReversed());
});

test("spans that arrive between two pages move nothing behind the cursor", async () => {
  const fromMs = base - 4 * 3_600_000;
  const old = Array.from({ length: 20 }, (_, at) => request(fromMs + at * 1000));
  await insertSpans(clickhouse, old.flat());
  const seen = await walk(`${range(fromMs, fromMs + 600_000)}&limit=6`, async () => {
    await insertSpans(clickhouse, request(fromMs + 300_000 + Math.random() * 1000));
  });
  assert.deepEqual(seen, old.map(([root]) => root?.traceId ?? "").toReversed());
});

test("traces that begin in the same nanosecond have a stable order", async () => {
  const fromMs = base - 5 * 3_600_000;
  const same = Array.from({ length: 12 }, () => request(fromMs));
  await insertSpans(clickhouse, same.flat());
  const query = `${range(fromMs, fromMs + 1000)}&limit=5`;
  const ids = await walk(query);
  assert.equal(new Set(ids).size, 12);
  assert.deepEqual(await walk(query), ids);
});

test("a row shows its root's name and the values of the engine's call", async () => {
  const [row] = (await list(`${fleetRange}&limit=1`)).items;
  assert.ok(row);
  assert.equal(row.name, "POST /v1/chat/completions");
  assert.equal(row.service, "gateway");
  assert.equal(row.durationNs, 1_500_000_000);
  assert.equal(row.model, "llama-3.1-8b");
  assert.equal(row.engine, "vllm");
  assert.deepEqual(
    [row.ttftMs, row.ttftBasis, row.queueMs, row.prefillMs, row.decodeMs],
    [200, "engine", 50, 150, 800],
  );
  assert.equal(row.perTokenMs, 20);
  assert.equal(row.spanCount, 2);
  assert.equal(row.gpuLevel, "unattributed");
  assert.deepEqual(row.marks, []);
});

test("a trace belongs to the range in which it begins, even if a match is later", async () => {
  const fromMs = base - 6 * 3_600_000;
  const late = request(fromMs, { startMs: fromMs + 1_800_000, session: "late-match" });
  await insertSpans(clickhouse, late);
  const id = late[0]?.traceId ?? "";
  const found = await walk(`${range(fromMs - 1000, fromMs + 1000)}&session=late-match`);
  assert.deepEqual(found, [id]);
  const elsewhere = await walk(`${range(fromMs + 1000, fromMs + 3_600_000)}&session=late-match`);
  assert.deepEqual(elsewhere, []);
});

const special = request(base - 7 * 3_600_000, {
  model: "qwen3-32b",
  provider: "local",
  environment: "staging",
  status: 2,
  namespace: "inference",
  pod: "engine-0",
  node: "node-7",
  session: "session-42",
  user: "user-1",
  gpus: ["GPU-aaaa"],
  gpuLevel: "exact.single",
  name: "Generate 100%_ÄÖ",
  ttftMs: 900,
  durationMs: 4000,
  inputTokens: 5000,
  outputTokens: 200,
});
const plain = request(base - 7 * 3_600_000 + 60_000);
await insertSpans(clickhouse, [...special, ...plain]);
const pair = range(base - 7.2 * 3_600_000, base - 6.9 * 3_600_000);

const matching = [
  "model=qwen3-32b",
  "model=qwen3-32b&model=other",
  "model=!llama-3.1-8b",
  "provider=local",
  "environment=staging",
  "status=error",
  "namespace=inference",
  "pod=engine-0",
  "node=node-7",
  "session=session-42",
  "user=user-1",
  "gpu=GPU-aaaa",
  "q=GENERATE%20100%25_%C3%A4",
  "minTtftMs=500",
  "minDurationMs=3000",
  "minTokens=5200",
  "model=qwen3-32b&status=error&minTokens=1",
];
for (const query of matching) {
  test(`?${query} finds the one trace that matches`, async () => {
    assert.deepEqual(await walk(`${pair}&${query}`), [special[0]?.traceId]);
  });
}
for (const query of [
  "model=qwen3-32b&maxTtftMs=100",
  "q=%25_nothing",
  "gpu=GPU-b",
  "user=nobody",
]) {
  test(`?${query} finds nothing`, async () => {
    assert.deepEqual(await walk(`${pair}&${query}`), []);
  });
}

test("filters hold for one span, not for the trace's spans together", async () => {
  assert.deepEqual(await walk(`${pair}&service=gateway&model=qwen3-32b`), []);
});

test("other orders hold over pages, traces without the value last", async () => {
  const fromMs = base - 8 * 3_600_000;
  const ttfts = [300, 100, undefined, 500, 200];
  const traces = ttfts.map((ttftMs, at) => request(fromMs + at * 1000, { ttftMs }));
  await insertSpans(clickhouse, traces.flat());
  const ids = traces.map(([root]) => root?.traceId);
  const query = `${range(fromMs, fromMs + 60_000)}&limit=2&sort=ttft`;
  assert.deepEqual(
    await walk(query),
    [3, 0, 4, 1, 2].map((at) => ids[at]),
  );
  assert.deepEqual(
    await walk(`${query}&order=asc`),
    [1, 4, 0, 3, 2].map((at) => ids[at]),
  );
});

test("a trace is sorted by its principal call, however many other calls come before it", async () => {
  const fromMs = base - 12 * 3_600_000;
  const traces = Array.from({ length: 1000 }, (_, at) => {
    const [root, engine] = request(fromMs + at, { ttftMs: at + 1 });
    const client = buildCall({
      startMs: fromMs + at,
      tenantNum: a.num,
      ...(root === undefined ? {} : { traceId: root.traceId, parentSpanId: root.spanId }),
      engine: "",
      ttftMs: 10_000 - at,
      ttftBasis: "client",
    });
    return [root, client, engine].filter((span) => span !== undefined);
  });
  await insertSpans(clickhouse, traces.flat());
  const ids = traces.map(([root]) => root?.traceId);
  const page = async (query: string) =>
    await list(`${range(fromMs, fromMs + 60_000)}&limit=3&sort=ttft${query}`);
  const first = await page("");
  const second = await page(`&cursor=${first.nextCursor}`);
  assert.deepEqual(
    [...first.items, ...second.items].map((item) => item.traceId),
    ids.slice(-6).toReversed(),
  );
  assert.deepEqual(
    (await page("&order=asc")).items.map((item) => item.traceId),
    ids.slice(0, 3),
  );
});

test("a span that is sent again changes no list, facet or count", async () => {
  const urls = [
    `/api/v1/traces?${pair}`,
    `/api/v1/traces?${pair}&sort=ttft`,
    `/api/v1/facets?${pair}`,
    `/api/v1/traces/${special[0]?.traceId}`,
  ];
  const ask = async (): Promise<unknown[]> =>
    await Promise.all(urls.map(async (url) => (await dashboard.get(url, a.headers)).body));
  const before = await ask();
  await insertSpans(
    clickhouse,
    special.toReversed().map((span) => ({ ...span, receivedMs: span.receivedMs + 5000 })),
  );
  await insertSpans(clickhouse, [...special, ...plain]);
  assert.deepEqual(await ask(), before);
});

test("a span whose newer version no longer matches is not found by the older one", async () => {
  const fromMs = base - 9 * 3_600_000;
  const first = request(fromMs, { model: "draft" });
  await insertSpans(clickhouse, first);
  const last = first.map((span) => ({
    ...span,
    model: span.model === "" ? "" : "final",
    receivedMs: span.receivedMs + 1000,
  }));
  await insertSpans(clickhouse, last);
  const at = range(fromMs, fromMs + 1000);
  assert.deepEqual(await walk(`${at}&model=draft`), []);
  assert.deepEqual(await walk(`${at}&model=final`), [first[0]?.traceId]);
});

test("a trace whose root never came, and one with a lost parent, are marked", async () => {
  const fromMs = base - 10 * 3_600_000;
  const [root, call] = request(fromMs);
  assert.ok(root && call);
  await insertSpans(clickhouse, [call]);
  const [row] = (await list(range(fromMs, fromMs + 1000))).items;
  assert.deepEqual(row?.marks, ["missingRoot", "missingParent"]);
});

test("facets count spans under the filter, and ignore their own", async () => {
  const reply = await dashboard.get<FacetList>(
    `/api/v1/facets?${pair}&model=qwen3-32b&key=model&key=environment&key=status&key=gpu`,
    a.headers,
  );
  const byKey = new Map(reply.body.items.map((item) => [item.key, item.values]));
  assert.deepEqual(byKey.get("model"), [
    { value: "llama-3.1-8b", count: 1 },
    { value: "qwen3-32b", count: 1 },
  ]);
  assert.deepEqual(byKey.get("environment"), [{ value: "staging", count: 1 }]);
  assert.deepEqual(byKey.get("status"), [{ value: "error", count: 1 }]);
  assert.deepEqual(byKey.get("gpu"), [{ value: "GPU-aaaa", count: 1 }]);
});

test("facet values can be narrowed by prefix, and say how many are left off", async () => {
  const reply = await dashboard.get<FacetList>(
    `/api/v1/facets?${pair}&key=model&limit=1`,
    a.headers,
  );
  assert.equal(reply.body.items[0]?.values.length, 1);
  assert.equal(reply.body.items[0]?.otherCount, 1);
  const narrowed = await dashboard.get<FacetList>(
    `/api/v1/facets?${pair}&key=model&prefix=QWEN`,
    a.headers,
  );
  assert.deepEqual(narrowed.body.items[0]?.values, [{ value: "qwen3-32b", count: 1 }]);
});

for (const [query, path] of [
  ["cursor=abc", "query.cursor"],
  ["cursor=WyJ0dGZ0IiwiZGVzYyIsIjEiLCIwMCJd", "query.cursor"],
  ["from=yesterday", "query.from"],
  ["from=now&to=-1h", "query.from"],
  ["limit=0", "query.limit"],
  ["limit=many", "query.limit"],
  ["sort=name", "query.sort"],
  ["minTtftMs=-1", "query.minTtftMs"],
]) {
  test(`?${query} is refused with the name of the input`, async () => {
    const reply = await dashboard.get<{ errors: { path: string }[] }>(
      `/api/v1/traces?${query}`,
      a.headers,
    );
    assert.equal(reply.status, 400);
    assert.equal(reply.body.errors[0]?.path, path);
  });
}

test("a cursor of another order is refused", async () => {
  const { nextCursor } = await list(`${fleetRange}&limit=2`);
  const reply = await dashboard.get(
    `/api/v1/traces?${fleetRange}&sort=ttft&cursor=${nextCursor}`,
    a.headers,
  );
  assert.equal(reply.status, 400);
});

test("what is older than the tenant's retention is not shown", async () => {
  const old = request(Date.now() - 31 * 86_400_000).map((span) => ({ ...span, retention: 90 }));
  await insertSpans(clickhouse, old);
  assert.deepEqual(await walk("from=-60d&to=-30d"), []);
  const byId = await dashboard.get(`/api/v1/traces/${old[0]?.traceId}`, a.headers);
  assert.equal(byId.status, 404);
});

test("a trace whose only match lies windows after its start keeps its place", async () => {
  const fromMs = base - 9 * 3_600_000;
  const made = Array.from({ length: 12 }, (_, at) =>
    request(fromMs + at * 240_000, {
      // Every third matches half an hour later, in a window that is read before that of its start.
      startMs: fromMs + at * 240_000 + (at % 3 === 0 ? 1_800_000 : 10),
      user: "far-match",
    }),
  );
  await insertSpans(clickhouse, made.flat());
  const expected = made.map(([root]) => root?.traceId ?? "").toReversed();
  const within = range(fromMs - 1000, fromMs + 3_300_000);
  assert.deepEqual(await walk(`${within}&limit=5&user=far-match`), expected);
  assert.deepEqual(await walk(`${within}&limit=5&user=far-match&calls=true`), expected);
  // Before the range's end began, but matching only after it: still found, and nothing else is.
  const early = range(fromMs - 1000, fromMs + 1000);
  assert.deepEqual(await walk(`${early}&user=far-match`), [made[0]?.[0]?.traceId]);
});

test("where most candidates fail what is asked of their trace, the rest are all found", async () => {
  const fromMs = base - 11 * 3_600_000;
  const quiet = Array.from({ length: 60 }, (_, at) =>
    buildSpan({ startMs: fromMs + at * 1000, tenantNum: a.num, service: "crowd" }),
  );
  const calling = [7, 31, 52].flatMap((at) =>
    request(fromMs + at * 1000 + 5).map((span) => ({
      ...span,
      service: span.parentSpanId === "" ? "crowd" : span.service,
    })),
  );
  await insertSpans(clickhouse, [...quiet, ...calling]);
  const expected = calling
    .filter((span) => span.parentSpanId === "")
    .map((span) => span.traceId)
    .toReversed();
  const within = range(fromMs, fromMs + 120_000);
  assert.deepEqual(await walk(`${within}&limit=2&service=crowd&calls=true`), expected);
});
