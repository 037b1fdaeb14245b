/**
 * Random spans through ring, reader and encoder, decoded with the official definitions; random bytes into
 * everything that reads answers; and the arithmetic that both SDKs share. Seeds are printed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as axonize from "@axonize/sdk";
import type { AttributeValue } from "@axonize/sdk";
import { createCollector } from "./support/collector.ts";
import type { ReadSpan, Value } from "./support/otlp.ts";

// Inside the built package: what has no public face.
const inside = async (name: string): Promise<Record<string, never>> =>
  (await import(new URL(`../dist/esm/${name}.js`, import.meta.url).href)) as Record<string, never>;

const seed = Number(process.env["AXONIZE_TEST_SEED"] ?? Date.now() % 1e9);
console.log(`seed ${seed}`);

/** mulberry32: small, and the same everywhere. */
function createRandom(from: number): () => number {
  let state = from;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
const random = createRandom(seed);
const upTo = (most: number): number => Math.floor(random() * most);
const pick = <T>(items: readonly T[]): T => items[upTo(items.length)] as T;

const letters = ["a", "Z", "0", " ", "\n", "\u0000", "é", "ß", "✓", "中", "😀", "\u2028", "�"];
const text = (most: number): string =>
  Array.from({ length: upTo(most) }, () => pick(letters)).join("");

function value(depth: number): AttributeValue {
  switch (upTo(depth > 0 ? 9 : 6)) {
    case 0:
      return text(depth === 3 ? pick([5, 40, 4000]) : 60);
    case 1:
      return pick([
        0,
        1,
        -1,
        127,
        128,
        2 ** 31,
        -(2 ** 31),
        2 ** 53 - 1,
        -(2 ** 53 - 1),
        upTo(1e9),
      ]);
    case 2:
      return pick([0.5, -1e300, 5e-324, Infinity, -0.1, random() * 1e6]);
    case 3:
      return random() < 0.5;
    case 4:
      return BigInt(upTo(2 ** 31)) * BigInt(upTo(2 ** 31)) - 2n ** 60n;
    case 5:
      return new Uint8Array(Array.from({ length: upTo(60) }, () => upTo(256)));
    case 6:
    case 7:
      return Array.from({ length: upTo(6) }, () => value(depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: upTo(5) }, () => [`k${upTo(100)}`, value(depth - 1)]),
      );
  }
}

/** A value as the decoder shows it. */
function shown(given: unknown): Value {
  if (typeof given === "bigint") {
    return Number.isSafeInteger(Number(given)) ? Number(given) : given;
  }
  if (given instanceof Uint8Array) return Buffer.from(given);
  if (Array.isArray(given)) return given.map(shown);
  if (typeof given === "object" && given !== null) {
    return Object.fromEntries(Object.entries(given).map(([key, item]) => [key, shown(item)]));
  }
  return given as Value;
}

test("600 random spans arrive as they were made", async () => {
  await using collector = await createCollector("http");
  axonize.init({ endpoint: collector.endpoint, batchSize: 50, flushIntervalMs: 3_600_000 });
  const made: { name: string; attributes: Record<string, Value>; events: string[] }[] = [];
  for (let i = 0; i < 600; i++) {
    const name = `${i} ${text(pick([10, 200]))}`;
    const attributes: Record<string, Value> = {};
    const events: string[] = [];
    axonize.span(name, (span) => {
      for (let n = upTo(20); n > 0; n--) {
        const key = pick(["gen_ai.a", "b", `made up ${upTo(1000)}`, "ключ"]);
        const given = value(3);
        span.setAttribute(key, given);
        attributes[key] = shown(given);
      }
      for (let n = upTo(4); n > 0; n--) {
        span.addEvent(`e${n}`, { n });
        events.push(`e${n}`);
      }
    });
    made.push({ name, attributes, events });
    if (i % 100 === 0) await new Promise(setImmediate);
  }
  assert.equal(await axonize.flush(30_000), true);
  await axonize.shutdown();
  const read = new Map<string, ReadSpan>(collector.spans().map((span) => [span.name, span]));
  assert.equal(read.size, made.length, `seed ${seed}`);
  for (const { name, attributes, events } of made) {
    const span = read.get(name);
    assert.ok(span, `seed ${seed}: ${JSON.stringify(name)}`);
    assert.deepEqual(span.attributes, attributes, `seed ${seed}: ${name}`);
    assert.deepEqual(
      span.events.map((event) => event.name),
      events,
      `seed ${seed}`,
    );
  }
});

test("lone surrogates become the replacement character and bend nothing else", async () => {
  await using collector = await createCollector("http");
  axonize.init({ endpoint: collector.endpoint, flushIntervalMs: 3_600_000 });
  axonize.span("a\ud800b", { attributes: { "k\udc00": "v\ud83d", next: "fine" } }, () => undefined);
  assert.equal(await axonize.flush(20_000), true);
  await axonize.shutdown();
  const [span] = collector.spans();
  assert.equal(span?.name, "a\ufffdb");
  assert.deepEqual(span?.attributes, { "k\ufffd": "v\ufffd", next: "fine" });
});

