/**
 * OTLP as the demo speaks it: spans and gauge or sum points as plain objects, and the protobuf bytes
 * of an ExportTraceServiceRequest or ExportMetricsServiceRequest made of them.
 *
 * Whole numbers become `int_value`; what must be a double says so with `{double}`.
 */
import { createWriter, type Writer } from "./protobuf.ts";

export interface Double {
  readonly double: number;
}
export type AttributeValue =
  | string
  | boolean
  | number
  | Double
  | readonly string[]
  | readonly number[];
export type Attributes = Record<string, AttributeValue>;

export const double = (value: number): Double => ({ double: value });

export const kinds = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;
export type Kind = keyof typeof kinds;

/** One sending process: spans of one process share this very object and travel together. */
export interface Process {
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
}

export interface DemoSpan {
  readonly process: Process;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  name: string;
  readonly kind: Kind;
  readonly startMs: number;
  endMs: number;
  readonly attributes: Attributes;
  status: "unset" | "ok" | "error";
  statusMessage: string;
  readonly events: { timeMs: number; name: string; attributes: Attributes }[];
  readonly links: { traceId: string; spanId: string }[];
}

export interface DemoPoint {
  readonly process: Process;
  readonly metric: string;
  readonly unit: string;
  /** `counter` is a cumulative monotonic sum, `updown` a cumulative sum that may fall. */
  readonly instrument: "gauge" | "counter" | "updown";
  readonly timeMs: number;
  /** Start of a counter. */
  readonly startMs: number;
  readonly value: number | Double;
  readonly attributes: Attributes;
}

export function encodeTraces(spans: readonly DemoSpan[]): Uint8Array {
  const writer = createWriter();
  for (const [process, group] of Map.groupBy(spans, (span) => span.process)) {
    writer.message(1, () => {
      writeResource(writer, process);
      writer.message(2, () => {
        writeScope(writer, process);
        for (const span of group) writer.message(2, () => writeSpan(writer, span));
      });
    });
  }
  return writer.finish();
}

export function encodeMetrics(points: readonly DemoPoint[]): Uint8Array {
  const writer = createWriter();
  for (const [process, group] of Map.groupBy(points, (point) => point.process)) {
    writer.message(1, () => {
      writeResource(writer, process);
      writer.message(2, () => {
        writeScope(writer, process);
        for (const metric of Map.groupBy(group, (point) => point.metric).values()) {
          writer.message(2, () => writeMetric(writer, metric));
        }
      });
    });
  }
  return writer.finish();
}

function writeResource(writer: Writer, process: Process): void {
  writer.message(1, () => writeAttributes(writer, 1, process.resource));
}

function writeScope(writer: Writer, process: Process): void {
  writer.message(1, () => {
    writer.string(1, process.scope.name);
    writer.string(2, process.scope.version);
  });
}

const statusCodes = { unset: 0, ok: 1, error: 2 } as const;

function writeSpan(writer: Writer, span: DemoSpan): void {
  writer.hex(1, span.traceId);
  writer.hex(2, span.spanId);
  writer.hex(4, span.parentSpanId);
  writer.string(5, span.name);
  writer.uint(6, kinds[span.kind]);
  writer.nanos(7, span.startMs);
  writer.nanos(8, span.endMs);
  writeAttributes(writer, 9, span.attributes);
  for (const event of span.events) {
    writer.message(11, () => {
      writer.nanos(1, event.timeMs);
      writer.string(2, event.name);
      writeAttributes(writer, 3, event.attributes);
    });
  }
  for (const link of span.links) {
    writer.message(13, () => {
      writer.hex(1, link.traceId);
      writer.hex(2, link.spanId);
    });
  }
  if (span.status === "unset") return;
  writer.message(15, () => {
    writer.string(2, span.statusMessage);
    writer.uint(3, statusCodes[span.status]);
  });
}

const cumulative = 2;

function writeMetric(writer: Writer, points: readonly DemoPoint[]): void {
  const first = points[0];
  if (first === undefined) return;
  writer.string(1, first.metric);
  writer.string(3, first.unit);
  writer.message(first.instrument === "gauge" ? 5 : 7, () => {
    for (const point of points) writer.message(1, () => writePoint(writer, point));
    if (first.instrument === "gauge") return;
    writer.uint(2, cumulative);
    writer.uint(3, first.instrument === "counter" ? 1 : 0);
  });
}

function writePoint(writer: Writer, point: DemoPoint): void {
  if (point.instrument !== "gauge") writer.nanos(2, point.startMs);
  writer.nanos(3, point.timeMs);
  if (typeof point.value === "number") writer.sfixed64(6, point.value);
  else writer.double(4, point.value.double);
  writeAttributes(writer, 7, point.attributes);
}

function writeAttributes(writer: Writer, field: number, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes)) {
    writer.message(field, () => {
      writer.string(1, key);
      writer.message(2, () => writeValue(writer, value));
    });
  }
}

function writeValue(writer: Writer, value: AttributeValue): void {
  if (typeof value === "string") writer.string(1, value, true);
  else if (typeof value === "boolean") writer.uint(2, value ? 1 : 0, true);
  else if (typeof value === "number") writer.uint(3, value, true);
  else if ("double" in value) writer.double(4, value.double);
  else {
    writer.message(5, () => {
      for (const item of value) writer.message(1, () => writeValue(writer, item));
    });
  }
}
