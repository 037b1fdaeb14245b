// One trace and one span over the real engine: rows, columns, odd trees, payloads, peers, sampling.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { SpanDetail, Trace } from "@axonize/core/contract/trace";
import { buildCall, buildSpan, insertSpans } from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";
import { spanColumnsFrom } from "../queries/trace.sql.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a } = dashboard;
const { clickhouse } = dashboard.stores;
const base = Date.now() - 3_600_000;

const get = async <T>(path: string) => await dashboard.get<T>(`/api/v1/traces/${path}`, a.headers);

const root = buildSpan({ startMs: base, tenantNum: a.num, name: "root", durationMs: 2000 });
const call = buildCall({
  startMs: base + 100,
  tenantNum: a.num,
  traceId: root.traceId,
  parentSpanId: root.spanId,
  gpus: ["GPU-1"],
  gpuLevel: "exact.single",
  resourceFp: 77,
});
const orphan = buildSpan({
  startMs: base + 50,
  tenantNum: a.num,
  traceId: root.traceId,
  parentSpanId: "00000000000000ff",
  marks: 1 << 3,
});
await insertSpans(clickhouse, [root, call, orphan]);

test("a trace answers its spans as rows in order of start, orphans marked", async () => {
  const { status, body } = await get<Trace>(root.traceId);
  assert.equal(status, 200);
  assert.equal(body.spanCount, 3);
  assert.equal(body.shownSpanCount, 3);
  assert.equal(body.principalSpanId, call.spanId);
  assert.deepEqual(
    body.spans?.map((span) => [span.spanId, span.parentSpanId, span.marks]),
    [
      [root.spanId, "", []],
      [orphan.spanId, "00000000000000ff", ["truncated", "missingParent"]],
      [call.spanId, root.spanId, []],
    ],
  );
  assert.equal(body.columns, undefined);
  assert.deepEqual(
    body.resourceGpus.map((gpu) => [gpu.uuid, gpu.level]),
    [["GPU-1", "exact.single"]],
  );
});

test("a span's payload is hidden once it is older than the tenant keeps payloads", async () => {
  const { sql } = dashboard.stores;
  const old = buildCall({ startMs: Date.now() - 3 * 86_400_000, tenantNum: a.num });
  await insertSpans(clickhouse, [old]);
  await clickhouse.command({
    query: `INSERT INTO span_payloads (tenant_id, retention, minute, received, trace_id, span_id, attrs_str)
      SELECT {tenant:UInt32}, 30, toStartOfMinute(fromUnixTimestamp64Milli({start:Int64}, 'UTC')),
        now64(3), unhex({trace:String}), unhex({span:String}), map('text', 'x')`,
    query_params: {
      tenant: a.num,
      start: Math.floor(old.startMs),
      trace: old.traceId,
      span: old.spanId,
    },
  });
  const read = async () => await get<SpanDetail>(`${old.traceId}/spans/${old.spanId}`);
  const before = await read();
  assert.deepEqual(before.body.attributes, { text: "x" });
  await sql`UPDATE tenants SET payload_days = 2 WHERE id = ${a.id}`;
  await dashboard.access.refresh();
  const after = await read();
  await sql`UPDATE tenants SET payload_days = NULL WHERE id = ${a.id}`;
  await dashboard.access.refresh();
  assert.equal(after.status, 200, "the span is there");
  assert.equal(after.body.name, before.body.name);
  assert.deepEqual(after.body.attributes, {});
  assert.equal(after.body.payloadExpired, true);
});

test("the same spans as columns point at rows and strings", async () => {
  const { body } = await get<Trace>(`${root.traceId}?format=columns`);
  const { columns } = body;
  assert.ok(columns);
  assert.deepEqual(columns.parent, [-1, -1, 0]);
  assert.deepEqual(columns.orphan, [1]);
  assert.deepEqual(columns.startUs, [0, 50_000, 100_000]);
  assert.deepEqual(
    columns.nameIndex.map((at) => columns.strings[at]),
    ["root", "GET /", "llm_request"],
  );
  assert.deepEqual(columns.ttftUs, [null, null, 200_000]);
  assert.equal(body.spans, undefined);
});

test("ids are taken in upper case, and refused when they are no ids", async () => {
  assert.equal((await get<Trace>(root.traceId.toUpperCase())).status, 200);
  assert.equal((await get("xyz")).status, 400);
  assert.equal((await get("0".repeat(32))).status, 404);
});

test("a span that names itself as its parent is a root, not a loop", () => {
  const empty = {
    name: ["s"],
    service: [""],
    model: [""],
    engine: [""],
    operation: [""],
    kind: [0],
    status: [0],
    startUs: [0],
    durationUs: [0],
    ttftUs: [null],
    queueUs: [null],
    prefillUs: [null],
    decodeUs: [null],
    inputTokens: [null],
    outputTokens: [null],
    marks: [0],
  };
  const columns = spanColumnsFrom({ ...empty, spanId: ["a"], parentId: ["a"] });
  assert.deepEqual([columns.parent, columns.orphan], [[-1], [0]]);
});

