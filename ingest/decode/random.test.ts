/**
 * Decoding against protobufjs on random messages, JSON against protobuf, and mutated bytes against
 * the promise that a refused request leaves no trace. Seeds are printed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NativeBlock } from "./decoder.ts";
import { context, decodeBytes, requestOf, span } from "./testing/decode.ts";
import { encode, keyValues, RequestType, type AnyValue, type Request } from "./testing/otlp.ts";
import { generator, mutate, randomRequest } from "./testing/random-request.ts";
import { readNative } from "./testing/read-native.ts";
import { createTraceDecoder } from "./trace-decoder.ts";

const rowsOf = (cell: unknown): [string, unknown][] =>
  // A map's cell is a list of pairs (`read-native.ts`).
  cell as [string, unknown][];

test("random messages give the ids, times, names and attributes that protobufjs reads", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  for (let round = 0; round < 60; round += 1) {
    const body = encode(randomRequest(random));
    const { result, spans, payloads } = decodeBytes(body);
    assert.ok(result.ok);
    const theirs = expectedRows(body);
    assert.equal(result.accepted, theirs.length);
    const key = (row: { span_id?: unknown }): string => String(row.span_id);
    const ours = spans.map((row, i) => ({ ...row, ...payloads[i] })).sort(by(key));
    theirs.sort(by(key));
    theirs.forEach((row, i) => {
      const mine = ours[i] ?? {};
      assert.equal(mine["trace_id"], row.trace_id);
      assert.equal(mine["span_id"], row.span_id);
      assert.equal(mine["name"], row.name);
      assert.equal(mine["start"], row.start);
      assert.deepEqual(attributesOf(mine), row.attributes);
    });
  }
});

test("JSON and protobuf of the same message give the same rows", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  for (let round = 0; round < 40; round += 1) {
    const request = randomRequest(random);
    const json = Buffer.from(JSON.stringify(request));
    assert.deepEqual(decodeBytes(json, { json: true }).tables, decodeBytes(encode(request)).tables);
  }
});

test("mutated JSON never throws, and what is no JSON is refused", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const decoder = createTraceDecoder({ seed: 5 });
  const marks = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-",
    ".",
    "e",
    "n",
    " ",
    "\u0001",
    "é",
  ];
  let refused = 0;
  for (let round = 0; round < 1_500; round += 1) {
    const sound = JSON.stringify(randomRequest(random), undefined, round % 3);
    const at = Math.floor(random() * sound.length);
    const mark = marks[Math.floor(random() * marks.length)] ?? "";
    const text = sound.slice(0, at) + mark + sound.slice(at + Math.floor(random() * 3));
    const { ok } = decoder.decodeJson(Buffer.from(text), context);
    decoder.take();
    if (isJson(text)) continue;
    refused += 1;
    assert.equal(ok, false, text);
  }
  assert.ok(refused > 50, `only ${refused} were refused`);
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false; // the engine's own parser says so
  }
}

test("mutated and truncated messages never throw, and a refused one leaves no trace", (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  t.diagnostic(`seed ${seed}`);
  const random = generator(seed);
  const decoder = createTraceDecoder({ seed: 5 });
  const sound = encode(
    requestOf([span({ attributes: keyValues({ a: "b", "gen_ai.request.model": "m" }) })]),
  );
  const deadline = performance.now() + 3_000;
  let refused = 0;
  for (let round = 0; round < 3_000 && performance.now() < deadline; round += 1) {
    const body = mutate(encode(randomRequest(random)), random);
    assert.ok(decoder.decodeProtobuf(sound, context).ok);
    const before = { rows: decoder.openRows(), bytes: decoder.openBytes() };
    const result = decoder.decodeProtobuf(body, context);
    if (result.ok) {
      for (const block of decoder.take()) readNative(block.bytes);
      continue;
    }
    refused += 1;
    assert.deepEqual({ rows: decoder.openRows(), bytes: decoder.openBytes() }, before);
    assert.deepEqual(contents(decoder.take()), soundContents(sound));
  }
  assert.ok(refused > 50, `only ${refused} were refused`);
});

/** What stays of a batch beside ids of process: rows by table. */
function contents(blocks: readonly NativeBlock[]): Record<string, unknown> {
  return Object.fromEntries(blocks.map(({ table, bytes }) => [table, readNative(bytes)]));
}
let soundRows: Record<string, unknown> | undefined;
function soundContents(sound: Uint8Array): Record<string, unknown> {
  if (soundRows !== undefined) return soundRows;
  const decoder = createTraceDecoder({ seed: 5 });
  decoder.decodeProtobuf(sound, context);
  soundRows = contents(decoder.take());
  return soundRows;
}

function by<T>(key: (row: T) => string): (a: T, b: T) => number {
  return (a, b) => (key(a) < key(b) ? -1 : 1);
}

function attributesOf(row: Record<string, unknown>): Record<string, unknown> {
  const all = ["attrs_str", "attrs_int", "attrs_num", "attrs_json"].flatMap((name) =>
    rowsOf(row[name]),
  );
  const bools = rowsOf(row["attrs_bool"]).map(([key, bit]): [string, unknown] => [key, bit === 1]);
  return Object.fromEntries([...all, ...bools].map(([key, value]) => [key, plainValue(value)]));
}
function plainValue(value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

interface ExpectedRow {
  trace_id: string;
  span_id: string;
  name: string;
  start: bigint;
  attributes: Record<string, unknown>;
}

/** What protobufjs makes of the same bytes, in our shape. */
function expectedRows(body: Uint8Array): ExpectedRow[] {
  const decoded = RequestType.toObject(RequestType.decode(body), {
    longs: String,
    bytes: String,
    defaults: false,
  });
  // toObject answers what the message type describes.
  const { resourceSpans = [] } = decoded as Request;
  const hex = (text: string | undefined): string =>
    Buffer.from(text ?? "", "base64").toString("hex");
  return resourceSpans
    .flatMap(({ scopeSpans = [] }) => scopeSpans.flatMap(({ spans = [] }) => spans))
    .map((each) => ({
      trace_id: hex(each.traceId),
      span_id: hex(each.spanId),
      name: each.name ?? "",
      start: BigInt(each.startTimeUnixNano ?? 0),
      attributes: Object.fromEntries(
        (each.attributes ?? []).map(({ key, value }) => [key, cellOf(value)]),
      ),
    }));
}

function cellOf(value: AnyValue | undefined): unknown {
  if (value?.stringValue !== undefined) return value.stringValue;
  if (value?.boolValue !== undefined) return value.boolValue;
  if (value?.intValue !== undefined) return String(value.intValue);
  if (value?.doubleValue !== undefined) return value.doubleValue;
  return JSON.stringify(jsonOf(value));
}
function jsonOf(value: AnyValue | undefined): unknown {
  if (value?.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(jsonOf);
  if (value?.kvlistValue !== undefined) {
    return Object.fromEntries(
      (value.kvlistValue.values ?? []).map((each) => [each.key, jsonOf(each.value)]),
    );
  }
  if (value?.intValue !== undefined) return Number(value.intValue);
  return value?.stringValue ?? value?.boolValue ?? value?.doubleValue ?? value?.bytesValue ?? null;
}
