/**
 * OTLP/JSON to protobuf bytes: one walk over the body's bytes that writes the fields OTLP's trace
 * messages have and steps over the rest. No tree comes into being: time and memory follow the body's
 * length, whatever is in it. `json-reader.ts` knows JSON, this file knows OTLP.
 *
 * It is lenient where senders are: ids in any case, integers as numbers or strings, enums as numbers
 * or names, snake_case beside lowerCamelCase. What is no JSON, or has the wrong shape, is malformed;
 * a bad id is not, it becomes a bad span.
 */
import { JsonReader, WrongShape } from "./json-reader.ts";
import { jsonNesting } from "./limits.ts";
import { ByteWriter } from "./native.ts";
import { lengthPrefixBytes } from "./text.ts";

export type FromJson = { ok: true; bytes: Uint8Array } | { ok: false; reason: string };

/** Reads the value at the reader's position and writes it. */
type Write = (out: ByteWriter, json: JsonReader, depth: number) => void;

export function protobufFromJson(body: Uint8Array): FromJson {
  try {
    const json = new JsonReader(body);
    const out = new ByteWriter(Math.max(256, body.length >> 1));
    request(out, json, 0);
    json.finish();
    return { ok: true, bytes: out.finish() };
  } catch (error) {
    if (!(error instanceof WrongShape)) throw error;
    return { ok: false, reason: `The body is no OTLP/JSON: ${error.message.slice(0, 200)}.` };
  }
}

interface JsonField {
  tag: number;
  write: Write;
  /** An array holds several of it. */
  many?: boolean;
}

/** Writes the known fields of an object; deeper than any kept value, it writes nothing. */
const message = (known: Readonly<Record<string, JsonField>>): Write => {
  const fields = Object.entries(known).map(([name, field]) => ({ name: Buffer.from(name), field }));
  // Senders write fields in one order: the next one is looked for behind the last one.
  const find = (json: JsonReader, from: number): number => {
    for (let i = 0; i < fields.length; i += 1) {
      const at = (from + i) % fields.length;
      const name = fields[at]?.name;
      if (name !== undefined && json.isKey(name)) return at;
    }
    if (!json.camelKey()) return -1;
    return fields.findIndex(({ name }) => json.isKey(name));
  };
  return (out, json, depth) => {
    json.open("{");
    for (let first = true, at = -1; json.nextKey(first); first = false) {
      const found = find(json, at + 1);
      const field = fields[found]?.field;
      if (found >= 0) at = found;
      if (field === undefined || depth > jsonNesting || json.isAt("n")) json.skip();
      else if (field.many === true && json.isAt("[")) each(out, json, field, depth);
      else write(out, json, field, depth);
    }
  };
};

function each(out: ByteWriter, json: JsonReader, field: JsonField, depth: number): void {
  json.open("[");
  for (let first = true; json.nextElement(first); first = false) {
    if (json.isAt("n")) json.skip();
    else write(out, json, field, depth);
  }
}

function write(out: ByteWriter, json: JsonReader, field: JsonField, depth: number): void {
  out.varint(field.tag);
  field.write(out, json, depth + 1);
}

const one = (tag: number, write: Write): JsonField => ({ tag, write });
const many = (tag: number, write: Write): JsonField => ({ tag, write: nested(write), many: true });

/** A submessage: its length before it, for which its bytes move where one byte is too few. */
function nested(write: Write): Write {
  return (out, json, depth) => {
    const at = out.length;
    out.byte(0);
    write(out, json, depth);
    const length = out.length - at - 1;
    const more = lengthPrefixBytes(length) - 1;
    if (more > 0) {
      out.reserve(more);
      out.bytes.copyWithin(at + 1 + more, at + 1, out.length);
    }
    out.length = at;
    out.varint(length);
    out.length += length;
  };
}

