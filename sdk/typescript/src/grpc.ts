/**
 * OTLP over gRPC: one unary call at a time on a kept HTTP/2 session of Node's own. Maps every way a
 * call can end to an Outcome; which of them may be tried again follows the OTLP specification's table.
 */
import { readFileSync } from "node:fs";
import { connect, constants, sensitiveHeaders } from "node:http2";
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";
import { authorityOf, type Config } from "./config.ts";
import { ANSWER_BYTES_MAX } from "./limits.ts";
import {
  accepted,
  boundedDelay,
  failed,
  readPartialSuccess,
  readRetryDelay,
  type Client,
  type Outcome,
  type Signal,
} from "./outcome.ts";
import { version } from "./version.ts";

const paths: Record<Signal, string> = {
  traces: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
  metrics: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};
const codes = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];
/** RESOURCE_EXHAUSTED strictly only with RetryInfo; our own backoff makes trying it without harmless,
 * and losing the batch is worse. */
const retryable = new Set([1, 4, 8, 10, 11, 14, 15]);

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Ended without an answer. */
class Broken extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function createGrpcClient(config: Config, now: () => number): Client {
  const { endpoint } = config;
  const authority = authorityOf(endpoint);
  let session: ClientHttp2Session | undefined;

  const close = (): void => {
    session?.destroy();
    session = undefined;
  };
  const open = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const made = connect(`${endpoint.tls ? "https" : "http"}://${authority}`, {
      settings: { enablePush: false },
      ...(config.caFile === undefined ? {} : { ca: readFileSync(config.caFile) }),
    });
    // Calls on it fail with the same error and tell; an idle session may die in silence.
    made.on("error", () => made.destroy());
    made.on("goaway", () => made.close());
    // Whoever waits for a flush keeps the thread alive, not the connection.
    made.unref();
    session = made;
    return made;
  };
  const head = (signal: Signal, timeoutMs: number): OutgoingHttpHeaders => ({
    ":method": "POST",
    ":path": paths[signal],
    te: "trailers",
    "content-type": "application/grpc",
    "user-agent": `axonize-node/${version}`,
    "grpc-timeout": `${Math.min(Math.max(1, Math.floor(timeoutMs)), 99_999_999)}m`,
    ...(config.compress ? { "grpc-encoding": "gzip" } : {}),
    [sensitiveHeaders]: ["authorization", "x-axonize-key"],
  });

  const attempt = async (
    signal: Signal,
    message: Uint8Array,
    headers: Config["headers"],
    deadlineMs: number,
  ): Promise<Outcome> => {
    const leftMs = deadlineMs - now();
    if (leftMs <= 0) return failed("timeout", "the server did not answer in time", true);
    try {
      const request = { ...head(signal, leftMs), ...Object.fromEntries(headers) };
      return outcomeOf(await call(open(), request, message, leftMs), authority);
    } catch (error) {
      // Whatever state the connection is in, the next attempt gets another.
      close();
      const reason = error instanceof Broken ? error.reason : "connect";
      return failed(reason, `no answer from ${authority}: ${messageOf(error)}`, true);
    }
  };

  return {
    close,
    async send(signal, body, headers, deadlineMs) {
      const message = frame(body, config.compress);
      const fresh = session === undefined || session.closed || session.destroyed;
      const outcome = await attempt(signal, message, headers, deadlineMs);
      if (fresh || outcome.ok || !["connection", "connect"].includes(outcome.cause)) return outcome;
      // A kept connection may have died of old age; that says nothing about the server.
      return await attempt(signal, message, headers, deadlineMs);
    },
  };
}

/** Node wraps what happened to the connection into the cancelling of a call. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** gRPC's five bytes before a message. */
function frame(body: Uint8Array, compress: boolean): Buffer {
  const content = compress ? gzipSync(body, { level: 1 }) : body;
  const message = Buffer.allocUnsafe(5 + content.length);
  message[0] = compress ? 1 : 0;
  message.writeUInt32BE(content.length, 1);
  message.set(content, 5);
  return message;
}

async function call(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  message: Uint8Array,
  timeoutMs: number,
): Promise<Answer> {
  const stream = session.request(headers);
  const answer: IncomingHttpHeaders = {};
  const parts: Buffer[] = [];
  let size = 0;
  return await new Promise<Answer>((resolve, reject) => {
    const end = (run: () => void): void => {
      clearTimeout(timer);
      run();
      if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
    };
    const timer = setTimeout(() => {
      end(() => reject(new Broken("timeout", "the server did not answer in time")));
      session.destroy();
    }, timeoutMs).unref();
    stream.on("response", (received) => Object.assign(answer, received));
    stream.on("trailers", (received) => Object.assign(answer, received));
    stream.on("data", (part: Buffer) => {
      size += part.length;
      if (size <= ANSWER_BYTES_MAX) parts.push(part);
      else end(() => reject(new Broken("protocol", "the answer is too long")));
    });
    stream.on("error", (error) => end(() => reject(new Broken("connection", messageOf(error)))));
    stream.on("close", () => {
      end(() => {
        if (answer[":status"] !== undefined)
          resolve({ headers: answer, body: Buffer.concat(parts) });
        else reject(new Broken("connection", "the server closed the connection"));
      });
    });
    stream.end(message);
  });
}

function outcomeOf({ headers, body }: Answer, authority: string): Outcome {
  const text = headers["grpc-status"];
  const code = typeof text === "string" && /^\d{1,2}$/.test(text) ? Number(text) : -1;
  const name = codes[code];
  if (name === undefined) {
    const status = Number(headers[":status"]);
    return failed(
      "protocol",
      `no gRPC status from ${authority} (HTTP ${status})`,
      [429, 502, 503, 504].includes(status),
    );
  }
  if (code === 0) {
    const plain = body.length >= 5 && body[0] === 0;
    const { rejected, reason } = readPartialSuccess(plain ? body.subarray(5) : Buffer.alloc(0));
    return accepted(rejected, `the server rejected ${rejected} spans: ${reason}`);
  }
  const said = headers["grpc-message"];
  return failed(
    name,
    `${authority} answers ${name}: ${unescaped(typeof said === "string" ? said : "")}`,
    retryable.has(code),
    delayOf(headers),
  );
}

function delayOf(headers: IncomingHttpHeaders): number | undefined {
  const details = headers["grpc-status-details-bin"];
  if (typeof details === "string") return readRetryDelay(Buffer.from(details, "base64"));
  const pushback = headers["grpc-retry-pushback-ms"];
  return typeof pushback === "string" && /^\d{1,9}$/.test(pushback)
    ? boundedDelay(Number(pushback))
    : undefined;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text).slice(0, 300);
  } catch {
    // Not percent-encoded as gRPC asks: as it came.
    return text.slice(0, 300);
  }
}