test("random bytes as answers never throw and never loop", async () => {
  const outcome = (await inside("outcome")) as unknown as {
    readFields(data: Uint8Array): unknown[];
    readPartialSuccess(data: Uint8Array): { rejected: number };
    readRetryDelay(data: Uint8Array): number | undefined;
  };
  for (let i = 0; i < 20_000; i++) {
    const data = new Uint8Array(Array.from({ length: upTo(40) }, () => upTo(256)));
    assert.ok(outcome.readFields(data).length <= data.length, `seed ${seed}`);
    assert.ok(outcome.readPartialSuccess(data).rejected >= 0);
    const delay = outcome.readRetryDelay(data);
    assert.ok(delay === undefined || (delay >= 0 && delay <= 300_000));
  }
});

test("epoch nanoseconds are exact to the nanosecond, whatever the offset", async () => {
  const { createEpochClock } = (await inside("clock")) as unknown as {
    createEpochClock: (
      offset: number,
      now: () => number,
      epoch: () => number,
    ) => { nanos(ms: number): [number, number]; refresh(): void };
  };
  for (let i = 0; i < 20_000; i++) {
    const whole = 1_700_000_000_000 + upTo(2 ** 31) * 100;
    const fraction = upTo(1024) / 1024;
    const monotonic = upTo(2 ** 31) / 256;
    const clock = createEpochClock(
      whole + fraction,
      () => 0,
      () => 0,
    );
    const [high, low] = clock.nanos(monotonic);
    const got = (BigInt(high) << 32n) | BigInt(low);
    const wanted = BigInt(whole) * 1_000_000n + BigInt(Math.round((monotonic + fraction) * 1e6));
    assert.equal(got, wanted, `seed ${seed}`);
  }
  let epoch = 1_000_000;
  const clock = createEpochClock(
    1_000_000,
    () => 0,
    () => epoch,
  );
  epoch += 4;
  clock.refresh();
  assert.deepEqual(clock.nanos(0)[1], Number((BigInt(1_000_000) * 1_000_000n) & 0xffffffffn));
  epoch += 3_600_000;
  clock.refresh();
  const [high, low] = clock.nanos(0);
  assert.equal((BigInt(high) << 32n) | BigInt(low), BigInt(epoch) * 1_000_000n);
});

test("buckets of gaps are those of the Python SDK, and off by an eighth at most", async () => {
  const llm = (await inside("llm")) as unknown as {
    BUCKETS: number;
    bucketOf(ms: number): number;
    bucketMiddleMs(index: number): number;
  };
  const python = (gapNs: bigint): number => {
    const us = gapNs >> 10n;
    if (us < 4n) return Number(us);
    const octave = us.toString(2).length - 1;
    const index = 4 * (octave - 1) + Number((us >> BigInt(octave - 2)) & 3n);
    return Math.min(index, llm.BUCKETS - 1);
  };
  for (let i = 0; i < 20_000; i++) {
    const gapNs = Math.floor(2 ** (random() * 36));
    const index = llm.bucketOf(gapNs / 1e6);
    // Half a nanosecond of rounding may move a gap over an edge.
    assert.ok(
      [gapNs - 1, gapNs, gapNs + 1].some((ns) => python(BigInt(ns)) === index),
      `${gapNs}`,
    );
    if (gapNs < 8192 || index === llm.BUCKETS - 1) continue;
    const middleNs = llm.bucketMiddleMs(index) * 1e6;
    assert.ok(Math.abs(middleNs - gapNs) <= gapNs * 0.126, `${gapNs} in ${middleNs}`);
  }
});

test("a timeline keeps every token in at most 64 bins, however long the stream", async () => {
  const { Timeline } = (await inside("timeline")) as unknown as {
    Timeline: new () => { binMs: number; add(ms: number, n: number): void; trimmed(): number[] };
  };
  for (let round = 0; round < 200; round++) {
    const timeline = new Timeline();
    const moments: [number, number][] = [[0, 1]];
    let at = 0;
    for (let n = upTo(500); n > 0; n--) {
      at += random() < 0.02 ? random() * 5000 : random() * 30;
      moments.push([at, 1 + upTo(3)]);
    }
    for (const [ms, n] of moments) timeline.add(ms, n);
    const bins = timeline.trimmed();
    assert.ok(bins.length <= 64);
    assert.ok(timeline.binMs === 2 ** 20 / 1e6 || bins.length > 32, `seed ${seed}`);
    const wanted = bins.map(() => 0);
    for (const [ms, n] of moments) {
      const bin = Math.floor(ms / timeline.binMs);
      wanted[bin] = (wanted[bin] ?? 0) + n;
    }
    assert.deepEqual(bins, wanted, `seed ${seed}`);
  }
});
