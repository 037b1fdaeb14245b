/**
 * Walks an ExportMetricsServiceRequest in protobuf. Field numbers are those of
 * opentelemetry/proto/metrics/v1/metrics.proto. What a message says of itself may stand behind its
 * points, so each level is read twice: first its own fields, then what it contains.
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
import { doubleFrom, fieldsOf, fixed64s, signedFrom, type Field } from "./wire.ts";

/** Throws MalformedError. */
export function walkProtobuf(body: Buffer, visit: Visit): void {
  for (const field of fieldsOf(body, 0, body.length)) {
    if (field.number === 1 && field.wire === 2) walkResource(body, field, visit);
  }
}

function walkResource(body: Buffer, message: Field, visit: Visit): void {
  let resource: Attributes = new Map();
  for (const field of messages(body, message, 1)) resource = attributesAt(body, field, 1);
  for (const scope of messages(body, message, 2)) {
    for (const metric of messages(body, scope, 2)) walkMetric(body, metric, resource, visit);
  }
}

const kinds: Readonly<Record<number, MetricKind>> = {
  5: "gauge",
  7: "sum",
  9: "histogram",
  10: "histogram", // exponential: kept without its buckets
  11: "summary",
};

function walkMetric(body: Buffer, message: Field, resource: Attributes, visit: Visit): void {
  const metric: Metric = {
    name: "",
    unit: "",
    kind: "gauge",
    temporality: "unspecified",
    monotonic: false,
  };
  const data: Field[] = [];
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.wire !== 2) continue;
    if (field.number === 1) metric.name = textAt(body, field);
    else if (field.number === 3) metric.unit = textAt(body, field);
    else if (kinds[field.number] !== undefined) data.push(field);
  }
  for (const field of data) {
    metric.kind = kinds[field.number] ?? "gauge";
    for (const inner of fieldsOf(body, field.start, field.end)) {
      if (inner.wire !== 0) continue;
      if (inner.number === 2) metric.temporality = temporalityFrom(Number(inner.bits));
      else if (inner.number === 3) metric.monotonic = inner.bits !== 0n;
    }
    const read = field.number === 10 ? exponentialAt : field.number === 9 ? histogramAt : numberAt;
    for (const point of messages(body, field, 1)) visit(resource, metric, read(body, point));
  }
}

function numberAt(body: Buffer, message: Field): Point {
  const point = emptyPoint();
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.number === 2) point.startNs = field.bits;
    else if (field.number === 3) point.timeNs = field.bits;
    else if (field.number === 4 && field.wire === 1) point.value = doubleFrom(field.bits);
    else if (field.number === 6 && field.wire === 1) point.value = Number(signedFrom(field.bits));
    else if (field.number === 8 && field.wire === 0) point.absent = (field.bits & 1n) === 1n;
  }
  point.attributes = attributesAt(body, message, 7);
  return point;
}

function histogramAt(body: Buffer, message: Field): Point {
  const point = emptyPoint();
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.number === 2) point.startNs = field.bits;
    else if (field.number === 3) point.timeNs = field.bits;
    else if (field.number === 4) point.count = field.bits;
    else if (field.number === 5) point.sum = doubleFrom(field.bits);
    else if (field.number === 6) point.bucketCounts.push(...bounded(fixed64s(body, field)));
    else if (field.number === 7) {
      point.bounds.push(...bounded(fixed64s(body, field)).map(doubleFrom));
    } else if (field.number === 10 && field.wire === 0) point.absent = (field.bits & 1n) === 1n;
    else if (field.number === 11) point.min = doubleFrom(field.bits);
    else if (field.number === 12) point.max = doubleFrom(field.bits);
  }
  point.attributes = attributesAt(body, message, 9);
  return point;
}

/** Count, sum, minimum and maximum; its scale and buckets are not kept. */
function exponentialAt(body: Buffer, message: Field): Point {
  const point = emptyPoint();
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.number === 2) point.startNs = field.bits;
    else if (field.number === 3) point.timeNs = field.bits;
    else if (field.number === 4) point.count = field.bits;
    else if (field.number === 5) point.sum = doubleFrom(field.bits);
    else if (field.number === 10 && field.wire === 0) point.absent = (field.bits & 1n) === 1n;
    else if (field.number === 12) point.min = doubleFrom(field.bits);
    else if (field.number === 13) point.max = doubleFrom(field.bits);
  }
  point.attributes = attributesAt(body, message, 1);
  return point;
}

function* messages(body: Buffer, message: Field, number: number): Generator<Field> {
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.number === number && field.wire === 2) yield field;
  }
}

/** The repeated KeyValue at field `number` of `message`. */
function attributesAt(body: Buffer, message: Field, number: number): Attributes {
  const attributes = new Map<string, string>();
  for (const pair of messages(body, message, number)) {
    let key = "";
    let value = "";
    for (const field of fieldsOf(body, pair.start, pair.end)) {
      if (field.number === 1 && field.wire === 2) key = textAt(body, field);
      else if (field.number === 2 && field.wire === 2) value = valueAt(body, field);
    }
    if (key !== "" && (attributes.size < pointAttributes || attributes.has(key))) {
      attributes.set(key, value);
    }
  }
  return attributes;
}

/** AnyValue as text; arrays, maps and bytes are nothing that a series is told apart by. */
function valueAt(body: Buffer, message: Field): string {
  for (const field of fieldsOf(body, message.start, message.end)) {
    if (field.number === 1 && field.wire === 2) return textAt(body, field);
    if (field.number === 2 && field.wire === 0) return field.bits === 0n ? "false" : "true";
    if (field.number === 3 && field.wire === 0) return String(signedFrom(field.bits));
    if (field.number === 4 && field.wire === 1) return String(doubleFrom(field.bits));
  }
  return "";
}

const textAt = (body: Buffer, field: Field): string =>
  body.toString("utf8", field.start, Math.min(field.end, field.start + pointTextBytes));

const bounded = <T>(values: readonly T[]): readonly T[] => values.slice(0, pointBuckets);
