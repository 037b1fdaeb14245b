/**
 * Axonize as a user meets it: `npm start` with an empty data folder, calls from the real OpenTelemetry
 * SDKs by every transport, found through the API and in a real browser, and still there after Ctrl-C
 * and another start.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { keepScreenshot, openBrowser, openPage } from "./support/browser.ts";
import { npmStart, type Started } from "./support/npm-start.ts";
import { ensurePython } from "./support/python.ts";
import { run } from "./support/run.ts";
import { sendWithNode, type NodeProtocol, type SentCall } from "./support/send-spans.ts";

const root = join(import.meta.dirname, "../..");
let folder: string;
let axonize: Started;
let api: ApiClient;
let browser: Browser;
const sentBy = new Map<string, SentCall[]>();

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "axonize-e2e-"));
  axonize = await npmStart(join(folder, ".axonize"));
  api = createApiClient(axonize.api);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await axonize?.interrupt();
  await rm(folder, { recursive: true, force: true });
});

const endpoint = (protocol: string): string =>
  protocol === "grpc" ? axonize.otlpGrpc : axonize.otlpHttp;

for (const protocol of ["grpc", "http/protobuf"] as const) {
  test(`calls sent by the Python SDK over ${protocol} are found as they were`, async () => {
    const service = `python-${protocol.replace("/", "-")}`;
    const script = join(import.meta.dirname, "support/send_spans.py");
    const output = await run(await ensurePython(), [script, protocol, endpoint(protocol), service]);
    // The script prints this shape.
    await holdCalls(service, JSON.parse(output) as SentCall[]);
  });
}

for (const protocol of ["grpc", "http/protobuf", "http/json"] satisfies NodeProtocol[]) {
  test(`calls sent by the Node SDK over ${protocol} are found as they were`, async () => {
    const service = `node-${protocol.replace("/", "-")}`;
    await holdCalls(service, await sendWithNode(protocol, endpoint(protocol), service));
  });
}

test("the examples in examples/ send what the README promises", async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: axonize.otlpHttp };
  const python = await run(await ensurePython(), [join(root, "examples/python/chat.py")], { env });
  const node = await run(process.execPath, [join(root, "examples/node/chat.mjs")], { env });
  for (const output of [python, node]) {
    const traceId = /trace ([0-9a-f]{32})/.exec(output)?.[1];
    assert.ok(traceId, output);
    const trace = await api.trace(traceId);
    assert.equal(trace.model, "stand-in");
    assert.equal(trace.outputTokens, 7);
    assert.equal(trace.inputTokens, 5);
    assert.ok(trace.ttftMs !== null && trace.ttftMs >= 150 && trace.ttftMs < 2000);
  }
});

test("a span is seen by the first GET after its acknowledgement, and sending it again changes nothing", async () => {
  const traceId = "5e".repeat(16);
  const body = JSON.stringify(oneCall(traceId, Date.now() - 2000));
  await post(body);
  const first = await api.traces({ service: "resend" });
  assert.deepEqual(
    first.items.map((item) => item.traceId),
    [traceId],
  );
  const seen = async () => ({
    list: await api.traces({ service: "resend" }),
    trace: await api.trace(traceId),
    facets: await api.facets({ service: "resend" }),
    totals: (await api.overview({ service: "resend" })).totals,
  });
  const before = await seen();
  assert.equal(before.totals.calls, 1);
  for (let again = 0; again < 3; again++) await post(body);
  const now = await seen();
  assert.deepEqual(now.list, before.list);
  assert.deepEqual(now.trace, before.trace);
  assert.deepEqual(now.facets, before.facets);
  assert.equal(now.totals.calls, 1);
  assert.equal(now.totals.inputTokens, 64);
});

test("a person finds the calls in the browser", async () => {
  const { page, problems } = await openPage(browser);
  await page.goto(`${axonize.api}/requests`);
  const row = page.getByText("chat node-grpc-model").or(page.getByText("node-grpc-model")).first();
  await row.waitFor({ timeout: 20_000 });
  await keepScreenshot(page, "e2e-requests");
  const [call] = sentBy.get("node-grpc") ?? [];
  assert.ok(call);
  await page.goto(`${axonize.api}/requests/${call.traceId}`);
  await page.getByText("chat node-grpc-model").first().waitFor({ timeout: 20_000 });
  await keepScreenshot(page, "e2e-request");
  for (const path of ["overview", "start", "fleet", "system", "settings"]) {
    await page.goto(`${axonize.api}/${path}`);
    await page.getByRole("heading").first().waitFor({ timeout: 20_000 });
    await page.waitForLoadState("load");
    await keepScreenshot(page, `e2e-${path}`);
  }
  assert.deepEqual(problems, []);
  await page.close();
});

test("Ctrl-C ends it with 0 within 5 s, and another start has everything", async () => {
  const ids = [...sentBy.values()].flat().map((call) => call.traceId);
  assert.equal(ids.length, 10);
  const before = await Promise.all(ids.map(async (id) => await api.trace(id)));
  const { code, tookMs } = await axonize.interrupt();
  assert.equal(code, 0, axonize.printed());
  assert.ok(tookMs < 6000, `${Math.round(tookMs)} ms from Ctrl-C to the end of npm`);
  axonize = await npmStart(join(folder, ".axonize"));
  api = createApiClient(axonize.api);
  assert.match(axonize.printed(), /kept from before/);
  const again = await Promise.all(ids.map(async (id) => await api.trace(id)));
  assert.deepEqual(again, before);
  await holdCalls(
    "node-after-restart",
    await sendWithNode("grpc", axonize.otlpGrpc, "node-after-restart"),
  );
});

/** What `send_spans.py` and `send-spans.ts` sent, looked up the moment after the acknowledgement. */
async function holdCalls(service: string, sent: SentCall[]): Promise<void> {
  sentBy.set(service, sent);
  const { items } = await api.traces({ service });
  assert.deepEqual(
    items.map((item) => item.traceId).sort(),
    sent.map((call) => call.traceId).sort(),
  );
  for (const call of sent) {
    const row = items.find((item) => item.traceId === call.traceId);
    assert.ok(row);
    assert.equal(row.name, "POST /chat");
    assert.equal(row.status, call.failed ? "error" : "ok");
    assert.equal(row.durationNs, 1_000_000_000);
    assert.equal(row.spanCount, 2);
    assert.equal(row.model, `${service}-model`);
    assert.equal(row.provider, "openai");
    assert.equal(row.environment, "test");
    assert.equal(row.session, `${service}-session`);
    assert.equal(row.user, `${service}-user`);
    assert.equal(row.pod, `${service}-0`);
    const trace = await api.trace(call.traceId, { format: "rows" });
    const chat = trace.spans?.find((span) => span.spanId === call.chatId);
    assert.ok(chat);
    assert.equal(chat.parentSpanId, call.rootId);
    assert.equal(chat.kind, "client");
    assert.equal(chat.durationNs, 900_000_000);
    await (call.failed ? holdFailed(call) : holdAnswered(call, chat));
  }
}

