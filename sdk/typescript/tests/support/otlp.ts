/**
 * OTLP requests as the official definitions read them: the test runner writes their descriptors to the
 * file that AXONIZE_TEST_DESCRIPTORS names (see descriptors.py). Nothing of the SDK's encoder is used.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type protobufTypes from "protobufjs";

const require = createRequire(import.meta.url);
// The package's CommonJS face, whose types are the module's.
const protobuf = require("protobufjs") as typeof protobufTypes;
require("protobufjs/ext/descriptor");

const file = process.env["AXONIZE_TEST_DESCRIPTORS"];
if (file === undefined) throw new Error("run these through typescript-sdk.test.ts");
// ext/descriptor adds fromDescriptor to Root; its types are not exported.
const { Root } = protobuf as unknown as {
  Root: { fromDescriptor(bytes: Uint8Array): protobufTypes.Root };
};
const root = Root.fromDescriptor(readFileSync(file));
const type = (name: string): protobufTypes.Type => root.lookupType(name);
const traceRequest = type("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest");
const metricsRequest = type("opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest");
const traceResponse = type("opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse");
const status = type("google.rpc.Status");
const retryInfo = type("google.rpc.RetryInfo");

export type Value =
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | Value[]
  | { [key: string]: Value }
  | undefined;
export type Values = Record<string, Value>;

export interface Event {
  name: string;
  timeNs: bigint;
  attributes: Values;
}

export interface ReadSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  traceState: string;
  name: string;
  kind: number;
  startNs: bigint;
  endNs: bigint;
  attributes: Values;
  /** Whether the value was sent as a double. */
  doubles: Set<string>;
  droppedAttributes: number;
  droppedEvents: number;
  events: Event[];
  links: { traceId: string; spanId: string; traceState: string; attributes: Values }[];
  status: { code: number; message: string };
  flags: number;
  scope: { name: string; version: string; attributes: Values };
  resource: Values;
}

interface Raw {
  [key: string]: unknown;
}

const list = (value: unknown): Raw[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const hex = (value: unknown): string =>
  value instanceof Uint8Array ? Buffer.from(value).toString("hex") : "";
const long = (value: unknown): bigint => BigInt(text(value) || 0);

/** `protobufjs` decodes strictly: wrong wire types and truncated fields throw. */
function decode(of: protobufTypes.Type, body: Uint8Array): Raw {
  // A message is an object; descriptors keep its fields' names as the definitions write them.
  return camelCased(of.toObject(of.decode(body), { longs: String, enums: Number })) as Raw;
}

function camelCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelCased);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      camelCased(inner),
    ]),
  );
}

export function readSpans(body: Uint8Array): ReadSpan[] {
  return list(decode(traceRequest, body)["resourceSpans"]).flatMap((resourceSpans) => {
    const resource = attributesOf(resourceSpans["resource"]);
    return list(resourceSpans["scopeSpans"]).flatMap((scopeSpans) => {
      // A message, as the definitions say.
      const scope = (scopeSpans["scope"] ?? {}) as Raw;
      const read = {
        name: text(scope["name"]),
        version: text(scope["version"]),
        attributes: attributesOf(scope),
      };
      return list(scopeSpans["spans"]).map((span) => spanOf(span, read, resource));
    });
  });
}

