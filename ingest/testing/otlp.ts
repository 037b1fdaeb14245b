/**
 * Builds OTLP trace requests for tests and benches, byte by byte, with no code of the decoder under
 * test in it.
 */
import { randomBytes } from "node:crypto";

export interface TestSpan {
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  name?: string;
  startMs?: number;
  durationMs?: number;
  attributes?: Readonly<Record<string, string | number>>;
}

/** ExportTraceServiceRequest with one resource and one scope. */
export function traceRequest(spans: readonly TestSpan[], service = "test"): Buffer {
  const resource = message(1, attributes(1, { "service.name": service }));
  const scope = message(2, Buffer.concat(spans.map((span) => message(2, spanBytes(span)))));
  return message(1, Buffer.concat([resource, scope]));
}

/** `count` spans of one trace, now. */
export function someSpans(count: number, each: TestSpan = {}): TestSpan[] {
  const traceId = randomBytes(16);
  return Array.from({ length: count }, () => ({ traceId, ...each }));
}

function spanBytes(span: TestSpan): Buffer {
  const startMs = span.startMs ?? Date.now();
  return Buffer.concat([
    message(1, span.traceId ?? randomBytes(16)),
    message(2, span.spanId ?? randomBytes(8)),
    message(5, Buffer.from(span.name ?? "chat llama")),
    varintField(6, 3),
    fixed64(7, BigInt(startMs) * 1_000_000n),
    fixed64(8, BigInt(startMs + (span.durationMs ?? 100)) * 1_000_000n),
    attributes(9, span.attributes ?? {}),
  ]);
}

function attributes(field: number, pairs: Readonly<Record<string, string | number>>): Buffer {
  return Buffer.concat(
    Object.entries(pairs).map(([key, value]) =>
      message(
        field,
        Buffer.concat([
          message(1, Buffer.from(key)),
          message(
            2,
            typeof value === "string" ? message(1, Buffer.from(value)) : varintField(3, value),
          ),
        ]),
      ),
    ),
  );
}

export const message = (field: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([varint((field << 3) | 2), varint(bytes.length), bytes]);

const varintField = (field: number, value: number): Buffer =>
  Buffer.concat([varint(field << 3), varint(value)]);

function fixed64(field: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = (field << 3) | 1;
  bytes.writeBigUInt64LE(value, 1);
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** One OTLP/JSON gauge or histogram metric, as the body of a metrics request. */
export function metricsRequest(
  metrics: readonly object[],
  resource: Readonly<Record<string, string>> = {},
): string {
  return JSON.stringify({
    resourceMetrics: [
      { resource: { attributes: jsonAttributes(resource) }, scopeMetrics: [{ metrics }] },
    ],
  });
}

export function gauge(
  name: string,
  value: number | string,
  options: { unit?: string; attributes?: Readonly<Record<string, string>>; timeMs?: number } = {},
): object {
  return {
    name,
    unit: options.unit ?? "1",
    gauge: {
      dataPoints: [
        {
          timeUnixNano: `${options.timeMs ?? Date.now()}000000`,
          asDouble: value,
          attributes: jsonAttributes(options.attributes ?? {}),
        },
      ],
    },
  };
}

export const jsonAttributes = (pairs: Readonly<Record<string, string>>): object[] =>
  Object.entries(pairs).map(([key, stringValue]) => ({ key, value: { stringValue } }));
