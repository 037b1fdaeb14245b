/**
 * The way to the server: both protocols, gzip, keys, every answer that the OTLP specification knows, and
 * servers that are absent, slow, half-open, or talk nonsense. The program never notices; losses are
 * counted and told; each cause is one log line.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import * as axonize from "@axonize/sdk";
import type { InitOptions } from "@axonize/sdk";
import { createCollector, until } from "./support/collector.ts";
import { partialSuccess, retryStatus } from "./support/otlp.ts";

let lines: string[] = [];
const say = (line: string): void => void lines.push(line);

beforeEach(() => {
  lines = [];
});
afterEach(async () => {
  await axonize.shutdown(0);
});

function start(endpoint: string, options: InitOptions = {}): void {
  axonize.init({ endpoint, log: say, flushIntervalMs: 3_600_000, ...options });
}

function work(count = 1, text = "x"): void {
  for (let i = 0; i < count; i++)
    axonize.span(`s${i % 10}`, { attributes: { text, i } }, () => undefined);
}

// First, because a cause is said once in a process.
test("a server that comes late gets everything; its absence is one line", async () => {
  const port = await freePort();
  start(`127.0.0.1:${port}`, { flushIntervalMs: 20 });
  work(50);
  await until(() => (lines.length > 0 ? true : undefined), "the line");
  assert.equal(await axonize.flush(300), false);
  assert.equal(axonize.stats().pending, 50);
  await using collector = await createCollector("grpc", port);
  assert.equal(await axonize.flush(20_000), true);
  assert.equal(collector.spans().length, 50);
  assert.equal(lines.filter((line) => line.includes("no answer")).length, 1, lines.join("\n"));
});

for (const protocol of ["grpc", "http"] as const) {
  for (const compression of ["none", "gzip"] as const) {
    test(`${protocol}, ${compression}: 5,000 spans arrive whole, once, in batches`, async () => {
      await using collector = await createCollector(protocol);
      start(collector.endpoint, { compression, batchSize: 700, apiKey: "axk_a_b_c" });
      for (let part = 0; part < 10; part++) {
        work(500, "some text that compresses well ".repeat(5));
        await new Promise(setImmediate);
      }
      assert.equal(await axonize.flush(30_000), true);
      const spans = collector.spans();
      assert.equal(spans.length, 5000);
      assert.equal(new Set(spans.map(({ spanId }) => spanId)).size, 5000);
      assert.ok(collector.requests.length >= 8, `${collector.requests.length} requests`);
      for (const request of collector.requests) {
        assert.equal(request.headers["authorization"], "Bearer axk_a_b_c");
        if (compression === "gzip") assert.ok(request.bytes < request.body.length / 3);
      }
      assert.deepEqual(
        { ...axonize.stats(), recorded: 0, lost: 0, truncated: 0 },
        {
          recorded: 0,
          pending: 0,
          sent: 5000,
          dropped: 0,
          lost: 0,
          truncated: 0,
        },
      );
    });
  }

  test(`${protocol}: a full batch goes without a flush, a lone span after the interval`, async () => {
    await using collector = await createCollector(protocol);
    start(collector.endpoint, { batchSize: 100, flushIntervalMs: 3_600_000 });
    work(101);
    await collector.waitForSpans(100);
    start(collector.endpoint, { flushIntervalMs: 50 });
    collector.requests.length = 0;
    work(1);
    await collector.waitForSpans(1);
  });
}

const grpcRetry = new Set([1, 4, 8, 10, 11, 14, 15]);
test("gRPC: the codes of the specification are tried again, the others not", async () => {
  for (let code = 1; code <= 16; code++) {
    await using collector = await createCollector("grpc");
    const before = axonize.stats().lost;
    collector.reply = (_, number) =>
      number === 0 ? { grpcStatus: code, message: "no ✗" } : undefined;
    start(collector.endpoint);
    work(3);
    assert.equal(await axonize.flush(20_000), false);
    const again = await axonize.flush(20_000);
    assert.equal(again, true);
    const arrived = collector.spans().length;
    assert.equal(arrived, grpcRetry.has(code) ? 3 : 0, `code ${code}`);
    assert.equal(axonize.stats().lost - before, grpcRetry.has(code) ? 0 : 3, `code ${code}`);
  }
});

test("HTTP: 408, 429, 502, 503 and 504 are tried again, the others not, and redirects not followed", async () => {
  for (const status of [301, 307, 400, 401, 404, 408, 413, 429, 500, 502, 503, 504]) {
    await using collector = await createCollector("http");
    collector.reply = (_, number) =>
      number === 0
        ? { status, headers: { location: `${collector.endpoint}/elsewhere` } }
        : undefined;
    start(collector.endpoint);
    work(3);
    assert.equal(await axonize.flush(20_000), false);
    assert.equal(await axonize.flush(20_000), true);
    const retried = [408, 429, 502, 503, 504].includes(status);
    assert.equal(collector.spans().length, retried ? 3 : 0, `status ${status}`);
    assert.ok(collector.requests.every(({ path }) => path.startsWith("/v1/")));
  }
});

test("the delay that a server asks for is kept", async () => {
  const details = retryStatus(1200).toString("base64");
  const later = (): string => new Date(Date.now() + 2100).toUTCString();
  for (const [protocol, reply] of [
    ["grpc", () => ({ grpcStatus: 14, headers: { "grpc-status-details-bin": details } })],
    ["http", () => ({ status: 503, headers: { "retry-after": "1" } })],
    ["http", () => ({ status: 429, headers: { "retry-after": later() } })],
  ] as const) {
    await using collector = await createCollector(protocol);
    const times: number[] = [];
    collector.reply = () => {
      times.push(performance.now());
      return times.length === 1 ? reply() : undefined;
    };
    start(collector.endpoint, { flushIntervalMs: 10 });
    work();
    await collector.waitForSpans(1);
    const waited = (times[1] ?? 0) - (times[0] ?? 0);
    assert.ok(waited >= 950, `${protocol}: came again after ${waited} ms`);
  }
});

test("a partial success counts what was rejected, and says why once", async () => {
  for (const protocol of ["grpc", "http"] as const) {
    await using collector = await createCollector(protocol);
    const before = axonize.stats().lost;
    collector.reply = ({ path }) =>
      /trace/i.test(path) ? { body: partialSuccess(2, "too old") } : undefined;
    start(collector.endpoint);
    work(5);
    assert.equal(await axonize.flush(20_000), true);
    assert.equal(axonize.stats().sent, 3);
    assert.equal(axonize.stats().lost - before, 2);
  }
  assert.equal(lines.filter((line) => line.includes("rejected 2 spans: too old")).length, 1);
});

test("losses are told as OpenTelemetry's metrics once something gets through", async () => {
  for (const protocol of ["grpc", "http"] as const) {
    await using collector = await createCollector(protocol);
    collector.reply = (_, number) => (number === 0 ? { grpcStatus: 3, status: 400 } : undefined);
    start(collector.endpoint);
    work(4);
    await axonize.flush(20_000);
    work(6);
    assert.equal(await axonize.flush(20_000), true);
    const metrics = collector.metrics();
    const [, exported] = metrics;
    assert.deepEqual(
      metrics.map(({ name, unit, monotonic, temporality }) => [name, unit, monotonic, temporality]),
      [
        ["otel.sdk.processor.span.processed", "{span}", true, 2],
        ["otel.sdk.exporter.span.exported", "{span}", true, 2],
      ],
    );
    assert.deepEqual(
      exported?.points.map(({ value, attributes }) => [value, attributes["error.type"]]),
      [
        [6, undefined],
        [4, "rejected"],
      ],
    );
    assert.ok(exported?.points.every(({ startNs, timeNs }) => startNs > 0n && startNs < timeNs));
    assert.equal(collector.spans()[0]?.scope.attributes["axonize.sdk.dropped_spans"], 4);
    const asked = collector.requests.length;
    work(1);
    await axonize.flush(20_000);
    assert.equal(collector.requests.length, asked + 1, "no news, no metric");
  }
});

test("a server that takes no metrics gets them once", async () => {
  await using collector = await createCollector("grpc");
  const paths: string[] = [];
  collector.reply = ({ path }, number) => {
    paths.push(path);
    return number === 0 ? { grpcStatus: 3 } : /metric/i.test(path) ? { grpcStatus: 12 } : undefined;
  };
  start(collector.endpoint);
  for (let i = 0; i < 3; i++) {
    work(2);
    await axonize.flush(20_000);
  }
  assert.equal(paths.filter((path) => /metric/i.test(path)).length, 1);
});

test("a server that goes and comes again costs nothing", async () => {
  const first = await createCollector("grpc");
  start(first.endpoint);
  work(5);
  assert.equal(await axonize.flush(20_000), true);
  await first[Symbol.asyncDispose]();
  await using second = await createCollector("grpc", first.port);
  work(7);
  assert.equal(await axonize.flush(20_000), true);
  assert.equal(second.spans().length, 7);
});

test("a connection that dies under a request is tried again", async () => {
  for (const protocol of ["grpc", "http"] as const) {
    await using collector = await createCollector(protocol);
    collector.reply = (_, number) => (number === 1 ? { cut: true } : undefined);
    start(collector.endpoint);
    work(2);
    assert.equal(await axonize.flush(20_000), true);
    work(2);
    const done = (await axonize.flush(20_000)) || (await axonize.flush(20_000));
    assert.equal(done, true);
    assert.equal(collector.spans().length, 4);
  }
});

test("a server that never answers ends a flush at its time, and blocks nobody", async () => {
  for (const protocol of ["grpc", "http"] as const) {
    await using collector = await createCollector(protocol);
    collector.reply = () => ({ hang: true });
    start(collector.endpoint);
    work(3);
    const began = performance.now();
    assert.equal(await axonize.flush(400), false);
    const took = performance.now() - began;
    assert.ok(took < 5000, `${took} ms`);
    collector.reply = () => undefined;
    assert.equal(await axonize.flush(20_000), true);
    assert.equal(collector.spans().length, 3);
  }
});

test("peers that accept and are silent, or talk nonsense, cost one line a cause", async () => {
  const nonsense = [
    Buffer.from("HTTP/1.1 200 OK\r\n\r\nhello"),
    Buffer.alloc(300, 0xff),
    undefined,
  ];
  for (const answer of nonsense) {
    for (const scheme of ["", "http://"]) {
      await using peer = await rawServer(answer);
      start(`${scheme}127.0.0.1:${peer.port}`, { timeoutMs: 300 });
      work(2);
      const polite = scheme === "http://" && answer === nonsense[0];
      assert.equal(await axonize.flush(polite ? 20_000 : 500), polite);
    }
  }
  assert.equal(new Set(lines).size, lines.length);
});

test("an endless answer is cut", async () => {
  await using collector = await createCollector("http");
  collector.reply = () => ({ body: Buffer.alloc(3 << 20) });
  start(collector.endpoint);
  work(2);
  assert.equal(await axonize.flush(20_000), false);
});

test("a full ring drops the newest, counts, and says so when the server is back", async () => {
  const port = await freePort();
  start(`127.0.0.1:${port}`);
  work(40_000, "y".repeat(200));
  const { recorded, dropped } = axonize.stats();
  assert.ok(
    recorded >= 5000 && dropped > 0 && recorded + dropped === 40_000,
    `${recorded} ${dropped}`,
  );
  await using collector = await createCollector("grpc", port);
  assert.equal(await axonize.flush(30_000), true);
  const spans = collector.spans();
  assert.equal(spans.length, recorded);
  assert.ok(
    collector.metrics().some(({ points }) => points.some(({ value }) => value === dropped)),
  );
  assert.ok(spans.some(({ scope }) => scope.attributes["axonize.sdk.dropped_spans"] === dropped));
  work(10);
  assert.equal(await axonize.flush(20_000), true);
});

test("the ring goes round many times without losing or bending a span", async () => {
  await using collector = await createCollector("grpc");
  start(collector.endpoint, { batchSize: 2000 });
  const count = 20_000;
  for (let i = 0; i < count; i++) {
    axonize.span("round", { attributes: { i, text: "z".repeat(i % 997) } }, () => undefined);
    if (i % 500 === 0) {
      await until(() => (axonize.stats().pending < 2000 ? true : undefined), "room");
    }
  }
  assert.equal(await axonize.flush(30_000), true);
  const seen = new Set<number>();
  for (const { attributes } of collector.spans()) {
    const i = Number(attributes["i"]);
    seen.add(i);
    assert.equal(attributes["text"], "z".repeat(i % 997));
  }
  assert.equal(seen.size + axonize.stats().dropped, count);
  assert.equal(axonize.stats().dropped, 0);
});

test("a key file is read again when the server refuses the key", async () => {
  const folder = mkdtempSync(join(tmpdir(), "axonize-key-"));
  const file = join(folder, "key");
  try {
    await using collector = await createCollector("grpc");
    collector.reply = ({ headers }) =>
      headers["authorization"] === "Bearer new" ? undefined : { grpcStatus: 16 };
    writeFileSync(file, "old\n");
    process.env["AXONIZE_API_KEY_FILE"] = file;
    start(collector.endpoint);
    work(2);
    assert.equal(await axonize.flush(20_000), false);
    writeFileSync(file, "new\n");
    assert.equal(await axonize.flush(20_000), true);
    assert.equal(collector.spans().length, 2);
  } finally {
    delete process.env["AXONIZE_API_KEY_FILE"];
    rmSync(folder, { recursive: true });
  }
});

test("init again sends the old session's spans to the old server", async () => {
  await using first = await createCollector("grpc");
  await using second = await createCollector("grpc");
  start(first.endpoint);
  const open = axonize.startSpan("across");
  work(3);
  start(second.endpoint);
  open.end();
  work(4);
  assert.equal(await axonize.flush(20_000), true);
  await first.waitForSpans(3);
  assert.equal(first.spans().length, 3);
  assert.equal(second.spans().length, 4);
});

test("after shutdown spans work and are not recorded", async () => {
  await using collector = await createCollector("grpc");
  start(collector.endpoint);
  work(1);
  assert.equal(await axonize.shutdown(20_000), true);
  work(5);
  assert.equal(axonize.startSpan("s").isRecording, false);
  assert.equal(await axonize.flush(), true);
  assert.equal(collector.spans().length, 1);
});

interface RawServer extends AsyncDisposable {
  port: number;
}

/** Accepts connections and answers every one with these bytes, or with nothing. */
async function rawServer(answer: Uint8Array | undefined): Promise<RawServer> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    if (answer !== undefined) {
      socket.once("data", () => socket.end(answer));
    }
  });
  const sockets = new Set<{ destroy(): void }>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    // A listening TCP server has an address of this kind.
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function freePort(): Promise<number> {
  const holder = await rawServer(undefined);
  await holder[Symbol.asyncDispose]();
  return holder.port;
}
