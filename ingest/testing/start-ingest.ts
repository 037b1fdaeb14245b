/**
 * Ingest for tests: real servers on free ports over the stores that a test gives it, with clients
 * for both transports.
 */
import { connect } from "node:net";
import {
  Client,
  compressionAlgorithms,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { createAccess, type Access } from "@axonize/core/runtime/access";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { silentLog, type Log } from "@axonize/core/runtime/log";
import { createRegistry, type Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { createIngest, type Ingest, type IngestConfig } from "../app.ts";

export const adminKey = "admin-key-of-the-tests-0123456789";

export interface TestIngest extends AsyncDisposable {
  ingest: Ingest;
  access: Access;
  registry: Registry;
  post(
    path: string,
    body: string | Uint8Array,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Response>;
  grpcPort: number;
  httpPort: number;
}

export async function startIngest(
  stores: { clickhouse: ClickHouseClient; sql: Sql },
  options: Partial<IngestConfig> & { clock?: Clock; log?: Log } = {},
): Promise<TestIngest> {
  const clock = options.clock ?? systemClock;
  const log = options.log ?? silentLog;
  const { clickhouse, sql } = stores;
  const access = await createAccess(
    { sql, clock: systemClock, log },
    { adminKey, loopbackTenant: "default" },
  );
  const registry = createRegistry();
  const ingest = await createIngest(
    { clickhouse, sql, access, clock, log, registry },
    {
      grpcListen: { host: "127.0.0.1", port: 0 },
      httpListen: { host: "127.0.0.1", port: 0 },
      keylessLoopback: options.keylessLoopback ?? true,
      version: "test",
      instance: "test",
      ...(options.memoryBytes === undefined ? {} : { memoryBytes: options.memoryBytes }),
      ...(options.agents === undefined ? {} : { agents: options.agents }),
    },
  );
  const httpPort = ingest.httpAddress.port;
  return {
    ingest,
    access,
    registry,
    httpPort,
    grpcPort: ingest.grpcAddress.port,
    post: async (path, body, headers = {}) =>
      await fetch(`http://127.0.0.1:${httpPort}${path}`, {
        method: "POST",
        headers: { "content-type": "application/x-protobuf", ...headers },
        body: typeof body === "string" ? body : new Uint8Array(body),
      }),
    [Symbol.asyncDispose]: async () => {
      await ingest[Symbol.asyncDispose]();
      await access[Symbol.asyncDispose]();
    },
  };
}

export interface GrpcAnswer {
  code: number;
  message: string;
  body: Buffer | undefined;
  /** The google.rpc.Status of a refusal. */
  details: Buffer | undefined;
}

/** The real gRPC client, with the bytes given and taken as they are. */
export function grpcClient(port: number): {
  client: Client;
  export(
    service: string,
    body: Uint8Array,
    options?: { metadata?: Readonly<Record<string, string>>; gzip?: boolean },
  ): Promise<GrpcAnswer>;
} {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const gzipClient = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.default_compression_algorithm": compressionAlgorithms.gzip,
  });
  return {
    client,
    export: async (service, body, options = {}) =>
      await new Promise((resolve) => {
        const metadata = new Metadata();
        for (const [key, value] of Object.entries(options.metadata ?? {})) metadata.set(key, value);
        (options.gzip === true ? gzipClient : client).makeUnaryRequest(
          `/opentelemetry.proto.collector.${service}/Export`,
          (bytes: Uint8Array) => Buffer.from(bytes),
          (bytes: Buffer) => bytes,
          body,
          metadata,
          { deadline: Date.now() + 20_000 },
          (error: ServiceError | null, answer?: Buffer) => {
            const details = error?.metadata.get("grpc-status-details-bin")[0];
            resolve({
              code: error?.code ?? 0,
              message: error?.details ?? "",
              body: answer,
              details: Buffer.isBuffer(details) ? details : undefined,
            });
          },
        );
      }),
  };
}

/** Sends raw bytes and gives back what comes until the peer closes, or until `ms` have passed. */
export async function rawExchange(
  port: number,
  bytes: Uint8Array | string,
  ms = 5_000,
): Promise<{ text: string; closed: boolean }> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, closed });
    };
    const timer = setTimeout(() => finish(false), ms);
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => finish(true));
    socket.on("close", () => finish(true));
  });
}

/** Polls until `check` gives a value; fails after `ms`. */
export async function eventually<T>(
  check: () => Promise<T | undefined> | T | undefined,
  ms = 10_000,
): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms`);
    await systemClock.sleep(10);
  }
}
