/**
 * Sends spans of a ring to ingest under the ring's own key: one OTLP/gRPC call, never with the agent's
 * credential. Which failures may be tried again is the OTLP specification's table.
 */
import { Client, credentials, Metadata, status as codes } from "@grpc/grpc-js";
import type { Clock } from "@axonize/core/runtime/clock";
import { requestOf, type RingOwner } from "./format.ts";
import * as limits from "./limits.ts";

/** `later`: this ring may be tried again; `unreachable`: so may all, and nobody answers now. */
export type SendOutcome = "taken" | "refused" | "later" | "unreachable";

export interface SpanSender extends Disposable {
  send(owner: RingOwner, spans: readonly Buffer[], signal: AbortSignal): Promise<SendOutcome>;
}

const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const unreachable: ReadonlySet<number> = new Set([codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED]);
const later: ReadonlySet<number> = new Set([
  codes.CANCELLED,
  codes.RESOURCE_EXHAUSTED,
  codes.ABORTED,
  codes.OUT_OF_RANGE,
  codes.DATA_LOSS,
]);

/** `endpoint` as the agent's own: `host:port`, `grpc://` or `grpcs://`. */
export function createSpanSender(clock: Clock, endpoint: string): SpanSender {
  const secure = endpoint.startsWith("grpcs://");
  const client = new Client(
    endpoint.replace(/^grpcs?:\/\//, ""),
    secure ? credentials.createSsl() : credentials.createInsecure(),
    { "grpc.enable_retries": 0, "grpc.use_local_subchannel_pool": 1 },
  );
  const same = (bytes: Buffer): Buffer => bytes;
  return {
    async send(owner, spans, signal) {
      const metadata = new Metadata();
      for (const [name, value] of owner.credentials) metadata.set(name, value);
      const { promise, resolve } = Promise.withResolvers<SendOutcome>();
      const call = client.makeUnaryRequest(
        method,
        same,
        same,
        requestOf(owner, spans),
        metadata,
        { deadline: clock.now() + limits.sendMs },
        (error) => resolve(error ? outcomeOf(error.code) : "taken"),
      );
      const cancel = (): void => call.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      if (signal.aborted) cancel();
      try {
        return await promise;
      } finally {
        signal.removeEventListener("abort", cancel);
      }
    },
    [Symbol.dispose]: () => client.close(),
  };
}

function outcomeOf(code: number): SendOutcome {
  if (unreachable.has(code)) return "unreachable";
  return later.has(code) ? "later" : "refused";
}
