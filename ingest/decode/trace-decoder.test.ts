/**
 * What decoding keeps, marks, counts and refuses, case by case. Random messages are in
 * `random.test.ts`, the engine's view of the blocks in `native.test.ts`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NativeBlock } from "./decoder.ts";
import * as limits from "./limits.ts";
import { context, decode, decodeBytes, nowNs, requestOf, span } from "./testing/decode.ts";
import { encode, keyValues, type Span } from "./testing/otlp.ts";
import { readNative } from "./testing/read-native.ts";
import { createTraceDecoder } from "./trace-decoder.ts";

const { marks } = limits;
const rowsOf = (cell: unknown): [string, unknown][] =>
  // A map's cell is a list of pairs (`read-native.ts`).
  cell as [string, unknown][];
const mapOf = (cell: unknown): Record<string, unknown> => Object.fromEntries(rowsOf(cell));

test("JSON takes ids in any case, numbers as text, text as numbers, names of enums, unknown fields", () => {
  const body = JSON.stringify({
    resourceSpans: [
      {
        scopeSpans: [
          {
            spans: [
              {
                traceId: "ABCDEF0102030405060708090A0B0C0D",
                spanId: "A1a2A3a4A5a6A7a8",
                name: "n",
                kind: "SPAN_KIND_CLIENT",
                startTimeUnixNano: Number(nowNs),
                endTimeUnixNano: String(nowNs + 5n),
                status: { code: "STATUS_CODE_ERROR" },
                constructor: { unknown: [1] },
                attributes: [
                  { key: "i", value: { intValue: 9007199254740992 } },
                  { key: "j", value: { intValue: "-7" } },
                  { key: "s", value: { stringValue: 5 } },
                  { key: "d", value: { doubleValue: "1.5" } },
                  { key: "b", value: { bytesValue: "AQI=" } },
                ],
              },
            ],
          },
        ],
      },
    ],
  }).replace("9007199254740992", "9007199254740993");
  const { result, spans, payloads } = decodeBytes(Buffer.from(body), { json: true });
  assert.ok(result.ok);
  assert.equal(spans[0]?.["trace_id"], "abcdef0102030405060708090a0b0c0d");
  assert.equal(spans[0]["kind"], 3);
  assert.equal(spans[0]["status"], 2);
  assert.equal(spans[0]["start"], nowNs);
  assert.deepEqual(rowsOf(payloads[0]?.["attrs_int"]), [
    ["i", 9007199254740993n],
    ["j", -7n],
  ]);
  assert.deepEqual(mapOf(payloads[0]?.["attrs_str"]), { s: "5" });
  assert.deepEqual(mapOf(payloads[0]?.["attrs_num"]), { d: 1.5 });
  assert.deepEqual(mapOf(payloads[0]?.["attrs_json"]), { b: '"AQI="' });
});

test("what is no JSON or has the wrong shape is malformed, and deep nesting is no crash", () => {
  for (const text of [
    "",
    "[]",
    "nul",
    '{"resourceSpans":[5]}',
    '{"resourceSpans":{"scopeSpans":"x"}}',
  ]) {
    assert.equal(decodeBytes(Buffer.from(text), { json: true }).result.ok, false, text);
  }
  let value = '{"stringValue":"x"}';
  for (let i = 0; i < 5_000; i += 1) value = `{"arrayValue":{"values":[${value}]}}`;
  const deep = JSON.stringify(requestOf([span({ attributes: [{ key: "k" }] })])).replace(
    '{"key":"k"}',
    `{"key":"k","value":${value}}`,
  );
  const { result, spans } = decodeBytes(Buffer.from(deep), { json: true });
  assert.ok(result.ok);
  assert.notEqual(Number(spans[0]?.["marks"]) & marks.truncated, 0);
});

test("JSON is read as JSON is written: escapes, white space, unknown members of any shape", () => {
  const sent = span({ name: 'a "b" \\ \n \u{1f40e} é', attributes: keyValues({ k: "\t/\u0001" }) });
  const plain = JSON.stringify(requestOf([sent]));
  const odd = JSON.stringify(requestOf([sent]), undefined, "\t \r\n")
    .replace('"name"', '"unknown": [{"a":[[],{},"]\\"}",-1.5e+3,null,true]}], "na\\u006de"')
    .replace("é", "\\u00e9")
    .replace("\u{1f40e}", "\\ud83d\\udc0e")
    .replace("startTimeUnixNano", "start_time_unix_nano");
  assert.notEqual(odd, plain);
  const rows = (text: string): unknown => {
    const { result, tables } = decodeBytes(Buffer.from(text), { json: true });
    assert.ok(result.ok);
    return tables;
  };
  assert.deepEqual(rows(`\ufeff ${odd} `), rows(plain));
});

test("what has no spans costs next to nothing, however much of it there is", () => {
  const groups = 500_000;
  const body = Buffer.alloc(groups * 4, Uint8Array.of(0x0a, 0x02, 0x12, 0x00));
  const json = Buffer.from(`{"resourceSpans":[${"{},".repeat(groups)}{}]}`);
  const began = process.cpuUsage();
  assert.ok(decodeBytes(body).result.ok);
  assert.ok(decodeBytes(json, { json: true }).result.ok);
  const { user } = process.cpuUsage(began);
  assert.ok(user < 3e6, `${user} µs of processor time`);
});

test("a refused request leaves the columns as they were, dictionaries included", () => {
  const decoder = createTraceDecoder({ seed: 6 });
  const first = encode(requestOf([span({ attributes: keyValues({ a: 1 }) })]));
  const second = encode(
    requestOf([span({ name: "other", attributes: keyValues({ z: "y", model: "new" }) })], {
      resource: { "service.name": "other" },
    }),
  );
  const broken = second.slice(0, second.length);
  // The last byte of the last field now announces more than there is.
  const torn = Buffer.concat([broken, Uint8Array.of(0x0a, 0x7f)]);
  decoder.decodeProtobuf(first, context);
  assert.equal(decoder.decodeProtobuf(torn, context).ok, false);
  const after = decoder
    .take()
    .map(({ table, bytes }) => [table, Buffer.from(bytes).toString("hex")]);
  const clean = createTraceDecoder({ seed: 6 });
  clean.decodeProtobuf(first, context);
  assert.deepEqual(
    after,
    clean.take().map(({ table, bytes }) => [table, Buffer.from(bytes).toString("hex")]),
  );
});

test("resources and facets are sent again until their block is committed", () => {
  const decoder = createTraceDecoder({ seed: 7 });
  const body = encode(requestOf([span()]));
  const tables = (): NativeBlock[] => {
    decoder.decodeProtobuf(body, context);
    return decoder.take();
  };
  const names = (blocks: readonly NativeBlock[]): string[] =>
    blocks.map(({ table }) => table).sort();
  const all = ["facets", "resources", "span_payloads", "spans", "trace_index"];
  assert.deepEqual(names(tables()), all);
  const again = tables();
  assert.deepEqual(names(again), all, "the first batch may have failed");
  for (const block of again) block.committed();
  assert.deepEqual(names(tables()), ["span_payloads", "spans", "trace_index"]);
});

test("ids and times decide whether a span is kept, and every reason is counted", () => {
  const day = 86_400_000_000_000n;
  const at = (start: bigint): Partial<Span> => ({
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(start + 1n),
  });
  const { result, spans } = decode(
    requestOf([
      span(),
      span({ traceId: "" }),
      span({ traceId: "00000000000000000000000000000000" }),
      span({ traceId: "0102" }),
      span({ spanId: "0000000000000000" }),
      span({ spanId: "010203040506070809" }),
      span(at(1n)),
      span(at(4_102_444_800_000_000_000n)),
      span({ spanId: "b1a2a3a4a5a6a7a8", ...at(nowNs - 29n * day) }),
      span(at(nowNs - 31n * day)),
    ]),
  );
  assert.ok(result.ok);
  assert.equal(result.accepted, 2);
  assert.deepEqual(Object.fromEntries(result.reasons), {
    invalid_trace_id: 3,
    invalid_span_id: 2,
    time_out_of_range: 3,
  });
  assert.equal(result.hoursTouched.size, 2);
  assert.equal(spans.length, 2);
});

test("a span at midnight belongs to the day its nanosecond says", () => {
  const midnight = nowNs;
  const { tables } = decode(
    requestOf([
      span({ startTimeUnixNano: String(midnight - 1n), endTimeUnixNano: String(midnight) }),
      span({
        spanId: "b1a2a3a4a5a6a7a8",
        startTimeUnixNano: String(midnight),
        endTimeUnixNano: String(midnight),
      }),
    ]),
  );
  const days = tables["trace_index"]?.map(({ day, min_start }) => [day, min_start]);
  assert.deepEqual(days, [
    [20453, midnight - 1n],
    [20454, midnight],
  ]);
});

test("more days than a request may touch are refused with a reason", () => {
  const day = 86_400_000_000_000n;
  const spans = Array.from({ length: 70 }, (_, i) =>
    span({ startTimeUnixNano: String(nowNs - BigInt(i) * day), endTimeUnixNano: String(nowNs) }),
  );
  const { result } = decode(requestOf(spans), { retentionClass: 365 });
  assert.ok(result.ok);
  assert.equal(result.reasons.get("too_many_days"), 70 - limits.daysPerRequest);
});

test("spans beyond the limit of a request are rejected with a reason, and cost next to nothing", () => {
  const spans = (count: number): Buffer => message(0x12, Buffer.alloc(count * 2, "\u0012\u0000"));
  const millions = 8 * 2 ** 20;
  const body = message(0x0a, spans(millions));
  const began = process.cpuUsage();
  const { result } = decodeBytes(body);
  const { user, system } = process.cpuUsage(began);
  assert.ok(result.ok);
  assert.equal(result.rejected, millions);
  assert.deepEqual(Object.fromEntries(result.reasons), {
    invalid_trace_id: limits.spansPerRequest,
    too_many_spans: millions - limits.spansPerRequest,
  });
  assert.ok(user + system < 2e6, `${user + system} µs of processor time`);
});

test("of usual spans the limit keeps exactly as many as it says", () => {
  const spans = Array.from({ length: 512 }, (_, i) =>
    span({ spanId: (i + 1).toString(16).padStart(16, "0") }),
  );
  const group = encode(requestOf(spans));
  const copies = limits.spansPerRequest / 512 + 1;
  const body = Buffer.concat(Array.from({ length: copies }, () => group));
  const decoder = createTraceDecoder({ seed: 1 });
  const result = decoder.decodeProtobuf(body, context);
  assert.ok(result.ok);
  assert.equal(result.accepted, limits.spansPerRequest);
  assert.equal(decoder.openRows(), limits.spansPerRequest);
  assert.deepEqual(Object.fromEntries(result.reasons), { too_many_spans: 512 });
});

test("groups without a span are no request when there are too many", () => {
  for (const group of ["\n\u0000", "\n\u0002\u0012\u0000"]) {
    const body = Buffer.alloc((limits.groupsPerRequest + 1) * group.length, group, "latin1");
    const { result } = decodeBytes(body);
    assert.ok(!result.ok);
    assert.match(result.reason, /more than 4194304 resources and scopes/);
  }
});

test("odd ends are kept with a mark and duration 0", () => {
  const marked = (end: bigint): [unknown, unknown] => {
    const { spans } = decode(requestOf([span({ endTimeUnixNano: String(end) })]));
    return [spans[0]?.["duration_ns"], spans[0]?.["marks"]];
  };
  assert.deepEqual(marked(nowNs - 5n), [0n, marks.endBeforeStart]);
  assert.deepEqual(marked(0n), [0n, marks.unfinished]);
  assert.deepEqual(marked(4_102_444_800_000_000_000n), [0n, marks.timeOutOfRange]);
});

test("a hundred thousand attributes and ten megabytes are cut with a mark, the rest is kept", () => {
  const attributes = Array.from({ length: 100_000 }, (_, i) => ({
    key: `k${i}`,
    value: { intValue: i },
  }));
  const many = decode(requestOf([span({ attributes })]));
  assert.equal(rowsOf(many.payloads[0]?.["attrs_int"]).length, limits.attributesPerSpan);
  assert.equal(many.payloads[0]?.["dropped_attributes"], 100_000 - limits.attributesPerSpan);
  assert.equal(many.spans[0]?.["marks"], marks.truncated);
  const large = decode(
    requestOf([
      span({ attributes: keyValues({ big: "€".repeat(3_500_000), list: ["x".repeat(200_000)] }) }),
    ]),
  );
  const text = String(mapOf(large.payloads[0]?.["attrs_str"])["big"]);
  assert.ok(Buffer.byteLength(text) <= limits.attributeBytes && text.endsWith("€"));
  assert.doesNotThrow(() => JSON.parse(String(mapOf(large.payloads[0]?.["attrs_json"])["list"])));
  assert.equal(large.spans[0]?.["marks"], marks.truncated);
});

test("a duplicate key keeps its first value, invalid UTF-8 is repaired, both with a mark", () => {
  const twice = decode(
    requestOf([span({ attributes: [...keyValues({ a: "1" }), ...keyValues({ a: "2" })] })]),
  );
  assert.deepEqual(mapOf(twice.payloads[0]?.["attrs_str"]), { a: "1" });
  assert.equal(twice.spans[0]?.["marks"], marks.duplicateAttributes);
  const body = Buffer.from(
    encode(requestOf([span({ name: "QQQQ", attributes: keyValues({ k: "QQQQ" }) })])),
  );
  for (let at = body.indexOf("QQQQ"); at >= 0; at = body.indexOf("QQQQ")) body[at] = 0xff;
  const odd = decodeBytes(body);
  assert.equal(odd.spans[0]?.["name"], "\ufffdQQQ");
  assert.deepEqual(mapOf(odd.payloads[0]?.["attrs_str"]), { k: "\ufffdQQQ" });
  assert.equal(odd.spans[0]["marks"], marks.invalidUtf8);
});

test("content follows the tenant's capture setting, in attributes and in events", () => {
  const request = requestOf([
    span({
      attributes: keyValues({
        "gen_ai.prompt.0.content": "sečret",
        "gen_ai.input.messages": [{ content: "secret" }],
        plain: "kept",
      }),
      events: [
        {
          timeUnixNano: "1",
          name: "gen_ai.user.message",
          attributes: keyValues({ content: "secret" }),
        },
        {
          timeUnixNano: "2",
          name: "note",
          attributes: keyValues({ "gen_ai.completion": "secret", ok: 1 }),
        },
      ],
    }),
  ]);
  const none = decode(request, { capture: "None" });
  assert.deepEqual(rowsOf(none.payloads[0]?.["content"]), []);
  assert.deepEqual(none.payloads[0]?.["event_attrs"], ["{}", '{"ok":1}']);
  assert.equal(none.spans[0]?.["marks"], marks.contentDropped);
  assert.doesNotMatch(JSON.stringify(none.tables, plain), /se[cč]ret/);
  const redacted = decode(request, { capture: "Redacted" });
  assert.equal(
    mapOf(redacted.payloads[0]?.["content"])["gen_ai.prompt.0.content"],
    "[redacted 6 chars]",
  );
  assert.equal(redacted.spans[0]?.["marks"], marks.contentRedacted);
  assert.doesNotMatch(JSON.stringify(redacted.tables, plain), /se[cč]ret/);
  const full = decode(request, { capture: "Full" });
  assert.equal(mapOf(full.payloads[0]?.["content"])["gen_ai.prompt.0.content"], "sečret");
  assert.deepEqual(mapOf(full.payloads[0]?.["attrs_str"]), { plain: "kept" });
  assert.equal(full.spans[0]?.["marks"], 0);
});

test("groups and unknown fields are skipped, wrong wire types are unknown fields, bombs are refused", () => {
  const sound = Buffer.from(encode(requestOf([span()])));
  const decodes = (...bytes: number[]): boolean =>
    decodeBytes(Buffer.concat([sound, Uint8Array.from(bytes)])).result.ok;
  assert.ok(decodes(0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06), "group 99");
  assert.ok(decodes(0x08, 0x01), "field 1 as a varint");
  assert.ok(decodes(0x9d, 0x06, 1, 2, 3, 4), "fixed32");
  assert.equal(decodes(0x9b, 0x06, 0x08, 0x01), false, "unfinished group");
  assert.equal(decodes(0x9c, 0x06), false, "end without a group");
  assert.equal(decodes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), false, "length bomb");
  assert.equal(decodes(0x08, ...Array.from({ length: 11 }, () => 0xff)), false, "endless varint");
  assert.equal(decodes(0x0e, 0x00), false, "wire type 6");
  assert.equal(decodes(0x00, 0x00), false, "field 0");
  assert.equal(decodes(...Array.from({ length: 10_000 }, () => 0x0b)), false, "nested groups");
});

test("interned strings start afresh between batches, and nothing is mixed up by it", () => {
  const decoder = createTraceDecoder({ seed: 8 });
  for (let round = 0; round < 3; round += 1) {
    const spans = Array.from({ length: 40_000 }, (_, i) =>
      span({ spanId: (i + 1).toString(16).padStart(16, "0"), name: `r${round} ${i}` }),
    );
    decoder.decodeProtobuf(encode(requestOf(spans)), context);
    const blocks = decoder.take();
    const rows = readNative(
      blocks.find(({ table }) => table === "spans")?.bytes ?? new Uint8Array(0),
    );
    assert.equal(rows[39_999]?.["name"], `r${round} 39999`);
    assert.equal(rows[39_999]["service"], "svc");
  }
});

function plain(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/** A field of bytes. */
function message(tag: number, inner: Buffer): Buffer {
  const head = [tag];
  for (let rest = inner.length; ; rest = Math.floor(rest / 128)) {
    head.push(rest < 128 ? rest : (rest % 128) + 128);
    if (rest < 128) return Buffer.concat([Buffer.from(head), inner]);
  }
}
