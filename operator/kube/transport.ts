/**
 * HTTP to one API server as one user: one connection pool, JSON, credentials that rotate, the client's
 * rate, `Retry-After`, and errors with the server's own reason.
 *
 * It knows nothing of objects. A write may carry a guard that runs in the moment in which its bytes are
 * about to leave, after every wait: a process that lost its lease while the request waited sends nothing.
 */
import type { Readable } from "node:stream";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import { Agent, type Dispatcher } from "undici";
import type { ClusterAccess, Credentials } from "./access.ts";
import { ApiError } from "./api-error.ts";
import {
  answerMs,
  maxConnections,
  maxPageBytes,
  maxRetryAfterMs,
  throttledTries,
} from "./limits.ts";
import type { KubeMetrics } from "./metrics.ts";
import type { RateBucket } from "./rate-bucket.ts";

export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly accept?: string;
  readonly contentType?: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Throws: the request must not be sent any more. */
  readonly guard?: () => void;
  /** Most silence before the answer's head, and within its body. Default: 30 s. */
  readonly timeoutMs?: number;
}

export interface Transport {
  /** The answer's JSON. Throws ApiError for everything but 2xx. */
  json<T>(request: KubeRequest): Promise<T>;
  /** The answer's body as it comes; whoever reads it watches for silence. */
  stream(request: KubeRequest): Promise<Readable>;
  close(): Promise<void>;
}

export interface TransportDeps {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  readonly bucket?: RateBucket;
  readonly metrics?: Pick<KubeMetrics, "requests" | "requestSeconds">;
}

export function createTransport(deps: TransportDeps, options: { userAgent: string }): Transport {
  const { bucket } = deps;
  const pool = createPool(deps.access);
  const send = createSend(deps, pool, options.userAgent);

  /** Waits out 429 and asks again once for credentials that were refused or a connection that was stale. */
  const ask = async (request: KubeRequest, isStream: boolean): Promise<Dispatcher.ResponseData> => {
    let isRetried = false;
    for (let tries = 0; ; tries += 1) {
      await bucket?.take(request.signal);
      try {
        const answer = await send(request, { refused: isRetried, isStream });
        if (answer.statusCode < 300) return answer;
        throw await errorOf(answer);
      } catch (error) {
        request.signal?.throwIfAborted();
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 429 && tries < throttledTries) {
          await waitOut(deps, error, request.signal);
          continue;
        }
        const isStale = error.status === 0 && request.method === "GET";
        if (isRetried || !(isStale || error.status === 401)) throw error;
        isRetried = true;
      }
    }
  };
  return {
    async json<T>(request: KubeRequest) {
      const answer = await ask(request, false);
      try {
        const text = await readText(answer.body);
        // What an object looks like is the caller's to know; the server validated it.
        return JSON.parse(text) as T;
      } catch (error) {
        request.signal?.throwIfAborted();
        throw networkError(error);
      }
    },
    async stream(request) {
      const { body } = await ask(request, true);
      return body;
    },
    close: async () => await pool.close(),
  };
}

/** The whole client waits: the server's queue is full for all of our requests alike. */
async function waitOut(
  { bucket, clock }: TransportDeps,
  error: ApiError,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ms = error.retryAfterMs ?? 1000;
  if (bucket === undefined) await clock.sleep(ms, signal);
  else bucket.pause(ms);
}

interface Pool {
  /** The dispatcher for what the credentials are now. */
  get(refused: boolean): Promise<{ agent: Agent; credentials: Credentials }>;
  close(): Promise<void>;
}

function createPool(access: ClusterAccess): Pool {
  let current: { agent: Agent; fingerprint: string } | undefined;
  return {
    async get(refused) {
      const credentials = await access.credentials(refused);
      const fingerprint = JSON.stringify(credentials.tls);
      if (current?.fingerprint !== fingerprint) {
        // The old one ends with its last watch: what runs was let in by the old authority.
        void current?.agent.close();
        const agent = new Agent({
          connections: maxConnections,
          pipelining: 1,
          keepAliveTimeout: 30_000,
          connect: { ...credentials.tls, timeout: 10_000, keepAlive: true },
        });
        current = { agent, fingerprint };
      }
      return { agent: current.agent, credentials };
    },
    async close() {
      await current?.agent.destroy();
    },
  };
}