test("a span answers its attributes in their types, resource, events and links", async () => {
  await clickhouse.command({
    query: `INSERT INTO span_payloads (tenant_id, retention, minute, received, trace_id, span_id,
        status_message, scope_name, scope_version, attrs_str, attrs_int, attrs_num, attrs_bool,
        attrs_json, content, event_time, event_name, event_attrs, link_trace_id, link_span_id, link_attrs)
      SELECT {tenant:UInt32}, 30, toStartOfMinute(fromUnixTimestamp64Milli({start:Int64}, 'UTC')), now64(3),
        unhex({trace:String}), unhex({span:String}), 'timed out', 'vllm', '0.32', map('b.text', 'x'),
        map('a.int', 7, 'a.big', 9007199254740993), map('n', 1.5), map('t', true),
        map('list', '[1,"two"]'), map('gen_ai.prompt', 'hello'),
        [{eventNs:Int64}], ['first token'], ['{"n":1}'], [unhex({trace:String})],
        [unhex({span:String})], ['']`,
    query_params: {
      tenant: a.num,
      start: Math.floor(call.startMs),
      trace: call.traceId,
      span: call.spanId,
      eventNs: String(BigInt(Math.floor(call.startMs)) * 1_000_000n + 5n),
    },
  });
  await clickhouse.command({
    query: `INSERT INTO resources VALUES ({tenant:UInt32}, 77, now(), '{"service.name":"engine"}')`,
    query_params: { tenant: a.num },
  });
  const { status, body } = await get<SpanDetail>(`${call.traceId}/spans/${call.spanId}`);
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(body.attributes, {
    "a.big": "9007199254740993",
    "a.int": 7,
    "b.text": "x",
    list: [1, "two"],
    n: 1.5,
    t: true,
  });
  assert.deepEqual(body.resource, { "service.name": "engine" });
  assert.deepEqual(body.content, { "gen_ai.prompt": "hello" });
  assert.equal(body.events[0]?.name, "first token");
  assert.match(body.events[0]?.time ?? "", /000005Z$/);
  assert.deepEqual(body.links, [{ traceId: call.traceId, spanId: call.spanId, attributes: {} }]);
  assert.equal(body.statusMessage, "timed out");
  assert.equal(body.payloadExpired, false);
});

test("a span without payload says so, and a wrong span id is not found", async () => {
  const { body } = await get<SpanDetail>(`${root.traceId}/spans/${root.spanId}`);
  assert.equal(body.payloadExpired, true);
  assert.deepEqual(body.attributes, {});
  assert.equal((await get(`${root.traceId}/spans/${"9".repeat(16)}`)).status, 404);
});

test("a call is compared with the same model's calls of the hour before", async () => {
  const at = base - 5 * 3_600_000;
  const peers = [100, 200, 300, 400].map((durationMs, index) =>
    buildCall({ startMs: at + index * 1000, tenantNum: a.num, model: "peer", durationMs }),
  );
  const slow = buildCall({
    startMs: at + 10_000,
    tenantNum: a.num,
    model: "peer",
    durationMs: 350,
  });
  await insertSpans(clickhouse, [...peers, slow]);
  const { body } = await get<Trace>(slow.traceId);
  assert.equal(body.peers?.count, 4);
  assert.equal(body.peers.percentile, 75);
  const first = await get<Trace>(peers[0]?.traceId ?? "");
  assert.equal(first.body.peers, null);
});

test("of calls that took as long, one half counts as faster", async () => {
  const at = base - 5 * 3_600_000;
  const calls = [50, 105, 105, 200, 105].map((durationMs, index) =>
    buildCall({ startMs: at + index * 1000, tenantNum: a.num, model: "even", durationMs }),
  );
  await insertSpans(clickhouse, calls);
  const { body } = await get<Trace>(calls.at(-1)?.traceId ?? "");
  assert.deepEqual(body.peers, { durationMs: 105, percentile: 50, medianMs: 105, count: 4 });
});

test("a trace over midnight is whole", async () => {
  const midnight = Math.floor(Date.now() / 86_400_000) * 86_400_000;
  const before = buildSpan({ startMs: midnight - 60_000, tenantNum: a.num, durationMs: 120_000 });
  const late = buildCall({
    startMs: midnight + 30_000,
    tenantNum: a.num,
    traceId: before.traceId,
    parentSpanId: before.spanId,
  });
  await insertSpans(clickhouse, [before, late]);
  const { body } = await get<Trace>(before.traceId);
  assert.equal(body.spanCount, 2);
  assert.deepEqual(body.marks, []);
});

test("beyond 100,000 spans the slowest and the failed are shown, and the count says so", async () => {
  const traceId = "c".repeat(32);
  const start = base - 2 * 3_600_000;
  await clickhouse.command({
    query: `INSERT INTO trace_index SELECT {tenant:UInt32}, unhex({trace:String}), toDate(s), 30, s, s + toIntervalSecond(70), s + toIntervalSecond(80)
      FROM (SELECT fromUnixTimestamp64Nano({startNs:Int64}, 'UTC') AS s)`,
    query_params: { tenant: a.num, trace: traceId, startNs: `${Math.floor(start)}000000` },
  });
  await clickhouse.command({
    query: `INSERT INTO spans (tenant_id, retention, start, received, trace_id, span_id, parent_span_id, name, status, duration_ns)
      SELECT {tenant:UInt32}, 30, fromUnixTimestamp64Nano({startNs:Int64} + number * 500000, 'UTC'), now64(3),
        unhex({trace:String}), reinterpretAsFixedString(toUInt64(number + 1)),
        if(number = 0, toFixedString('', 8), reinterpretAsFixedString(toUInt64(1))),
        'step', if(number = 99999, 2, 0), if(number = 0, 80000000000, 1000 + number % 1000)
      FROM numbers(120000)`,
    query_params: { tenant: a.num, trace: traceId, startNs: `${Math.floor(start)}000000` },
  });
  const { body } = await get<Trace>(traceId);
  assert.equal(body.spanCount, 120_000);
  assert.equal(body.shownSpanCount, 100_000);
  assert.equal(body.columns?.status.filter((status) => status === 2).length, 1);
  assert.equal(Math.max(...(body.columns?.durationUs.slice(0, 1) ?? [])), 80_000_000);
  assert.deepEqual(body.columns?.orphan, []);
  assert.equal((await get(`${traceId}?format=rows`)).status, 200);
});
