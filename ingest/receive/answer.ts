/**
 * The bytes of OTLP answers: Export…ServiceResponse with its partial success, google.rpc.Status and
 * RetryInfo, in protobuf and in JSON. All of them are a handful of fields, written by hand.
 */
import {
  refusalCodes,
  type Accepted,
  type Encoding,
  type Refused,
  type Signal,
} from "./outcome.ts";

/** An answer without anything rejected is an empty message: `partial_success` stays unset. */
export function successBody(accepted: Accepted, signal: Signal, encoding: Encoding): Buffer {
  if (encoding === "json") return Buffer.from(JSON.stringify(successJson(accepted, signal)));
  if (accepted.rejected === 0 && accepted.message === "") return Buffer.alloc(0);
  // ExportTracePartialSuccess and ExportMetricsPartialSuccess: 1 = rejected, 2 = error_message.
  const partial = Buffer.concat([
    accepted.rejected === 0 ? Buffer.alloc(0) : varintField(1, accepted.rejected),
    lengthField(2, Buffer.from(accepted.message)),
  ]);
  return lengthField(1, partial);
}

function successJson(accepted: Accepted, signal: Signal): object {
  if (accepted.rejected === 0 && accepted.message === "") return {};
  const name = signal === "traces" ? "rejectedSpans" : "rejectedDataPoints";
  return {
    partialSuccess: { [name]: String(accepted.rejected), errorMessage: accepted.message },
  };
}

/** google.rpc.Status, with RetryInfo in its details where a retry makes sense. */
export function statusBody(refusal: Refused, encoding: Encoding): Buffer {
  const code = refusalCodes[refusal.code].grpc;
  if (encoding === "json") {
    return Buffer.from(
      JSON.stringify({
        code,
        message: refusal.message,
        ...detailsJson(refusal),
      }),
    );
  }
  return Buffer.concat([
    varintField(1, code),
    lengthField(2, Buffer.from(refusal.message)),
    refusal.retryAfterMs === undefined
      ? Buffer.alloc(0)
      : lengthField(3, retryInfo(refusal.retryAfterMs)),
    refusal.code === "key-not-injected" ? lengthField(3, errorInfo(refusal)) : Buffer.alloc(0),
  ]);
}

function detailsJson(refusal: Refused): object {
  if (refusal.retryAfterMs !== undefined) {
    const retryDelay = `${(refusal.retryAfterMs / 1000).toFixed(3)}s`;
    return { details: [{ "@type": retryInfoType, retryDelay }] };
  }
  if (refusal.code !== "key-not-injected") return {};
  return { details: [{ "@type": errorInfoType, reason: reasonOf(refusal), domain }] };
}

export const retryAfterSeconds = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1000)));

/** What a program can tell this refusal by, where others share its status: `KEY_NOT_INJECTED`. */
const reasonOf = (refusal: Refused): string => refusal.code.replaceAll("-", "_").toUpperCase();
const domain = "axonize.io";
const errorInfoType = "type.googleapis.com/google.rpc.ErrorInfo";

/** google.protobuf.Any of ErrorInfo { 1: reason, 2: domain }. */
function errorInfo(refusal: Refused): Buffer {
  const info = [
    lengthField(1, Buffer.from(reasonOf(refusal))),
    lengthField(2, Buffer.from(domain)),
  ];
  return Buffer.concat([
    lengthField(1, Buffer.from(errorInfoType)),
    lengthField(2, Buffer.concat(info)),
  ]);
}

const retryInfoType = "type.googleapis.com/google.rpc.RetryInfo";

/** google.protobuf.Any of RetryInfo { 1: Duration { 1: seconds, 2: nanos } }. */
function retryInfo(ms: number): Buffer {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  const duration = Buffer.concat([
    seconds === 0 ? Buffer.alloc(0) : varintField(1, seconds),
    nanos === 0 ? Buffer.alloc(0) : varintField(2, nanos),
  ]);
  return Buffer.concat([
    lengthField(1, Buffer.from(retryInfoType)),
    lengthField(2, lengthField(1, duration)),
  ]);
}

const varintField = (field: number, value: number): Buffer =>
  Buffer.concat([varint(field * 8), varint(value)]);

const lengthField = (field: number, bytes: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(bytes.length), bytes]);

/** `value`: a non-negative safe integer. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
