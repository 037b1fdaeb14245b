/**
 * OTLP over gRPC: the three Export methods as unary calls on node:http2, without generated code.
 *
 * Not on grpc-js, whose server hands over a call only when its whole message is in memory, twice:
 * here a key is checked at the headers, a body waits in the socket while memory is short, and every
 * body and connection has its time. grpc-js is the client of the tests. No TLS. The one streaming call,
 * an agent's, is handed over as it comes (`agents/`).
 */
import {
  constants,
  createServer,
  type ServerHttp2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { createServer as createTcpServer, type Socket } from "node:net";
import { reportMethod } from "@axonize/core/contract/agent";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { credentialOf, isLoopbackAddress, type Door } from "./door.ts";
import { readMessage, sendOutcome } from "./grpc-message.ts";
import { createSessions } from "./grpc-sessions.ts";
import { connectionLimit, listenOn } from "./listen.ts";
import { logsRefusal, refused, type Outcome, type Signal } from "./outcome.ts";
import { sniffProtocol } from "./sniff.ts";
import type { Peers } from "./peers.ts";
import type { Receiver, ReceiverOptions } from "./receiver.ts";
import { refuseMethod } from "./wrong-path.ts";

const methods: Readonly<Record<string, Signal | "logs">> = {
  "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
  "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
  "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
};

export interface GrpcDeps {
  door: Door;
  peers: Peers;
  /** Serves an agent's stream to its end. */
  agents: { serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> };
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}

export async function createGrpcReceiver(
  deps: GrpcDeps,
  options: ReceiverOptions,
): Promise<Receiver> {
  const { clock, log, metrics } = deps;
  const abort = new AbortController();
  const sockets = new Set<Socket>();
  const sessions = createSessions({ clock, metrics });
  const http2 = createServer({
    settings: {
      initialWindowSize: limits.streamWindowBytes,
      maxConcurrentStreams: limits.streamsPerConnection,
      maxHeaderListSize: limits.headerBytes,
      enablePush: false,
    },
  });
  http2.on("session", (session) => sessions.add(session));
  http2.on("stream", (stream, headers) => {
    // A client that goes away is no error of ours.
    stream.on("error", () => undefined);
    const isAgent = headers[":path"] === reportMethod;
    const end = sessions.began(stream, { isLong: isAgent });
    (isAgent ? deps.agents.serve(stream, headers) : serve(deps, options, { stream, headers }))
      .catch((error: unknown) => {
        log.error({ event: "grpc.failed", reason: errorMessage(error), err: error });
        stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      })
      .finally(end);
  });
  const tcp = createTcpServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
  tcp.maxConnections = connectionLimit();
  tcp.on("drop", () => metrics.connectionsClosed.inc({ transport: "grpc", reason: "full" }));
  tcp.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
    sniffProtocol(socket, {
      clock,
      onHttp2: () => http2.emit("connection", socket),
      onOther: (reason) => metrics.connectionsClosed.inc({ transport: "grpc", reason }),
    });
  });
  const address = await listenOn(tcp, {
    listen: options.listen,
    purpose: "OTLP over gRPC",
    variable: "AXONIZE_OTLP_GRPC_LISTEN",
  });
  const sweep = every(
    {
      clock,
      ms: limits.sweepMs,
      signal: abort.signal,
      onError: (error) => log.error({ event: "grpc.sweep", err: error }),
    },
    () => sessions.sweep(),
  );
  return {
    address,
    drain: () => sessions.goAway(),
    stop: async () => {
      tcp.close();
      await sessions.drain(options.drainMs ?? limits.drainMs);
      for (const socket of sockets) socket.destroy();
      abort.abort();
      await sweep;
    },
  };
}

/** One call. Resolves when its answer is on the way. */
async function serve(
  deps: GrpcDeps,
  options: ReceiverOptions,
  call: { stream: ServerHttp2Stream; headers: IncomingHttpHeaders },
): Promise<void> {
  const { stream, headers } = call;
  if (!/^application\/grpc(\+proto)?(;|$)/.test(headers["content-type"] ?? "")) {
    stream.respond({ ":status": 415, "content-type": "text/plain" });
    stream.end("This port takes OTLP over gRPC; OTLP over HTTP has a port of its own (4318).\n");
    return;
  }
  const path = headers[":path"] ?? "";
  const method = methods[path];
  const finish = (outcome: Outcome): void => {
    deps.door.count({ signal: method, transport: "grpc" }, outcome);
    sendOutcome(stream, outcome, method === "metrics" ? "metrics" : "traces");
  };
  if (method === undefined) {
    finish(refuseMethod(path));
    return;
  }
  if (method === "logs") {
    finish(logsRefusal);
    return;
  }
  const encoding = headers["grpc-encoding"] ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip") {
    finish(refused("unsupported-media", "Only gzip compression is taken, or none."));
    return;
  }
  const ticket = await deps.door.enter({
    transport: "grpc",
    signal: method,
    encoding: "protobuf",
    credential: credentialOf(headers.authorization, text(headers["x-axonize-key"])),
    tenantHint: text(headers["x-axonize-tenant"]),
    peerLoopback:
      options.keylessLoopback && isLoopbackAddress(stream.session?.socket.remoteAddress),
    peer: await deps.peers.of(stream.session?.socket),
    length: undefined,
  });
  if (ticket.kind === "refused") {
    finish(ticket);
    return;
  }
  const message = await readMessage(stream, { ticket, gzip: encoding === "gzip" });
  if (message.kind === "gone") ticket.cancel();
  else if (message.kind === "refused") {
    ticket.cancel();
    finish(message);
  } else finish(await ticket.submit(message.body, { gzip: message.gzip }));
}

const text = (header: string | string[] | undefined): string | undefined =>
  typeof header === "string" ? header : header?.[0];