function spanOf(span: Raw, scope: ReadSpan["scope"], resource: Values): ReadSpan {
  const said = (span["status"] ?? {}) as Raw;
  return {
    traceId: hex(span["traceId"]),
    spanId: hex(span["spanId"]),
    parentSpanId: hex(span["parentSpanId"]),
    traceState: text(span["traceState"]),
    name: text(span["name"]),
    kind: Number(span["kind"] ?? 0),
    startNs: long(span["startTimeUnixNano"]),
    endNs: long(span["endTimeUnixNano"]),
    attributes: attributesOf(span),
    doubles: new Set(
      list(span["attributes"])
        .filter((pair) => "doubleValue" in ((pair["value"] ?? {}) as Raw))
        .map((pair) => text(pair["key"])),
    ),
    droppedAttributes: Number(span["droppedAttributesCount"] ?? 0),
    droppedEvents: Number(span["droppedEventsCount"] ?? 0),
    events: list(span["events"]).map((event) => ({
      name: text(event["name"]),
      timeNs: long(event["timeUnixNano"]),
      attributes: attributesOf(event),
    })),
    links: list(span["links"]).map((link) => ({
      traceId: hex(link["traceId"]),
      spanId: hex(link["spanId"]),
      traceState: text(link["traceState"]),
      attributes: attributesOf(link),
    })),
    status: { code: Number(said["code"] ?? 0), message: text(said["message"]) },
    flags: Number(span["flags"] ?? 0),
    scope,
    resource,
  };
}

export interface ReadMetric {
  name: string;
  unit: string;
  monotonic: boolean;
  temporality: number;
  points: { value: number; attributes: Values; startNs: bigint; timeNs: bigint }[];
}

export function readMetrics(body: Uint8Array): ReadMetric[] {
  return list(decode(metricsRequest, body)["resourceMetrics"])
    .flatMap((resource) => list(resource["scopeMetrics"]))
    .flatMap((scope) => list(scope["metrics"]))
    .map((metric) => {
      const sum = (metric["sum"] ?? {}) as Raw;
      return {
        name: text(metric["name"]),
        unit: text(metric["unit"]),
        monotonic: sum["isMonotonic"] === true,
        temporality: Number(sum["aggregationTemporality"]),
        points: list(sum["dataPoints"]).map((point) => ({
          value: Number(point["asInt"]),
          attributes: attributesOf(point),
          startNs: long(point["startTimeUnixNano"]),
          timeNs: long(point["timeUnixNano"]),
        })),
      };
    });
}

function attributesOf(holder: unknown): Values {
  const found: Values = {};
  for (const pair of list(((holder ?? {}) as Raw)["attributes"])) {
    found[text(pair["key"])] = valueOf((pair["value"] ?? {}) as Raw);
  }
  return found;
}

function valueOf(value: Raw): Value {
  if ("stringValue" in value) return text(value["stringValue"]);
  if ("boolValue" in value) return value["boolValue"] === true;
  if ("doubleValue" in value) return Number(value["doubleValue"]);
  if ("intValue" in value) {
    const whole = long(value["intValue"]);
    const number = Number(whole);
    return Number.isSafeInteger(number) ? number : whole;
  }
  if ("bytesValue" in value) return value["bytesValue"] as Uint8Array;
  if ("arrayValue" in value) {
    return list(((value["arrayValue"] ?? {}) as Raw)["values"]).map(valueOf);
  }
  if ("kvlistValue" in value) {
    const pairs = list(((value["kvlistValue"] ?? {}) as Raw)["values"]);
    return Object.fromEntries(
      pairs.map((pair) => [text(pair["key"]), valueOf((pair["value"] ?? {}) as Raw)]),
    );
  }
  return undefined;
}

/** An ExportTraceServiceResponse with a partial success. */
export function partialSuccess(rejectedSpans: number, errorMessage: string): Uint8Array {
  return traceResponse
    .encode(
      traceResponse.fromObject({
        partial_success: { rejected_spans: rejectedSpans, error_message: errorMessage },
      }),
    )
    .finish();
}

/** A google.rpc.Status with RetryInfo, as gRPC's details trailer has it. */
export function retryStatus(delayMs: number): Buffer {
  const value = retryInfo
    .encode({ retry_delay: { seconds: Math.floor(delayMs / 1000), nanos: (delayMs % 1000) * 1e6 } })
    .finish();
  // Both spellings: descriptors keep one, the library's own Any has the other.
  const name = "type.googleapis.com/google.rpc.RetryInfo";
  const details = [{ type_url: name, typeUrl: name, value }];
  return Buffer.from(status.encode({ code: 14, message: "later", details }).finish());
}
