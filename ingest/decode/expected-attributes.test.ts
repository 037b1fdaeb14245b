/**
 * What a decoder saw before is only a guess at what comes next: a decoder that has lived long gives
 * the rows that a new one gives. Spans keep to a few orders of keys here, as those of
 * instrumentations do, and break them in every way.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequestContext } from "./decoder.ts";
import { context, decodeBytes, nowNs, requestOf, span } from "./testing/decode.ts";
import { encode, keyValues, type Span } from "./testing/otlp.ts";
import { generator, mutate } from "./testing/random-request.ts";
import { readNative } from "./testing/read-native.ts";
import { createTraceDecoder } from "./trace-decoder.ts";

const keys = [
  "gen_ai.request.model",
  "gen_ai.usage.input_tokens",
  "gen_ai.response.finish_reasons",
  "gen_ai.prompt.0.content",
  "gen_ai.input.messages",
  "gen_ai.latency.time_to_first_token",
  "openinference.span.kind",
  "langfuse.observation.completion_start_time",
  "llm_d.pd_proxy.connector",
  "time_per_token",
  "ttft_ms",
  "gpu.uuid",
  "gpu.index",
  "session.id",
  "error.type",
  "",
  "k",
  "é",
  ...[119, 120, 121, 124, 130].map((length) => "x".repeat(length)),
];

test("a decoder that has seen much gives the rows of a new one", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const upTo = (n: number): number => Math.floor(random() * n);
  const values: readonly (() => unknown)[] = [
    () => upTo(2 ** 7),
    () => upTo(2 ** 15),
    () => -upTo(5),
    () => 2 ** 32 - 2 + upTo(4),
    () => 2 ** 49 - 2 + upTo(4),
    () => 2n ** 62n,
    () => random(),
    () => random() < 0.5,
    () => "s".repeat(upTo(135)),
    () => "žé".repeat(upTo(5)),
    () => ["1.5s", "12", "vllm", "LLM", "2026-01-01T00:00:00.5Z"][upTo(5)],
    () => [["stop"], ["length", "x"], [1, 2], []][upTo(4)],
    () => ({ a: 1, b: ["c"] }),
  ];
  const some = <T>(list: readonly T[], otherwise: T): T => list[upTo(list.length)] ?? otherwise;
  const value = (): unknown => some(values, () => 0)();
  const orders = Array.from({ length: 6 }, () =>
    Array.from({ length: upTo(25) }, () => some(keys, "")),
  );
  const anySpan = (): Span => {
    const order = some(orders, []).filter(() => random() < 0.97);
    if (random() < 0.1) order.push(some(keys, ""));
    return span({
      spanId: (1 + upTo(2 ** 30)).toString(16).padStart(16, "0"),
      name: some(["llm_request", "chat", "decode_loop"], ""),
      startTimeUnixNano: String(nowNs - BigInt(upTo(9e13))),
      attributes: order.flatMap((key) => keyValues({ [key]: value() })),
    });
  };
  const old = createTraceDecoder({ seed: 1 });
  const deadline = performance.now() + 8_000;
  for (let round = 0; round < 400 && performance.now() < deadline; round += 1) {
    const spans = Array.from({ length: 1 + upTo(6) }, anySpan);
    const sound = encode(requestOf(spans, { scope: some(["vllm", "sglang", "x"], "") }));
    const body = random() < 0.3 ? mutate(sound, random) : sound;
    const where: RequestContext = {
      ...context,
      capture: some(["None", "Redacted", "Full"] as const, "None"),
    };
    const fresh = decodeBytes(body, { context: where });
    assert.equal(old.decodeProtobuf(body, where).ok, fresh.result.ok);
    const rows = old.take().filter(({ table }) => table === "spans" || table === "span_payloads");
    assert.deepEqual(
      rows.flatMap(({ bytes }) => readNative(bytes)),
      [fresh.payloads, fresh.spans].flat(),
    );
  }
});

test("the last attribute of a body is read like any other", () => {
  const decoder = createTraceDecoder({ seed: 1 });
  const names = [["a"], ["a", "b"], ["a", "b", "c"]];
  for (const order of [...names, ...names.toReversed(), ...names]) {
    const attributes = order.flatMap((key) => keyValues({ [`some.${key}`]: 5 }));
    // Nothing follows the attributes: no status, no event.
    const body = encode(requestOf([span({ attributes })]));
    assert.ok(decoder.decodeProtobuf(body, context).ok);
    const payloads = decoder.take().find(({ table }) => table === "span_payloads");
    const [row] = readNative(payloads?.bytes ?? new Uint8Array(0));
    assert.deepEqual(
      row?.["attrs_int"],
      order.map((key) => [`some.${key}`, 5n]),
    );
  }
});

test("a field behind the value, and a value behind the value, are not taken for what was expected", () => {
  const decoder = createTraceDecoder({ seed: 1 });
  const attributesOf = (text: string, changes: Readonly<Record<number, number>>): unknown => {
    const attributes = keyValues({ "some.key": text, z: 1 });
    const body = Buffer.from(encode(requestOf([span({ attributes })])));
    // The value's tag, its length, the text's tag, its length.
    const at = body.indexOf(text) - 4;
    for (const [offset, byte] of Object.entries(changes)) body[at + Number(offset)] = byte;
    assert.ok(decoder.decodeProtobuf(body, context).ok);
    const payloads = decoder.take().find(({ table }) => table === "span_payloads");
    const [row] = readNative(payloads?.bytes ?? new Uint8Array(0));
    return [row?.["attrs_str"], row?.["attrs_int"]];
  };
  const z = ["z", 1n];
  for (let round = 0; round < 2; round += 1) {
    const field3 = "abcd\u0018\u0005";
    assert.deepEqual(attributesOf(field3, {}), [[["some.key", field3]], [z]]);
    // Value and text end before field 3 of the attribute, which nobody knows.
    assert.deepEqual(attributesOf(field3, { 1: 6, 3: 4 }), [[["some.key", "abcd"]], [z]]);
    // Only the text ends before it: an int in the same union, and the last one counts.
    assert.deepEqual(attributesOf(field3, { 3: 4 }), [[], [["some.key", 5n], z]]);
    // Two values: the last one counts.
    const second = "abcd\u0012\u0005\n\u0003xyz";
    assert.deepEqual(attributesOf(second, { 1: 6, 3: 4 }), [[["some.key", "xyz"]], [z]]);
  }
});
