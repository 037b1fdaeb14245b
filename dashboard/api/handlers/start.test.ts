// First steps and the live stream: what arrives is told, once, to its own tenant.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Start } from "@axonize/core/contract/system";
import type { TraceRow } from "@axonize/core/contract/trace";
import { startEventsPath } from "@axonize/core/contract/routes";
import { buildCall, insertSpans } from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";
import { eventStreams } from "../limits.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a, b, stores } = dashboard;

async function open(headers: Record<string, string>, abort: AbortController) {
  return await fetch(`${dashboard.url}${startEventsPath}`, { headers, signal: abort.signal });
}

/** Reads a stream until `count` span events came, or fails after 20 s. */
async function readEvents(response: Response, count: number): Promise<TraceRow[]> {
  const rows: TraceRow[] = [];
  const decoder = new TextDecoder();
  let text = "";
  const deadline = AbortSignal.timeout(20_000);
  for await (const chunk of response.body ?? []) {
    assert.ok(!deadline.aborted, `${rows.length} of ${count} events in 20 s`);
    text += decoder.decode(chunk, { stream: true });
    const events = text.split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      const data = /^event: span\nid: .*\ndata: (.*)$/.exec(event)?.[1];
      if (data !== undefined) rows.push(JSON.parse(data) as TraceRow);
    }
    if (rows.length >= count) break;
  }
  return rows;
}

test("before anything arrived, Start says where to send and that nothing came", async () => {
  const { body } = await dashboard.get<Start>("/api/v1/start", b.headers);
  assert.equal(body.otlpGrpcEndpoint, "localhost:4317");
  assert.equal(body.firstSpanAt, null);
  assert.equal(body.firstTraceId, null);
  assert.match(body.apiEndpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
});

test("a new request is told once, to its own tenant only", async () => {
  const abort = new AbortController();
  const [mine, other] = await Promise.all([open(a.headers, abort), open(b.headers, abort)]);
  assert.match(mine.headers.get("content-type") ?? "", /^text\/event-stream/);
  const first = buildCall({ startMs: Date.now() - 1000, tenantNum: a.num });
  const foreign = buildCall({ startMs: Date.now() - 1000, tenantNum: b.num });
  await insertSpans(stores.clickhouse, [first]);
  await insertSpans(stores.clickhouse, [first]);
  await insertSpans(stores.clickhouse, [foreign]);
  const second = buildCall({ startMs: Date.now() - 500, tenantNum: a.num });
  const rows = readEvents(mine, 2);
  const others = readEvents(other, 1);
  await insertSpans(stores.clickhouse, [second]);
  assert.deepEqual(
    (await rows).map((row) => row.traceId),
    [first.traceId, second.traceId],
  );
  assert.deepEqual(
    (await others).map((row) => row.traceId),
    [foreign.traceId],
  );
  abort.abort();
  const { body } = await dashboard.get<Start>("/api/v1/start", a.headers);
  assert.ok(body.firstSpanAt !== null && body.firstTraceId !== null);
});

test("streams beyond the limit are refused with a hint, and one that ends makes room", async () => {
  const aborts = Array.from({ length: eventStreams }, () => new AbortController());
  const opened = await Promise.all(aborts.map(async (abort) => await open(a.headers, abort)));
  assert.ok(opened.every((response) => response.status === 200));
  const refused = await open(a.headers, new AbortController());
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "10");
  await refused.body?.cancel();
  for (const abort of aborts) abort.abort();
  const last = new AbortController();
  const deadline = Date.now() + 10_000;
  let status = 429;
  while (status === 429 && Date.now() < deadline) status = (await open(a.headers, last)).status;
  last.abort();
  assert.equal(status, 200);
});
