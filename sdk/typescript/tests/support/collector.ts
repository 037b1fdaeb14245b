/**
 * A stand-in receiver that speaks OTLP/gRPC (on Node's HTTP/2) and OTLP/HTTP, keeps what it is sent,
 * and answers as a test wishes. Decodes with the official definitions.
 */
import { createServer as createHttpServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { readMetrics, readSpans, type ReadMetric, type ReadSpan } from "./otlp.ts";

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** As it travelled, framing and compression included. */
  bytes: number;
}

/** How to answer one request; `grpcStatus` over gRPC, `status` over HTTP. */
export interface Reply {
  status?: number;
  grpcStatus?: number;
  message?: string;
  headers?: Record<string, string>;
  body?: Uint8Array;
  /** Neither answer nor close. */
  hang?: boolean;
  /** Close the connection instead of answering. */
  cut?: boolean;
}

export interface Collector extends AsyncDisposable {
  /** For `init({ endpoint })`. */
  endpoint: string;
  port: number;
  requests: Received[];
  spans(): ReadSpan[];
  metrics(): ReadMetric[];
  /** Called for each request, before it is kept; nothing means yes. */
  reply: (request: Received, number: number) => Reply | undefined;
  waitForSpans(count: number): Promise<ReadSpan[]>;
}

export async function createCollector(protocol: "grpc" | "http", port = 0): Promise<Collector> {
  const requests: Received[] = [];
  let number = 0;
  const sockets = new Set<Socket>();
  const collector: Pick<Collector, "reply"> = { reply: () => undefined };
  const take = (path: string, headers: IncomingHttpHeaders, raw: Buffer): Reply => {
    const grpc = protocol === "grpc";
    const zipped = grpc ? raw[0] === 1 : headers["content-encoding"] === "gzip";
    const content = grpc ? raw.subarray(5) : raw;
    const body = zipped ? gunzipSync(content) : content;
    const received = { path, headers, body, bytes: raw.length };
    const reply = collector.reply(received, number++) ?? {};
    const taken =
      !reply.hang && !reply.cut && (reply.grpcStatus ?? 0) === 0 && (reply.status ?? 200) < 300;
    if (taken) requests.push(received);
    return reply;
  };
  const server: Server = protocol === "grpc" ? grpcServer(take) : httpServer(take);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    server.listen(port, "127.0.0.1", resolve);
  });
  const address = server.address() as AddressInfo;
  const spans = (): ReadSpan[] =>
    requests.filter(({ path }) => /trace/i.test(path)).flatMap(({ body }) => readSpans(body));
  return Object.assign(collector, {
    endpoint: `${protocol === "grpc" ? "" : "http://"}127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    spans,
    metrics: () =>
      requests.filter(({ path }) => /metric/i.test(path)).flatMap(({ body }) => readMetrics(body)),
    waitForSpans: async (count: number) =>
      await until(() => {
        const found = spans();
        return found.length >= count ? found : undefined;
      }, `${count} spans`),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  });
}

type Take = (path: string, headers: IncomingHttpHeaders, raw: Buffer) => Reply;

function grpcServer(take: Take): Server {
  const server = createHttp2Server();
  server.on("sessionError", () => undefined);
  server.on("stream", (stream, headers) => {
    const parts: Buffer[] = [];
    stream.on("error", () => undefined);
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => {
      const reply = take(String(headers[":path"]), headers, Buffer.concat(parts));
      if (reply.hang === true || stream.destroyed) return;
      if (reply.cut === true) {
        stream.session?.destroy();
        return;
      }
      stream.respond(
        { ":status": reply.status ?? 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => {
        stream.sendTrailers({
          "grpc-status": String(reply.grpcStatus ?? 0),
          ...(reply.message === undefined
            ? {}
            : { "grpc-message": encodeURIComponent(reply.message) }),
          ...reply.headers,
        });
      });
      const body = reply.body ?? new Uint8Array();
      const frame = Buffer.alloc(5 + body.length);
      frame.writeUInt32BE(body.length, 1);
      frame.set(body, 5);
      stream.end(frame);
    });
  });
  return server;
}

function httpServer(take: Take): Server {
  return createHttpServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const reply = take(request.url ?? "", request.headers, Buffer.concat(parts));
      if (reply.hang === true) return;
      if (reply.cut === true) {
        request.socket.destroy();
        return;
      }
      response.writeHead(reply.status ?? 200, {
        "content-type": "application/x-protobuf",
        ...reply.headers,
      });
      response.end(reply.body ?? new Uint8Array());
    });
  });
}

/** Polls until `look` finds something; machines can be ten times slower than one thinks. */
export async function until<T>(
  look: () => T | undefined,
  what: string,
  limitMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}
