/**
 * Walks an ExportMetricsServiceRequest in OTLP/JSON: lowerCamelCase names, 64-bit integers as
 * strings or numbers, unknown fields ignored. What has the wrong type counts as absent.
 */
import { pointAttributes, pointBuckets, pointTextBytes } from "../limits.ts";
import {
  emptyPoint,
  temporalityFrom,
  type Attributes,
  type Metric,
  type MetricKind,
  type Point,
  type Visit,
} from "./otlp.ts";
import { MalformedError } from "./wire.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Throws MalformedError when the body is no JSON object. */
export function walkJson(body: Buffer, visit: Visit): void {
  for (const resourceMetrics of listOf(parse(body), "resourceMetrics")) {
    const resource = attributesOf(fieldsOf(resourceMetrics["resource"]));
    for (const scope of listOf(resourceMetrics, "scopeMetrics")) {
      for (const metric of listOf(scope, "metrics")) walkMetric(metric, resource, visit);
    }
  }
}

function parse(body: Buffer): Fields {
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new MalformedError("not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MalformedError("not a JSON object");
  }
  return fieldsOf(value);
}

const kinds: readonly (readonly [string, MetricKind])[] = [
  ["gauge", "gauge"],
  ["sum", "sum"],
  ["histogram", "histogram"],
  ["exponentialHistogram", "histogram"],
  ["summary", "summary"],
];

function walkMetric(fields: Fields, resource: Attributes, visit: Visit): void {
  for (const [name, kind] of kinds) {
    if (fields[name] === undefined) continue;
    const data = fieldsOf(fields[name]);
    const metric: Metric = {
      name: textOf(fields["name"]),
      unit: textOf(fields["unit"]),
      kind,
      temporality: temporalityFrom(temporalityNumber(data["aggregationTemporality"])),
      monotonic: data["isMonotonic"] === true,
    };
    for (const point of listOf(data, "dataPoints")) visit(resource, metric, pointOf(point));
  }
}

/** The specification wants numbers; some senders write the enum's name. */
function temporalityNumber(value: unknown): number {
  if (value === "AGGREGATION_TEMPORALITY_DELTA") return 1;
  if (value === "AGGREGATION_TEMPORALITY_CUMULATIVE") return 2;
  return numberOf(value) ?? 0;
}

function pointOf(fields: Fields): Point {
  return {
    ...emptyPoint(),
    attributes: attributesOf(fields),
    timeNs: integerOf(fields["timeUnixNano"]) ?? 0n,
    startNs: integerOf(fields["startTimeUnixNano"]) ?? 0n,
    value: numberOf(fields["asDouble"] ?? fields["asInt"]),
    count: integerOf(fields["count"]) ?? 0n,
    sum: numberOf(fields["sum"]),
    min: numberOf(fields["min"]),
    max: numberOf(fields["max"]),
    bounds: arrayOf(fields["explicitBounds"]).map((value) => numberOf(value) ?? Number.NaN),
    bucketCounts: arrayOf(fields["bucketCounts"]).map((value) => integerOf(value) ?? 0n),
    absent: ((numberOf(fields["flags"]) ?? 0) & 1) === 1,
  };
}

function attributesOf(fields: Fields): Attributes {
  const attributes = new Map<string, string>();
  for (const pair of listOf(fields, "attributes")) {
    const key = textOf(pair["key"]);
    if (key === "" || (attributes.size >= pointAttributes && !attributes.has(key))) continue;
    const value = fieldsOf(pair["value"]);
    const scalar =
      value["stringValue"] ?? value["intValue"] ?? value["doubleValue"] ?? value["boolValue"];
    attributes.set(key, textOf(scalar));
  }
  return attributes;
}

/** A value as fields; anything but an object has none. */
const fieldsOf = (value: unknown): Fields =>
  // Safe: every field is `unknown` and checked where it is read.
  typeof value === "object" && value !== null ? (value as Fields) : {};

const listOf = (fields: Fields, name: string): Fields[] => {
  const value = fields[name];
  return Array.isArray(value) ? value.map(fieldsOf) : [];
};

const arrayOf = (value: unknown): unknown[] =>
  Array.isArray(value) ? value.slice(0, pointBuckets) : [];

function textOf(value: unknown): string {
  if (typeof value === "string") return value.slice(0, pointTextBytes);
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || value.trim() === "") return undefined;
  const number = Number(value); // also "NaN", "Infinity"
  return Number.isNaN(number) && value !== "NaN" ? undefined : number;
}

function integerOf(value: unknown): bigint | undefined {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  if (typeof value === "string" && /^\d{1,20}$/.test(value)) {
    return BigInt.asUintN(64, BigInt(value));
  }
  return undefined;
}
