/**
 * The frame around a batch: resource and scopes; and what this SDK says of itself as metrics, once
 * something was lost: a service whose spans all arrive needs no second signal. Messages of
 * opentelemetry-proto 1.x; names of the metrics are OpenTelemetry's for SDKs (`otel.sdk.*`).
 */
import { Bytes } from "./bytes.ts";
import type { Batch } from "./reader.ts";
import { writeKeyValue } from "./values.ts";
import { version } from "./version.ts";

const SCOPE_NAME = "axonize";

/** Field `resource` of ResourceSpans and ResourceMetrics. */
export function encodeResource(attributes: Readonly<Record<string, unknown>>): Uint8Array {
  const out = new Bytes(1024);
  out.nested(0x0a, () => {
    for (const [key, value] of Object.entries(attributes)) {
      if (value === undefined || value === null) continue;
      out.nested(0x0a, () => writeKeyValue(out, key, value));
    }
  });
  return out.copy();
}

/** An ExportTraceServiceRequest. `dropped` is the count of spans since the start. */
export function encodeTraces(resource: Uint8Array, batch: Batch, dropped: number): Uint8Array {
  const size = batch.scopes.reduce((sum, { spans }) => sum + spans.length + 256, resource.length);
  const out = new Bytes(size + 64);
  out.nested(0x0a, () => {
    out.raw(resource);
    for (const scope of batch.scopes) {
      const own = scope.name === "";
      out.nested(0x12, () => {
        out.nested(0x0a, () => {
          writeScope(out, own ? SCOPE_NAME : scope.name, own ? version : scope.version);
          if (!own || dropped === 0) return;
          out.nested(0x1a, () => writeKeyValue(out, "axonize.sdk.dropped_spans", dropped));
        });
        out.raw(scope.spans);
      });
    }
  });
  return out.written();
}

function writeScope(out: Bytes, name: string, scopeVersion: string): void {
  out.text(0x0a, name, 1024);
  if (scopeVersion !== "") out.text(0x12, scopeVersion, 256);
}

/** Counts since the start. Times are epoch nanoseconds in halves. */
export interface Losses {
  readonly sent: number;
  /** Did not fit the buffer. */
  readonly dropped: number;
  /** Refused by the server or given up. */
  readonly lost: number;
  readonly started: readonly [high: number, low: number];
  readonly now: readonly [high: number, low: number];
}

/** An ExportMetricsServiceRequest. */
export function encodeLosses(resource: Uint8Array, losses: Losses): Uint8Array {
  const out = new Bytes(resource.length + 1024);
  const exporter = { "otel.component.type": "otlp_exporter" };
  out.nested(0x0a, () => {
    out.raw(resource);
    out.nested(0x12, () => {
      out.nested(0x0a, () => writeScope(out, SCOPE_NAME, version));
      writeSum(out, "otel.sdk.processor.span.processed", losses, [
        {
          value: losses.dropped,
          attributes: {
            "otel.component.type": "batching_span_processor",
            "error.type": "queue_full",
          },
        },
      ]);
      writeSum(out, "otel.sdk.exporter.span.exported", losses, [
        { value: losses.sent, attributes: exporter },
        { value: losses.lost, attributes: { ...exporter, "error.type": "rejected" } },
      ]);
    });
  });
  return out.copy();
}

interface Point {
  readonly value: number;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Field `metrics` of ScopeMetrics: a cumulative, monotonic sum. */
function writeSum(out: Bytes, name: string, losses: Losses, points: readonly Point[]): void {
  out.nested(0x12, () => {
    out.text(0x0a, name, 256);
    out.text(0x1a, "{span}", 16);
    out.nested(0x3a, () => {
      for (const { value, attributes } of points) {
        out.nested(0x0a, () => {
          out.byte(0x11);
          out.fixed64(...losses.started);
          out.byte(0x19);
          out.fixed64(...losses.now);
          // as_int is an sfixed64.
          out.byte(0x31);
          out.fixed64(Math.floor(value / 0x1_0000_0000), value);
          for (const [key, text] of Object.entries(attributes)) {
            out.nested(0x3a, () => writeKeyValue(out, key, text));
          }
        });
      }
      for (const byte of [0x10, 2, 0x18, 1]) out.byte(byte);
    });
  });
}
