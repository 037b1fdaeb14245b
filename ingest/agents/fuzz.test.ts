/**
 * Bytes that no agent of ours would send, on the agents' port: after any of them the stream has ended with
 * a status, or still answers, and the next agent is served.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import test from "node:test";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { reportMethod } from "@axonize/core/contract/agent";
import {
  batchFrame,
  devicesFrame,
  encodeRecords,
  helloFrame,
  pingFrame,
} from "../../agent/export/frames.ts";
import { encodeSamples } from "../../agent/export/samples.ts";
import {
  allocationOf,
  gpu,
  gpuFacts,
  gpuSample,
  startExporter,
} from "../../test/support/agent-report.ts";
import { useStores } from "../../test/support/stores.ts";
import { adminKey, eventually, startIngest } from "../testing/start-ingest.ts";

const seed = Date.now() % 2 ** 31;
const waitMs = 60_000;
const epoch = "0".repeat(20);
const hello = helloFrame({
  node: "node-of-the-fuzz",
  cluster: "",
  version: "fuzz",
  epochs: [epoch],
});

const atMs = Date.now() - 60_000;
const samples = encodeSamples(
  [gpuSample(0, atMs, { powerWatts: 300 }), gpuSample(0, atMs + 100, { powerWatts: 301 })],
  () => 1,
);
const records = encodeRecords({
  identity: [allocationOf(gpu(0), "pod", atMs)],
  events: [{ atMs, gpuUuid: gpu(0), kind: "xid", detail: { code: 79 } }],
  status: undefined,
});
/** What a good agent says; the fuzz starts from it. */
const good: readonly Buffer[] = [
  devicesFrame(epoch, [{ ...gpuFacts(0), number: 1 }]),
  batchFrame(epoch, 1, { samples: samples.bytes }),
  batchFrame(epoch, 2, { records }),
  pingFrame({ id: 1, sentUs: 1, offset: { us: -5, errorUs: 3 } }),
];

const framed = (message: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

/** A good frame with some bytes changed, cut off or put in. */
const mutated = fc
  .record({
    frame: fc.constantFrom(...good, hello),
    edits: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        remove: fc.nat(4),
        insert: fc.uint8Array({ maxLength: 6 }),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  })
  .map(({ frame, edits }) =>
    edits.reduce((bytes: Buffer, { at, remove, insert }) => {
      const index = Math.floor(at * bytes.length);
      return Buffer.concat([bytes.subarray(0, index), insert, bytes.subarray(index + remove)]);
    }, frame),
  );
/** A batch that is whole, with content that is not. */
const nonsense = fc
  .record({
    sequence: fc.nat(100),
    content: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 400 }).map((bytes) => deflateRawSync(bytes)),
      fc.json().map((text) => deflateRawSync(Buffer.from(text))),
      fc
        .json()
        .map((text) => deflateRawSync(Buffer.from(`{"identity":[${text}],"events":${text}}`))),
      // Inflates to 64 MiB.
      fc.constant(deflateRawSync(Buffer.alloc(64 * 2 ** 20))),
    ),
    isSamples: fc.boolean(),
  })
  .map(({ sequence, content, isSamples }) => {
    const bytes = Buffer.from(content);
    return batchFrame(epoch, sequence, isSamples ? { samples: bytes } : { records: bytes });
  });
/** Bytes that are no message at all: wrong lengths, compressed, too large. */
const unframed = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])),
  fc.constant(Buffer.from([1, 0, 0, 0, 1, 0])),
);
const said = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: mutated.map(framed) },
    { weight: 3, arbitrary: nonsense.map(framed) },
    { weight: 1, arbitrary: unframed },
  ),
  { minLength: 1, maxLength: 6 },
);

/** Sends hello and the bytes in pieces. Answers the status, or "answers" where a ping came back. */
async function speak(session: ClientHttp2Session, bytes: Buffer, pieces: number): Promise<string> {
  const stream = session.request({
    ":method": "POST",
    ":path": reportMethod,
    "content-type": "application/grpc",
    te: "trailers",
    authorization: `Bearer ${adminKey}`,
  });
  const answer = Promise.withResolvers<string>();
  let received = Buffer.alloc(0);
  const mark = pingFrame({ id: 987_654_321, sentUs: 1, offset: undefined });
  const pong = Buffer.from([0xb1, 0xd1, 0xf9, 0xd6, 0x03]); // 987654321 as a varint
  stream.on("response", (headers) => statusOf(headers, answer.resolve));
  stream.on("trailers", (headers) => statusOf(headers, answer.resolve));
  stream.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.includes(pong)) answer.resolve("answers");
  });
  stream.on("error", () => answer.resolve("reset"));
  stream.on("close", () => answer.resolve("closed"));
  const all = Buffer.concat([framed(hello), bytes, framed(mark)]);
  const size = Math.max(1, Math.ceil(all.length / pieces));
  for (let at = 0; at < all.length; at += size) write(stream, all.subarray(at, at + size));
  const outcome = await Promise.race([
    answer.promise,
    new Promise<string>((resolve) => {
      // A length that promises more bytes than came is waited for; whoever sent it ends the stream.
      stream.setTimeout(500, () => {
        stream.end();
        resolve("waits");
      });
    }),
  ]);
  stream.close();
  return outcome;
}

function statusOf(headers: object, resolve: (status: string) => void): void {
  const status: unknown = Reflect.get(headers, "grpc-status");
  if (typeof status === "string") resolve(`status ${status}`);
}

function write(stream: ClientHttp2Stream, bytes: Buffer): void {
  if (!stream.destroyed && !stream.closed && stream.writable) stream.write(bytes);
}

test(`after any bytes the stream has ended with a status or still answers (seed ${seed})`, async () => {
  await using stores = await useStores();
  await using ingest = await startIngest(stores);
  const session = connect(`http://127.0.0.1:${ingest.grpcPort}`);
  session.on("error", () => undefined); // a broken session fails the next request, which is checked
  await once(session, "connect");
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(said, fc.integer({ min: 1, max: 9 }), async (parts, pieces) => {
      const outcome = await speak(session, Buffer.concat(parts), pieces);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      // 3 invalid, 6 superseded by the stream before, 8 too large or compressed.
      assert.match(outcome, /^(answers|waits|status (3|6|8))$/);
    }),
    { seed, numRuns: 150 },
  );
  assert.ok(
    (outcomes.get("answers") ?? 0) > 0,
    `nothing was ever taken: ${JSON.stringify([...outcomes])}`,
  );
  assert.ok(
    (outcomes.get("status 3") ?? 0) > 0,
    `nothing was refused: ${JSON.stringify([...outcomes])}`,
  );
  session.close();

  await using agent = await startExporter(ingest.grpcPort);
  agent.exporter.devices([gpuFacts(0)]);
  agent.exporter.samples([gpuSample(0, atMs, { powerWatts: 42 })]);
  await agent.exporter.flush();
  await eventually(() => {
    const { connected, pendingBatches } = agent.exporter.state();
    return connected && pendingBatches === 0 ? true : undefined;
  }, waitMs);
});
