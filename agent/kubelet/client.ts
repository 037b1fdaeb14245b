/**
 * pod-resources v1 over the kubelet's unix socket. One connection that reconnects by itself for ever, also
 * when the socket was removed and made again; mount its directory and not the socket.
 */
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { callTimeoutMs, maxMessageBytes, reconnectFirstMs, reconnectMostMs } from "./limits.ts";
import {
  decodeAllocatable,
  decodeGet,
  decodeList,
  type ContainerDevices,
  type PodResources,
} from "./pod-resources.ts";
import { writeStrings } from "./wire.ts";

/** Why there is no answer. */
export type Refusal =
  | "unavailable" // no socket, or nobody behind it: the kubelet is down
  | "rate_limited" // all clients of the node share 100 calls a second
  | "unimplemented" // an older kubelet
  | "too_large"
  | "unreadable" // not the protocol
  | "failed";

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly refusal: Refusal; readonly detail: string };

export interface PodResourcesClient extends Disposable {
  /** All active pods, also those without devices. No pod uid, random order. */
  list(): Promise<Answer<readonly PodResources[]>>;
  allocatable(): Promise<Answer<readonly ContainerDevices[]>>;
  /** undefined: the kubelet has no such pod, or it has ended. */
  get(namespace: string, pod: string): Promise<Answer<PodResources | undefined>>;
}

export function createPodResourcesClient(
  deps: { clock: Clock },
  options: { socketPath: string },
): PodResourcesClient {
  const client = new Client(`unix:${options.socketPath}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.initial_reconnect_backoff_ms": reconnectFirstMs,
    "grpc.min_reconnect_backoff_ms": reconnectFirstMs,
    "grpc.max_reconnect_backoff_ms": reconnectMostMs,
  });
  const ask = async <T>(
    method: string,
    request: Buffer,
    decode: (bytes: Uint8Array) => T,
  ): Promise<Answer<T>> => {
    // gRPC measures deadlines by the wall clock.
    const deadline = new Date(deps.clock.now() + callTimeoutMs);
    return answerOf(() => call(client, method, request, deadline), decode);
  };
  return {
    list: () => ask("List", Buffer.alloc(0), decodeList),
    allocatable: () => ask("GetAllocatableResources", Buffer.alloc(0), decodeAllocatable),
    async get(namespace, pod) {
      const request = writeStrings([
        [1, pod],
        [2, namespace],
      ]);
      const answer = await ask("Get", request, decodeGet);
      // A kubelet says this with code UNKNOWN, not NOT_FOUND.
      const isGone = !answer.ok && /^pod \S+ in namespace \S+ not found$/.test(answer.detail);
      return isGone ? { ok: true, value: undefined } : answer;
    },
    [Symbol.dispose]: () => client.close(),
  };
}

async function answerOf<T>(
  send: () => Promise<Buffer>,
  decode: (bytes: Uint8Array) => T,
): Promise<Answer<T>> {
  let bytes: Buffer;
  try {
    bytes = await send();
  } catch (error) {
    // The kubelet's absence is part of its life; the caller is told and goes on.
    return { ok: false, ...refusalOf(error) };
  }
  try {
    return { ok: true, value: decode(bytes) };
  } catch (error) {
    // Something else listens there, or the protocol changed.
    return { ok: false, refusal: "unreadable", detail: errorMessage(error) };
  }
}

function call(client: Client, method: string, request: Buffer, deadline: Date): Promise<Buffer> {
  const path = `/v1.PodResourcesLister/${method}`;
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, request, { deadline }, (error, answer) => {
      if (error) reject(error);
      else resolve(answer ?? Buffer.alloc(0));
    });
  });
}

function refusalOf(error: unknown): { refusal: Refusal; detail: string } {
  // Safe: grpc-js rejects a call with a ServiceError only.
  const { code, details } = error as ServiceError;
  return { refusal: refusalOfCode(code, details), detail: details };
}

function refusalOfCode(code: status, details: string): Refusal {
  if (code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) return "unavailable";
  if (code === status.UNIMPLEMENTED) return "unimplemented";
  if (code !== status.RESOURCE_EXHAUSTED) return "failed";
  // gRPC's own limit on a message has the same code as the kubelet's on calls.
  return /larger than max/i.test(details) ? "too_large" : "rate_limited";
}