interface How {
  /** The last credentials were not taken. */
  readonly refused: boolean;
  readonly isStream: boolean;
}

function createSend(
  { access, clock, metrics }: TransportDeps,
  pool: Pool,
  userAgent: string,
): (request: KubeRequest, how: How) => Promise<Dispatcher.ResponseData> {
  const { host, origin, pathname } = new URL(access.url);
  // Some clusters are served below a path.
  const prefix = pathname.replace(/\/$/, "");
  return async (request, { refused, isStream }) => {
    const timeoutMs = request.timeoutMs ?? answerMs;
    const { agent, credentials } = await pool.get(refused);
    const dispatcher = request.guard === undefined ? agent : agent.compose(fence(request.guard));
    const startedMs = clock.monotonic();
    let code = "<error>";
    try {
      const answer = await dispatcher.request({
        origin,
        path: `${prefix}${request.path}${queryOf(request.query)}`,
        method: request.method,
        headers: {
          ...credentials.headers,
          accept: request.accept ?? "application/json",
          "user-agent": userAgent,
          ...(request.body === undefined
            ? {}
            : { "content-type": request.contentType ?? "application/json" }),
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
        headersTimeout: timeoutMs,
        bodyTimeout: isStream ? 0 : timeoutMs,
      });
      code = String(answer.statusCode);
      return answer;
    } catch (error) {
      request.signal?.throwIfAborted();
      throw error instanceof ApiError ? error : networkError(error);
    } finally {
      metrics?.requests.inc({ code, method: request.method, host });
      const seconds = (clock.monotonic() - startedMs) / 1000;
      metrics?.requestSeconds.observe({ verb: request.method, host }, seconds);
    }
  };
}

/** Runs the guard when the request has its connection and is about to be written. */
function fence(guard: () => void): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) =>
    dispatch(options, {
      onRequestStart: (controller, context) => {
        try {
          guard();
        } catch (error) {
          // The client hands it to the caller as the request's error.
          controller.abort(error instanceof Error ? error : new Error(errorMessage(error)));
          return;
        }
        handler.onRequestStart?.(controller, context);
      },
      onRequestUpgrade: (...args) => handler.onRequestUpgrade?.(...args),
      onResponseStart: (...args) => handler.onResponseStart?.(...args),
      onResponseData: (...args) => handler.onResponseData?.(...args),
      onResponseEnd: (...args) => handler.onResponseEnd?.(...args),
      onResponseError: (...args) => handler.onResponseError?.(...args),
    });
}

function queryOf(query: KubeRequest["query"]): string {
  if (query === undefined) return "";
  const entries = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as [string, string]],
  );
  return entries.length === 0 ? "" : `?${new URLSearchParams(entries).toString()}`;
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxPageBytes) throw new Error(`an answer of more than ${maxPageBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** A `Status` object; its fields are checked where they are read. */
interface StatusBody {
  reason?: string;
  message?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: { field?: string; message?: string }[] };
}

async function errorOf(answer: Dispatcher.ResponseData): Promise<ApiError> {
  const text = await readText(answer.body).catch(() => ""); // the status alone says enough
  let body: StatusBody = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) body = parsed;
  } catch {
    body = { message: text.slice(0, 500) }; // a proxy's page
  }
  const header = Number(answer.headers["retry-after"]);
  return statusError(answer.statusCode, body, header > 0 ? header : undefined);
}

/** Also of a watch's `ERROR` event. */
export function statusError(
  status: number,
  body: StatusBody,
  retryAfterSeconds = body.details?.retryAfterSeconds,
): ApiError {
  return new ApiError(body.message ?? `the API server answered ${status}`, {
    status,
    reason: body.reason ?? "Unknown",
    retryAfterMs:
      retryAfterSeconds === undefined
        ? undefined
        : Math.min(retryAfterSeconds * 1000, maxRetryAfterMs),
    causes: body.details?.causes,
  });
}

export const networkError = (cause: unknown): ApiError =>
  new ApiError(`the API server gave no answer: ${errorMessage(cause)}`, {
    status: 0,
    reason: "Network",
    cause,
  });
