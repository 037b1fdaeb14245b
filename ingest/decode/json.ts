/**
 * OTLP/JSON to protobuf bytes: a walk over the parsed tree that writes the fields OTLP's trace
 * messages have and leaves out the rest. It is lenient where senders are: ids in any case, integers
 * as numbers or strings, enums as numbers or names, snake_case beside lowerCamelCase.
 *
 * What is no JSON, or has the wrong shape, is malformed; a bad id is not, it becomes a bad span.
 */
import { ByteWriter } from "./native.ts";
import { jsonNesting } from "./limits.ts";

export type FromJson = { ok: true; bytes: Uint8Array } | { ok: false; reason: string };

type Json = Record<string, unknown>;
type Write = (out: ByteWriter, value: unknown, depth: number) => void;

/** The body has a wrong shape; caught at the edge of this file. */
class WrongShape extends Error {}

export function protobufFromJson(body: Uint8Array): FromJson {
  try {
    const tree = parse(decoder.decode(body));
    const out = new ByteWriter(Math.max(256, body.length >> 1));
    request(out, tree, 0);
    return { ok: true, bytes: out.finish() };
  } catch (error) {
    if (!(error instanceof WrongShape || error instanceof SyntaxError)) throw error;
    return { ok: false, reason: `The body is no OTLP/JSON: ${error.message.slice(0, 200)}.` };
  }
}

const decoder = new TextDecoder();

/** Integers that a double would round are kept as their text. */
function parse(text: string): unknown {
  if (!/[[:,\s]-?\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(
    text,
    function keep(this: unknown, _key: string, value: unknown, context?: { source?: string }) {
      const exact = typeof value === "number" && !Number.isSafeInteger(value);
      return exact && /^-?\d+$/.test(context?.source ?? "") ? context?.source : value;
    },
  );
}

interface JsonField {
  tag: number;
  write: Write;
  /** An array holds several of it. */
  many?: boolean;
}

/** Writes the known fields of an object; deeper than any kept value, it writes nothing. */
const message = (known: Readonly<Record<string, JsonField>>): Write => {
  const fields = new Map(Object.entries(known));
  return (out, value, depth) => {
    const object = objectOf(value);
    if (depth > jsonNesting) return;
    for (const key of Object.keys(object)) {
      const field = fields.get(key) ?? fields.get(camel(key));
      const inner = object[key];
      if (field === undefined || inner === null || inner === undefined) continue;
      for (const each of field.many === true && Array.isArray(inner) ? inner : [inner]) {
        if (each === null) continue;
        out.varint(field.tag);
        field.write(out, each, depth + 1);
      }
    }
  };
};

const one = (tag: number, write: Write): JsonField => ({ tag, write });
const many = (tag: number, write: Write): JsonField => ({ tag, write: nested(write), many: true });

/** A submessage: its length before it, its bytes moved to make room. */
function nested(write: Write): Write {
  return (out, value, depth) => {
    const at = out.length;
    write(out, value, depth);
    const length = out.length - at;
    out.varint(length);
    const prefix = out.length - at - length;
    const head = out.bytes.slice(at + length, out.length);
    out.bytes.copyWithin(at + prefix, at, at + length);
    out.bytes.set(head, at);
  };
}

const text: Write = (out, value) => {
  if (typeof value === "string") out.text(value);
  else if (typeof value === "number" || typeof value === "boolean") out.text(String(value));
  else throw new WrongShape("a string is expected");
};
const id: Write = (out, value) => {
  if (typeof value !== "string") throw new WrongShape("an id is a string");
  const isHex = value.length % 2 === 0 && /^[0-9a-f]*$/i.test(value);
  // What is no hex cannot be an id of the right length: one byte says so.
  const bytes = isHex ? Buffer.from(value, "hex") : Uint8Array.of(0);
  out.varint(bytes.length);
  out.append(bytes);
};
const bytesField: Write = (out, value) => {
  if (typeof value !== "string") throw new WrongShape("bytes are base64 in a string");
  const bytes = Buffer.from(value, "base64");
  out.varint(bytes.length);
  out.append(bytes);
};
const fixed64: Write = (out, value) => {
  const [lo, hi] = words(value);
  out.reserve(8);
  out.view.setUint32(out.length, lo, true);
  out.view.setUint32(out.length + 4, hi, true);
  out.length += 8;
};
const varint64: Write = (out, value) => {
  let rest = BigInt.asUintN(64, integer(value));
  for (; rest >= 0x80n; rest >>= 7n) out.byte(Number(rest & 0x7fn) | 0x80);
  out.byte(Number(rest));
};
const uint32: Write = (out, value) => out.varint(Number(BigInt.asUintN(32, integer(value))));
const bool: Write = (out, value) =>
  out.byte(value === true || value === "true" || value === 1 ? 1 : 0);
const double: Write = (out, value) => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number !== "number") throw new WrongShape("a number is expected");
  out.reserve(8);
  out.view.setFloat64(out.length, number, true);
  out.length += 8;
};
const named =
  (names: readonly string[]): Write =>
  (out, value) => {
    const index = typeof value === "string" ? names.indexOf(value) : -1;
    if (index >= 0) out.varint(index);
    else if (typeof value === "string" && !/^\d+$/.test(value)) out.varint(0);
    else uint32(out, value, 0);
  };

const anyValue: Write = (out, value, depth) => writeAnyValue(out, value, depth);
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

function objectOf(value: unknown): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new WrongShape("an object is expected");
  }
  // An object from JSON.parse has string keys and unknown values.
  return value as Json;
}

function camel(key: string): string {
  return key.includes("_")
    ? key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
    : key;
}

function integer(value: unknown): bigint {
  if (typeof value === "number" && Number.isFinite(value)) return BigInt(Math.trunc(value));
  if (typeof value === "string" && /^\s*-?\d{1,20}\s*$/.test(value)) return BigInt(value.trim());
  throw new WrongShape("an integer is expected");
}

function words(value: unknown): [number, number] {
  const whole = BigInt.asUintN(64, integer(value));
  return [Number(whole & 0xffffffffn), Number(whole >> 32n)];
}
