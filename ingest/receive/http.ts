/**
 * OTLP over HTTP: `POST /v1/traces`, `/v1/metrics`, `/v1/logs` in protobuf and JSON, on node:http.
 *
 * The key is checked at the headers; a refused body is thrown away unread, within bounds, so that
 * the sender sees the answer. Slow heads and bodies are ended by node:http's own timeouts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";
import { retryAfterSeconds, statusBody, successBody } from "./answer.ts";
import { answerPreflight, isForeignOrigin, setCorsHeaders } from "./cors.ts";
import { credentialOf, isLoopbackAddress, type Door, type Ticket } from "./door.ts";
import { connectionLimit, listenOn } from "./listen.ts";
import {
  logsRefusal,
  refusalCodes,
  refused,
  type Encoding,
  type Outcome,
  type Refused,
  type Signal,
} from "./outcome.ts";
import type { Peers } from "./peers.ts";
import type { Receiver, ReceiverOptions } from "./receiver.ts";
import { refusePath } from "./wrong-path.ts";

interface HttpDeps {
  door: Door;
  peers: Peers;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}

const paths: Readonly<Record<string, Signal | "logs">> = {
  "/v1/traces": "traces",
  "/v1/metrics": "metrics",
  "/v1/logs": "logs",
};

export async function createHttpReceiver(
  deps: HttpDeps,
  options: ReceiverOptions,
): Promise<Receiver> {
  const { log, metrics } = deps;
  let stopping = false;
  const server = createServer({
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.firstBytesMs,
    requestTimeout: limits.bodyMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: limits.sweepMs,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  });
  server.maxConnections = connectionLimit();
  server.on("drop", () => metrics.connectionsClosed.inc({ transport: "http", reason: "full" }));
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    const slow = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
    metrics.connectionsClosed.inc({ transport: "http", reason: slow ? "slow" : "not-http" });
    endConnection(socket, slow);
  });
  const onRequest =
    (continues: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      // A client that goes away is no error of ours.
      response.on("error", () => undefined);
      serve(deps, options, { request, response, continues, isStopping: () => stopping }).catch(
        (error: unknown) => {
          log.error({ event: "http.failed", reason: errorMessage(error), err: error });
          response.destroy();
        },
      );
    };
  server.on("request", onRequest(false));
  server.on("checkContinue", onRequest(true));
  const address = await listenOn(server, {
    listen: options.listen,
    purpose: "OTLP over HTTP",
    variable: "AXONIZE_OTLP_HTTP_LISTEN",
  });
  return {
    address,
    drain: () => {
      stopping = true;
    },
    stop: async () => {
      stopping = true;
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await withinMs(deps.clock, options.drainMs ?? limits.drainMs, closed);
      server.closeAllConnections();
    },
  };
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  /** The client waits for "100 Continue" before it sends the body. */
  continues: boolean;
  /** The server stops: this answer is the connection's last. */
  isStopping: () => boolean;
}

