/**
 * OTLP trace messages through protobufjs, for tests and benches: the independent encoder and decoder
 * that ours is compared with. The descriptor is written by hand from the field numbers of
 * opentelemetry-proto 1.9; it has just the trace service.
 */
import protobuf from "protobufjs";

const field = (type: string, id: number, rule?: "repeated") => ({
  type,
  id,
  ...(rule === undefined ? {} : { rule }),
});

const root = protobuf.Root.fromJSON({
  nested: {
    Request: { fields: { resourceSpans: field("ResourceSpans", 1, "repeated") } },
    ResourceSpans: {
      fields: {
        resource: field("Resource", 1),
        scopeSpans: field("ScopeSpans", 2, "repeated"),
        schemaUrl: field("string", 3),
      },
    },
    Resource: {
      fields: {
        attributes: field("KeyValue", 1, "repeated"),
        droppedAttributesCount: field("uint32", 2),
      },
    },
    ScopeSpans: {
      fields: {
        scope: field("Scope", 1),
        spans: field("Span", 2, "repeated"),
        schemaUrl: field("string", 3),
      },
    },
    Scope: { fields: { name: field("string", 1), version: field("string", 2) } },
    Span: {
      fields: {
        traceId: field("bytes", 1),
        spanId: field("bytes", 2),
        traceState: field("string", 3),
        parentSpanId: field("bytes", 4),
        name: field("string", 5),
        kind: field("int32", 6),
        startTimeUnixNano: field("fixed64", 7),
        endTimeUnixNano: field("fixed64", 8),
        attributes: field("KeyValue", 9, "repeated"),
        droppedAttributesCount: field("uint32", 10),
        events: field("Event", 11, "repeated"),
        droppedEventsCount: field("uint32", 12),
        links: field("Link", 13, "repeated"),
        droppedLinksCount: field("uint32", 14),
        status: field("Status", 15),
        flags: field("fixed32", 16),
      },
    },
    Event: {
      fields: {
        timeUnixNano: field("fixed64", 1),
        name: field("string", 2),
        attributes: field("KeyValue", 3, "repeated"),
        droppedAttributesCount: field("uint32", 4),
      },
    },
    Link: {
      fields: {
        traceId: field("bytes", 1),
        spanId: field("bytes", 2),
        traceState: field("string", 3),
        attributes: field("KeyValue", 4, "repeated"),
        droppedAttributesCount: field("uint32", 5),
        flags: field("fixed32", 6),
      },
    },
    Status: { fields: { message: field("string", 2), code: field("int32", 3) } },
    KeyValue: { fields: { key: field("string", 1), value: field("AnyValue", 2) } },
    AnyValue: {
      oneofs: {
        value: {
          oneof: [
            "stringValue",
            "boolValue",
            "intValue",
            "doubleValue",
            "arrayValue",
            "kvlistValue",
            "bytesValue",
          ],
        },
      },
      fields: {
        stringValue: field("string", 1),
        boolValue: field("bool", 2),
        intValue: field("int64", 3),
        doubleValue: field("double", 4),
        arrayValue: field("ArrayValue", 5),
        kvlistValue: field("KeyValueList", 6),
        bytesValue: field("bytes", 7),
      },
    },
    ArrayValue: { fields: { values: field("AnyValue", 1, "repeated") } },
    KeyValueList: { fields: { values: field("KeyValue", 1, "repeated") } },
  },
});

export const RequestType = root.lookupType("Request");

/** Values as senders write them in OTLP/JSON; ids in hex. */
export interface AnyValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: number | string;
  doubleValue?: number;
  arrayValue?: { values?: AnyValue[] };
  kvlistValue?: { values?: KeyValue[] };
  bytesValue?: string;
}
export interface KeyValue {
  key: string;
  value?: AnyValue;
}
export interface Span {
  traceId?: string;
  spanId?: string;
  parentSpanId?: string;
  traceState?: string;
  name?: string;
  kind?: number;
  flags?: number;
  startTimeUnixNano?: string;
  endTimeUnixNano?: string;
  attributes?: KeyValue[];
  droppedAttributesCount?: number;
  events?: { timeUnixNano?: string; name?: string; attributes?: KeyValue[] }[];
  links?: { traceId?: string; spanId?: string; attributes?: KeyValue[] }[];
  status?: { code?: number; message?: string };
}
export interface Request {
  resourceSpans?: {
    resource?: { attributes?: KeyValue[] };
    scopeSpans?: { scope?: { name?: string; version?: string }; spans?: Span[] }[];
  }[];
}

/** Encodes a request in the shape of OTLP/JSON. */
export function encode(request: Request): Uint8Array {
  return RequestType.encode(RequestType.fromObject(withBytes(request))).finish();
}

/** protobufjs takes bytes as base64: ids are hex in OTLP/JSON. */
function withBytes(request: Request): Record<string, unknown> {
  const copy: unknown = JSON.parse(JSON.stringify(request), (key, value: unknown) =>
    /^(traceId|spanId|parentSpanId)$/.test(key) && typeof value === "string"
      ? Buffer.from(value, "hex").toString("base64")
      : value,
  );
  // A parsed object has string keys and unknown values.
  return copy as Record<string, unknown>;
}

/** Plain attributes as KeyValue; integers stay integers, arrays and objects nest. */
export function keyValues(attributes: Readonly<Record<string, unknown>>): KeyValue[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

export function anyValue(value: unknown): AnyValue {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "bigint") return { intValue: String(value) };
  if (typeof value === "number") {
    return Number.isInteger(value) ? { intValue: value } : { doubleValue: value };
  }
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyValue) } };
  if (typeof value === "object" && value !== null) {
    return { kvlistValue: { values: keyValues({ ...value }) } };
  }
  return {};
}