const text: Write = (out, json) => {
  if (json.isAt('"')) {
    json.string();
    const { start, end } = json;
    if (json.isEscaped) out.text(json.text());
    else {
      out.varint(end - start);
      out.append(json.bytes.subarray(start, end));
    }
    return;
  }
  const value = json.scalar();
  if (typeof value !== "number" && typeof value !== "boolean") {
    throw new WrongShape("a string is expected");
  }
  out.text(String(value));
};
const id: Write = (out, json) => {
  const value = stringAt(json, "an id is a string");
  const isHex = value.length % 2 === 0 && /^[0-9a-f]*$/i.test(value);
  // What is no hex cannot be an id of the right length: one byte says so.
  const bytes = isHex ? Buffer.from(value, "hex") : Uint8Array.of(0);
  out.varint(bytes.length);
  out.append(bytes);
};
const bytesField: Write = (out, json) => {
  const bytes = Buffer.from(stringAt(json, "bytes are base64 in a string"), "base64");
  out.varint(bytes.length);
  out.append(bytes);
};
const fixed64: Write = (out, json) => {
  const value = BigInt.asUintN(64, integer(json));
  out.reserve(8);
  out.view.setBigUint64(out.length, value, true);
  out.length += 8;
};
const varint64: Write = (out, json) => {
  let rest = BigInt.asUintN(64, integer(json));
  for (; rest >= 0x80n; rest >>= 7n) out.byte(Number(rest & 0x7fn) | 0x80);
  out.byte(Number(rest));
};
const uint32: Write = (out, json) => out.varint(Number(BigInt.asUintN(32, integer(json))));
const bool: Write = (out, json) => {
  const value = json.scalar();
  out.byte(value === true || value === "true" || value === 1 ? 1 : 0);
};
const double: Write = (out, json) => {
  const value = json.scalar();
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number") throw new WrongShape("a number is expected");
  out.reserve(8);
  out.view.setFloat64(out.length, number, true);
  out.length += 8;
};
const named =
  (names: readonly string[]): Write =>
  (out, json) => {
    const before = json.pos;
    const value = json.scalar();
    const index = typeof value === "string" ? names.indexOf(value) : -1;
    if (index >= 0) out.varint(index);
    else if (typeof value === "string" && !/^\d+$/.test(value)) out.varint(0);
    else {
      json.pos = before;
      uint32(out, json, 0);
    }
  };

const anyValue: Write = (out, json, depth) => writeAnyValue(out, json, depth);
const keyValue = message({ key: one(0x0a, text), value: one(0x12, nested(anyValue)) });
const writeAnyValue = message({
  stringValue: one(0x0a, text),
  boolValue: one(0x10, bool),
  intValue: one(0x18, varint64),
  doubleValue: one(0x21, double),
  arrayValue: one(0x2a, nested(message({ values: many(0x0a, anyValue) }))),
  kvlistValue: one(0x32, nested(message({ values: many(0x0a, keyValue) }))),
  bytesValue: one(0x3a, bytesField),
});
const kinds = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
const codes = ["UNSET", "OK", "ERROR"];
const span = message({
  traceId: one(0x0a, id),
  spanId: one(0x12, id),
  traceState: one(0x1a, text),
  parentSpanId: one(0x22, id),
  name: one(0x2a, text),
  kind: one(0x30, named(kinds.map((kind) => `SPAN_KIND_${kind}`))),
  startTimeUnixNano: one(0x39, fixed64),
  endTimeUnixNano: one(0x41, fixed64),
  attributes: many(0x4a, keyValue),
  droppedAttributesCount: one(0x50, uint32),
  events: many(
    0x5a,
    message({
      timeUnixNano: one(0x09, fixed64),
      name: one(0x12, text),
      attributes: many(0x1a, keyValue),
      droppedAttributesCount: one(0x20, uint32),
    }),
  ),
  droppedEventsCount: one(0x60, uint32),
  links: many(
    0x6a,
    message({
      traceId: one(0x0a, id),
      spanId: one(0x12, id),
      traceState: one(0x1a, text),
      attributes: many(0x22, keyValue),
      droppedAttributesCount: one(0x28, uint32),
    }),
  ),
  droppedLinksCount: one(0x70, uint32),
  status: one(
    0x7a,
    nested(
      message({
        message: one(0x12, text),
        code: one(0x18, named(codes.map((code) => `STATUS_CODE_${code}`))),
      }),
    ),
  ),
});
const attributes = many(0x0a, keyValue);
const request = message({
  resourceSpans: many(
    0x0a,
    message({
      resource: one(0x0a, nested(message({ attributes }))),
      scopeSpans: many(
        0x12,
        message({
          scope: one(0x0a, nested(message({ name: one(0x0a, text), version: one(0x12, text) }))),
          spans: many(0x12, span),
        }),
      ),
    }),
  ),
});

function stringAt(json: JsonReader, expected: string): string {
  if (!json.isAt('"')) throw new WrongShape(expected);
  json.string();
  return json.text();
}

/** An integer in full, from a number or a string; a double would round what is beyond 2^53. */
function integer(json: JsonReader): bigint {
  const value = json.token();
  if (/^\s*-?\d{1,20}\s*$/.test(value)) return BigInt(value.trim());
  const number = json.isString ? NaN : Number(value);
  if (!Number.isFinite(number)) throw new WrongShape("an integer is expected");
  return BigInt(Math.trunc(number));
}
