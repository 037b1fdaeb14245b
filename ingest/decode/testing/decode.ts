/**
 * Decodes requests and reads the blocks back, for tests of decoding and normalising.
 */
import type { DecodeResult, RequestContext } from "../decoder.ts";
import { createTraceDecoder } from "../trace-decoder.ts";
import { encode, keyValues, type Request, type Span } from "./otlp.ts";
import { readNative } from "./read-native.ts";

/** 2026-01-01T00:00:00Z, so that tests need no clock. */
export const nowMs = 1_767_225_600_000;
export const nowNs = BigInt(nowMs) * 1_000_000n;

export const context: RequestContext = {
  tenantNum: 1,
  capture: "Full",
  retentionClass: 30,
  payloadRetentionClass: 30,
  receivedMs: nowMs + 1000,
};

export interface Decoded {
  result: DecodeResult;
  spans: Record<string, unknown>[];
  payloads: Record<string, unknown>[];
  tables: Record<string, Record<string, unknown>[]>;
}

export function decodeBytes(
  body: Uint8Array,
  options: { json?: boolean; context?: Partial<RequestContext> } = {},
): Decoded {
  const decoder = createTraceDecoder({ seed: 1 });
  const where = { ...context, ...options.context };
  const result =
    options.json === true ? decoder.decodeJson(body, where) : decoder.decodeProtobuf(body, where);
  const tables: Decoded["tables"] = {};
  for (const { table, bytes } of decoder.take()) {
    tables[table] = [...(tables[table] ?? []), ...readNative(bytes)];
  }
  return {
    result,
    tables,
    spans: tables["spans"] ?? [],
    payloads: tables["span_payloads"] ?? [],
  };
}

export function decode(request: Request, where: Partial<RequestContext> = {}): Decoded {
  return decodeBytes(encode(request), { context: where });
}

/** A span of 2 s with sound ids, changed by `more`. */
export function span(more: Partial<Span> = {}): Span {
  return {
    traceId: "0102030405060708090a0b0c0d0e0f10",
    spanId: "a1a2a3a4a5a6a7a8",
    name: "s",
    startTimeUnixNano: String(nowNs),
    endTimeUnixNano: String(nowNs + 2_000_000_000n),
    ...more,
  };
}

export function requestOf(
  spans: Span[],
  more: { resource?: Record<string, unknown>; scope?: string } = {},
): Request {
  return {
    resourceSpans: [
      {
        resource: { attributes: keyValues(more.resource ?? { "service.name": "svc" }) },
        scopeSpans: [{ scope: { name: more.scope ?? "", version: "1" }, spans }],
      },
    ],
  };
}
