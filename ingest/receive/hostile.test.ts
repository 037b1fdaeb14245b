/**
 * Peers that mean no good or know no better: wrong protocols, silence, slow bodies, floods, noise.
 * Each is bounded, and an honest sender beside them notices nothing.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { connect as connectHttp2 } from "node:http2";
import { test } from "node:test";
import { deflateRawSync, gzipSync } from "node:zlib";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { useStores } from "../../test/support/stores.ts";
import * as limits from "../limits.ts";
import { message, someSpans, traceRequest } from "../testing/otlp.ts";
import { eventually, rawExchange, startIngest, type TestIngest } from "../testing/start-ingest.ts";

async function honest(running: TestIngest): Promise<void> {
  const answer = await running.post("/v1/traces", traceRequest(someSpans(3)));
  assert.equal(answer.status, 200, "an honest sender is served");
}

/** The system's clock with certain sleeps shortened, so that a test need not wait them out. */
const hasty = (shorten: ReadonlyMap<number, number>): Clock => ({
  ...systemClock,
  sleep: async (ms, signal) => await systemClock.sleep(shorten.get(ms) ?? ms, signal),
});

test("HTTP/1.1 on the gRPC port gets a sentence, and so does HTTP/2 on the HTTP port", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const http1 = await rawExchange(
    running.grpcPort,
    "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
  );
  assert.match(http1.text, /^HTTP\/1\.1 400 [\s\S]*gRPC/);
  assert.ok(http1.closed);
  const tls = await rawExchange(running.grpcPort, Buffer.from("16030100c8010000c4", "hex"));
  assert.deepEqual(tls, { text: "", closed: true });
  const http2 = await rawExchange(running.httpPort, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  assert.match(http2.text, /^HTTP\/1\.1 400 [\s\S]*HTTP\/1\.1/);
  await honest(running);
});

test("connections that stay silent or send a head without end are closed", async () => {
  await using stores = await useStores();
  const clock = hasty(new Map([[limits.firstBytesMs, 200]]));
  await using running = await startIngest(stores, { clock });
  const silent = await rawExchange(running.grpcPort, "", 3_000);
  assert.ok(silent.closed, "silent on the gRPC port");
  const half = await rawExchange(running.grpcPort, "PRI * HT", 3_000);
  assert.ok(half.closed, "half a preface");
  await honest(running);
});

test("a gRPC body that never ends is cancelled", async () => {
  await using stores = await useStores();
  let skewMs = 0;
  const clock: Clock = {
    ...hasty(new Map([[limits.sweepMs, 50]])),
    monotonic: () => systemClock.monotonic() + skewMs,
  };
  await using running = await startIngest(stores, { clock });
  const session = connectHttp2(`http://127.0.0.1:${running.grpcPort}`);
  const stream = session.request({
    ":method": "POST",
    ":path": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "content-type": "application/grpc",
  });
  const closed = new Promise<number | undefined>((resolve) => {
    stream.on("close", () => resolve(stream.rstCode));
    stream.on("error", () => undefined); // the reset, told by `close` as well
  });
  stream.write(Buffer.from([0, 0, 0, 1, 0, 10]));
  await eventually(async () =>
    Number(/ingest_held_bytes (\d+)/.exec(await running.registry.metrics())?.[1] ?? 0) > 0
      ? true
      : undefined,
  );
  skewMs = limits.bodyMs + 1;
  assert.equal(await closed, 8, "CANCEL");
  session.destroy();
  await honest(running);
});

test("gzip bombs in a row cost neither memory nor an honest sender's patience", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024));
  const bombs = Promise.all(
    Array.from({ length: 12 }, async () => {
      const answer = await running.post("/v1/traces", bomb, { "content-encoding": "gzip" });
      return answer.status;
    }),
  );
  const began = performance.now();
  await honest(running);
  assert.ok(performance.now() - began < 5_000);
  assert.deepEqual(
    await bombs,
    Array.from({ length: 12 }, () => 413),
  );
  const rss = process.memoryUsage().rss / 1024 / 1024;
  assert.ok(rss < 1_200, `resident ${Math.round(rss)} MiB`);
  const garbage = await running.post("/v1/traces", deflateRawSync(Buffer.alloc(10)), {
    "content-encoding": "gzip",
  });
  assert.equal(garbage.status, 400);
});

test("a flood beyond the memory is refused with a hint, and memory stays bounded", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores, { memoryBytes: 16 * 1024 * 1024 });
  const body = traceRequest(someSpans(2_000, { attributes: { text: "x".repeat(1000) } }));
  const answers = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      // Each differs, so that none is a repeat.
      const own = Buffer.concat([body, message(15, Buffer.from(String(index)))]);
      const answer = await running.post("/v1/traces", own);
      return { status: answer.status, retry: answer.headers.get("retry-after") };
    }),
  );
  const refusals = answers.filter(({ status }) => status !== 200);
  assert.ok(
    answers.some(({ status }) => status === 200),
    "some get through",
  );
  assert.ok(refusals.length > 0, "some are refused");
  for (const { status, retry } of refusals) {
    assert.equal(status, 429);
    assert.ok(Number(retry) >= 1);
  }
  await eventually(async () => {
    const answer = await running.post("/v1/traces", traceRequest(someSpans(1)));
    return answer.status === 200 ? true : undefined;
  });
});

test("noise at the door is answered with 200 or 400 and breaks nothing (seeded)", async () => {
  await using stores = await useStores();
  await using running = await startIngest(stores);
  const seed = randomInt(2 ** 31);
  const random = generator(seed);
  const good = traceRequest(someSpans(5, { attributes: { "gen_ai.request.model": "m" } }));
  const paths = ["/v1/traces", "/v1/metrics"];
  const types = ["application/x-protobuf", "application/json"];
  const deadline = performance.now() + 3_000;
  for (let round = 0; performance.now() < deadline && round < 400; round += 1) {
    const body = Buffer.from(good);
    for (let flips = random() % 20; flips > 0; flips -= 1) {
      body[random() % body.length] = random() % 256;
    }
    const cut = body.subarray(0, random() % (body.length + 1));
    const gzip = random() % 4 === 0;
    const answer = await running.post(paths[random() % 2] ?? "", gzip ? gzipSync(cut) : cut, {
      "content-type": types[random() % 2] ?? "",
      ...(gzip ? { "content-encoding": "gzip" } : {}),
    });
    assert.ok([200, 400].includes(answer.status), `seed ${seed}, round ${round}: ${answer.status}`);
  }
  await honest(running);
});

/** A small generator (mulberry32): the same seed, the same noise. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}