async function serve(deps: HttpDeps, options: ReceiverOptions, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  setCorsHeaders(request, response);
  const path = (request.url ?? "/").replace(/[?#].*$/, "");
  const signal = paths[path];
  if (request.method === "OPTIONS" && signal !== undefined) {
    answerPreflight(request, response);
    return;
  }
  const encoding = encodingOf(request);
  const finish = async (outcome: Outcome): Promise<void> => {
    deps.door.count({ signal, transport: "http" }, outcome);
    await send(deps, exchange, { outcome, signal, encoding: encoding ?? "json" });
  };
  const early =
    signal === undefined
      ? refusePath(path, { method: request.method, encoding })
      : refuseByHead(request, signal, encoding);
  if (early !== undefined || signal === undefined || signal === "logs" || encoding === undefined) {
    await finish(early ?? logsRefusal);
    return;
  }
  const ticket = await deps.door.enter({
    transport: "http",
    signal,
    encoding,
    credential: credentialOf(request.headers.authorization, text(request.headers["x-axonize-key"])),
    tenantHint: text(request.headers["x-axonize-tenant"]),
    // A page from elsewhere must not write into a developer's loopback tenant through the browser.
    peerLoopback:
      options.keylessLoopback &&
      isLoopbackAddress(request.socket.remoteAddress) &&
      !isForeignOrigin(request),
    peer: await deps.peers.of(request.socket),
    length: contentLength(request),
  });
  if (ticket.kind === "refused") {
    await finish(ticket);
    return;
  }
  if (exchange.continues) response.writeContinue();
  const body = await readBody(request, ticket);
  if (body === undefined || "kind" in body) {
    ticket.cancel();
    if (body !== undefined) await finish(body);
    return;
  }
  const gzip = compressionOf(request) === "gzip";
  await finish(await ticket.submit(body, { gzip }));
}

/** What method and headers alone refuse at an endpoint. */
function refuseByHead(
  request: IncomingMessage,
  signal: Signal | "logs",
  encoding: Encoding | undefined,
): Refused | undefined {
  if (request.method !== "POST") {
    return refused("method-not-allowed", "OTLP is sent with POST.");
  }
  if (signal === "logs") return logsRefusal;
  if (encoding === undefined) {
    return refused(
      "unsupported-media",
      "The content type must be application/x-protobuf or application/json.",
    );
  }
  const compression = compressionOf(request);
  if (compression !== "gzip" && compression !== "identity") {
    return refused("unsupported-media", "The content encoding must be gzip, or none.");
  }
  return undefined;
}

function encodingOf(request: IncomingMessage): Encoding | undefined {
  const type = (request.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type === "application/x-protobuf" || type === "application/protobuf") return "protobuf";
  return type === "application/json" ? "json" : undefined;
}

const compressionOf = (request: IncomingMessage): string =>
  (request.headers["content-encoding"] ?? "identity").toLowerCase();

function contentLength(request: IncomingMessage): number | undefined {
  const header = request.headers["content-length"];
  return header === undefined ? undefined : Number(header);
}

const text = (header: string | string[] | undefined): string | undefined =>
  typeof header === "string" ? header : header?.[0];

/** The body, why it is refused, or undefined when the client went away. */
async function readBody(
  request: IncomingMessage,
  ticket: Ticket,
): Promise<Buffer | Refused | undefined> {
  return await new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const settle = (outcome: Buffer | Refused | undefined): void => {
      request.off("data", onData);
      request.pause();
      resolve(outcome);
    };
    const onData = (chunk: Buffer): void => {
      const refusal = ticket.take(chunk.length);
      if (refusal === undefined) chunks.push(chunk);
      else settle(refusal);
    };
    if (request.destroyed) {
      resolve(undefined);
      return;
    }
    request.on("data", onData);
    request.once("end", () => {
      const [first] = chunks;
      settle(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    request.once("error", () => settle(undefined));
    request.once("close", () => settle(undefined));
  });
}

async function send(
  deps: HttpDeps,
  exchange: Exchange,
  answer: { outcome: Outcome; signal: Signal | "logs" | undefined; encoding: Encoding },
): Promise<void> {
  const { request, response } = exchange;
  const { outcome, encoding } = answer;
  if (response.destroyed) return;
  const accepted = outcome.kind === "accepted";
  const body = accepted
    ? successBody(outcome, answer.signal === "metrics" ? "metrics" : "traces", encoding)
    : statusBody(outcome, encoding);
  response.statusCode = accepted ? 200 : refusalCodes[outcome.code].http;
  response.setHeader(
    "content-type",
    encoding === "json" ? "application/json" : "application/x-protobuf",
  );
  response.setHeader("content-length", body.length);
  if (!accepted) {
    if (outcome.retryAfterMs !== undefined) {
      response.setHeader("retry-after", retryAfterSeconds(outcome.retryAfterMs));
    }
    if (refusalCodes[outcome.code].http === 401) response.setHeader("www-authenticate", "Bearer");
    if (outcome.code === "method-not-allowed") response.setHeader("allow", "POST, OPTIONS");
  }
  const unread = !request.complete && !exchange.continues;
  // After a refused "Expect" the client either sends no body or closes: nothing to wait for.
  if (!request.complete || exchange.isStopping()) response.setHeader("connection", "close");
  if (!unread) {
    response.end(body);
    return;
  }
  response.write(body);
  await linger(deps.clock, request);
  response.end();
}

/** Throws the rest of a refused body away: closing at once would reset the connection. */
async function linger(clock: Clock, request: IncomingMessage): Promise<void> {
  const abort = new AbortController();
  let read = 0;
  request.on("data", (chunk: Buffer) => {
    read += chunk.length;
    if (read > limits.lingerBytes) abort.abort();
  });
  request.once("end", () => abort.abort());
  request.once("close", () => abort.abort());
  request.resume();
  await clock.sleep(limits.lingerMs, abort.signal).catch(() => undefined); // read to its end
}

function endConnection(socket: Socket, slow: boolean): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status = slow ? "408 Request Timeout" : "400 Bad Request";
  const body = slow
    ? "The request took too long to arrive.\n"
    : "This port takes OTLP over HTTP/1.1; OTLP over gRPC has a port of its own (4317).\n";
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroySoon(),
  );
}
