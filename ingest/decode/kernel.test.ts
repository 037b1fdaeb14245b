/**
 * The compiled kernel against the general way, which is written for any input and for reading: the
 * same bytes, counts, hours and questions, whatever comes. Decoders of both kinds live long, so that
 * everything the kernel remembers is put to the test.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestContext } from "./decoder.ts";
import type { Attributor } from "./devices.ts";
import { kernelBase64 } from "./kernel.generated.ts";
import { Lane, type LaneCounts } from "./lane.ts";
import { Strings } from "./strings.ts";
import { context, requestOf, span } from "./testing/decode.ts";
import { encode, keyValues } from "./testing/otlp.ts";
import { generator, mutate, randomRequest } from "./testing/random-request.ts";
import { usualRequests } from "./testing/usual-request.ts";
import { createTraceDecoder } from "./trace-decoder.ts";

/** Answers by the question alone, for a while, and notes which spans have no device. */
function attributorOf(missed: number[]): Attributor {
  return {
    version: 1,
    attribute: ({ sdkUuids, ordinals, startMs }) => ({
      devices: sdkUuids.slice(0, 1),
      level: sdkUuids.length === 0 ? "unattributed" : "exact.sdk",
      candidates: ["GPU-c"],
      reason: ordinals.length === 0 ? "" : "because",
      evidence: [`${ordinals.length} ordinals`],
      fromMs: startMs - 5e4,
      toMs: startMs + 5e6,
    }),
    missing: ({ startMs }) => void missed.push(startMs),
  };
}

/** Spans that the kernel wrote from now on. */
function countUsual(): () => number {
  let count = 0;
  const run: (this: Lane, ...given: Parameters<Lane["run"]>) => LaneCounts = Reflect.get(
    Lane.prototype,
    "run",
  );
  Lane.prototype.run = function counted(...given) {
    const counts = run.apply(this, given);
    count += counts.accepted;
    return counts;
  };
  return () => count;
}

test("the kernel writes the bytes that the general way writes", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  const usual = usualRequests(random);
  const fast = createTraceDecoder({ seed: 1 });
  const general = createTraceDecoder({ seed: 1, kernel: false });
  const usualSpans = countUsual();
  let spans = 0;
  let where: RequestContext = context;
  const missedBy = { fast: [] as number[], general: [] as number[] };
  const attributors = {
    fast: attributorOf(missedBy.fast),
    general: attributorOf(missedBy.general),
  };
  let isAttributed = false;
  // At least so many rounds, however slow the machine is: the first are spent on learning.
  const deadline = performance.now() + 6_000;
  for (let round = 0; round < 250 || (round < 2_500 && performance.now() < deadline); round += 1) {
    if (round % 40 === 0) {
      isAttributed = upTo(2) === 0;
      where = {
        ...context,
        tenantNum: 1 + upTo(2),
        capture: (["None", "Full", "Redacted"] as const)[upTo(3)] ?? "None",
        receivedMs: context.receivedMs + 60_000 + upTo(1e6),
        sampling: upTo(3) === 0 ? { wanted: 3e9, allowed: 2e9 } : undefined,
        peer: upTo(4) === 0 ? { node: "n", pid: 7, podUid: "", containerId: "" } : undefined,
      };
    }
    const sound = encode(upTo(12) === 0 ? randomRequest(random) : usual.next());
    const body = upTo(6) === 0 ? mutate(sound, random) : sound;
    const results = (["fast", "general"] as const).map((way) => {
      missedBy[way].length = 0;
      const decoder = way === "fast" ? fast : general;
      const attributor = isAttributed ? attributors[way] : undefined;
      const result = decoder.decodeProtobuf(body, { ...where, attributor });
      return { result, missed: [...missedBy[way]], bytes: decoder.openBytes() };
    });
    assert.deepEqual(results[0], results[1]);
    if (results[0]?.result.ok === true) spans += results[0].result.accepted;
    if (upTo(4) !== 0) continue;
    const blocks = fast.take();
    const expected = general.take();
    assert.deepEqual(
      blocks.map(({ table, rows }) => [table, rows]),
      expected.map(({ table, rows }) => [table, rows]),
    );
    blocks.forEach(({ table, bytes }, i) => {
      const other = expected[i]?.bytes ?? new Uint8Array(0);
      assert.equal(Buffer.compare(bytes, other), 0, `${table} in round ${round}`);
    });
    if (upTo(2) === 0) for (const block of [...blocks, ...expected]) block.committed();
  }
  t.diagnostic(`${usualSpans()} of ${spans} spans by the kernel`);
  assert.ok(usualSpans() > 100, "the kernel must have been put to the test");
});

test("a string that is no UTF-8 finds its repaired twin, however many strings there are", () => {
  const strings = new Strings(1);
  for (let i = 0; i < 3000; i += 1) {
    const bytes = Buffer.from([...Buffer.from(String(i)), 0xff]);
    const id = strings.intern(bytes, new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length);
    assert.equal(strings.text(strings.clean[id] ?? id), `${i}\ufffd`);
  }
});

test("a decoder begins anew after a huge body, and goes on as if nothing had been", () => {
  const decoder = createTraceDecoder({ seed: 1 });
  const body = encode(requestOf([span({ attributes: keyValues({ a: 1 }) }), span()]));
  const rows = (): readonly unknown[] => {
    assert.ok(decoder.decodeProtobuf(body, context).ok);
    return decoder.take().map(({ table, rows, bytes }) => [table, rows, Buffer.from(bytes)]);
  };
  const before = rows();
  // Field 9 of the request, which nobody knows: 100 MB.
  const unknown = Buffer.concat([Uint8Array.of(0x4a, 0x80, 0xc2, 0xd7, 0x2f), Buffer.alloc(1e8)]);
  assert.ok(decoder.decodeProtobuf(unknown, context).ok);
  assert.deepEqual(decoder.take(), []);
  assert.deepEqual(rows(), before);
});

test("the kernel is compiled in less time than a person notices", () => {
  const began = process.cpuUsage();
  assert.ok(WebAssembly.validate(Buffer.from(kernelBase64, "base64")));
  createTraceDecoder();
  const { user, system } = process.cpuUsage(began);
  assert.ok(user + system < 200_000, `${user + system} µs of processor time`);
});