async function holdAnswered(
  call: SentCall,
  chat: {
    ttftMs: number | null;
    ttftBasis: string;
    inputTokens: number | null;
    outputTokens: number | null;
    cachedTokens: number | null;
    finishReason: string;
    status: string;
  },
): Promise<void> {
  assert.equal(chat.status, "ok");
  assert.equal(chat.ttftMs, 250);
  assert.equal(chat.ttftBasis, "client");
  assert.equal(chat.inputTokens, 120);
  assert.equal(chat.outputTokens, 45);
  assert.equal(chat.cachedTokens, 16);
  assert.equal(chat.finishReason, "stop");
  const detail = await api.span(call.traceId, call.chatId);
  assert.deepEqual(
    detail.events.map((event) => [event.name, event.attributes]),
    [["first_token", { index: 0, text: "naïve ✓" }]],
  );
  assert.deepEqual(detail.scope, { name: "axonize.e2e", version: "1.0.0" });
  assert.equal(detail.attributes["gen_ai.request.stream"], true);
  assert.deepEqual(detail.attributes["gen_ai.response.finish_reasons"], ["stop"]);
}

async function holdFailed(call: SentCall): Promise<void> {
  const detail = await api.span(call.traceId, call.chatId);
  assert.equal(detail.status, "error");
  assert.equal(detail.statusMessage, "the model did not answer");
  assert.equal(detail.attributes["error.type"], "TimeoutError");
  const exception = detail.events.find((event) => event.name === "exception");
  assert.equal(exception?.attributes["exception.message"], "the model did not answer");
}

function oneCall(traceId: string, startMs: number): unknown {
  const nanos = (ms: number): string => String(BigInt(ms) * 1_000_000n);
  const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  return {
    resourceSpans: [
      {
        resource: { attributes: [text("service.name", "resend")] },
        scopeSpans: [
          {
            spans: [
              {
                traceId,
                spanId: "5e".repeat(8),
                name: "chat resend-model",
                kind: 3,
                startTimeUnixNano: nanos(startMs),
                endTimeUnixNano: nanos(startMs + 800),
                attributes: [
                  text("gen_ai.operation.name", "chat"),
                  text("gen_ai.request.model", "resend-model"),
                  { key: "gen_ai.usage.input_tokens", value: { intValue: "64" } },
                ],
              },
            ],
          },
        ],
      },
    ],
  };
}

async function post(body: string): Promise<void> {
  const response = await fetch(`${axonize.otlpHttp}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  assert.equal(response.status, 200, await response.text());
}
