/**
 * OTLP over HTTP/1.1: POST of protobuf on a kept connection, with one deadline for the whole exchange.
 * Answers are bounded; redirects are not followed (a key must not travel to where a server points).
 */
import { readFileSync } from "node:fs";
import {
  Agent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import { Agent as TlsAgent, request as httpsRequest } from "node:https";
import { gzipSync } from "node:zlib";
import { authorityOf, type Config } from "./config.ts";
import { ANSWER_BYTES_MAX } from "./limits.ts";
import {
  accepted,
  boundedDelay,
  failed,
  readPartialSuccess,
  type Client,
  type Outcome,
  type Signal,
} from "./outcome.ts";
import { version } from "./version.ts";

/** OTLP/HTTP: 429, 502, 503 and 504; and 408, which says the same. */
const retryable = new Set([408, 429, 502, 503, 504]);

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export function createHttpClient(config: Config, now: () => number): Client {
  const { endpoint } = config;
  const authority = authorityOf(endpoint);
  const agent = endpoint.tls
    ? new TlsAgent({
        keepAlive: true,
        maxSockets: 1,
        ...(config.caFile === undefined ? {} : { ca: readFileSync(config.caFile) }),
      })
    : new Agent({ keepAlive: true, maxSockets: 1 });
  const options = (signal: Signal): RequestOptions => ({
    method: "POST",
    host: endpoint.host,
    port: endpoint.port,
    path: signal === "traces" ? endpoint.path : endpoint.path.replace(/traces$/, "metrics"),
    agent,
  });
  const attempt = async (
    signal: Signal,
    body: Uint8Array,
    headers: Config["headers"],
    deadlineMs: number,
  ): Promise<Outcome & { reused: boolean }> => {
    const leftMs = deadlineMs - now();
    const reuse = { reused: false };
    const all = {
      "user-agent": `axonize-node/${version}`,
      "content-type": "application/x-protobuf",
      "content-length": body.length,
      ...(config.compress ? { "content-encoding": "gzip" } : {}),
      ...Object.fromEntries(headers),
    };
    try {
      const send = endpoint.tls ? httpsRequest : httpRequest;
      const request = { ...options(signal), headers: all };
      const answer = await exchange(send, request, body, leftMs, reuse);
      return { ...outcomeOf(answer, authority), ...reuse };
    } catch (error) {
      // Every error of Node's client means that no answer came.
      const text = error instanceof Error ? error.message : String(error);
      const cause = text === timedOut ? "timeout" : "connection";
      return { ...failed(cause, `no answer from ${authority}: ${text}`, true), ...reuse };
    }
  };
  return {
    close: () => agent.destroy(),
    async send(signal, body, headers, deadlineMs) {
      const content = config.compress ? gzipSync(body, { level: 1 }) : body;
      const outcome = await attempt(signal, content, headers, deadlineMs);
      if (!outcome.reused || outcome.cause !== "connection") return outcome;
      // A kept connection may have died of old age; that says nothing about the server.
      return await attempt(signal, content, headers, deadlineMs);
    },
  };
}

const timedOut = "the server did not answer in time";

async function exchange(
  send: typeof httpRequest,
  options: RequestOptions,
  body: Uint8Array,
  timeoutMs: number,
  reuse: { reused: boolean },
): Promise<Answer> {
  return await new Promise<Answer>((resolve, reject) => {
    const request = send(options);
    // Whoever waits for a flush keeps the thread alive, not the request.
    request.on("socket", (socket) => socket.unref());
    const tooLate = (): void => void request.destroy(new Error(timedOut));
    const timer = setTimeout(tooLate, Math.max(0, timeoutMs)).unref();
    const fail = (error: Error): void => {
      clearTimeout(timer);
      reuse.reused = request.reusedSocket;
      reject(error);
    };
    request.on("error", fail);
    request.on("response", (response) => {
      const parts: Buffer[] = [];
      let size = 0;
      response.on("data", (part: Buffer) => {
        size += part.length;
        if (size <= ANSWER_BYTES_MAX) parts.push(part);
        else request.destroy(new Error("the answer is too long"));
      });
      response.on("error", fail);
      response.on("end", () => {
        clearTimeout(timer);
        const { headers, statusCode = 0 } = response;
        resolve({ status: statusCode, headers, body: Buffer.concat(parts) });
      });
    });
    request.end(body);
  });
}

function outcomeOf({ status, headers, body }: Answer, authority: string): Outcome {
  if (status >= 200 && status < 300) {
    const isProtobuf = headers["content-type"]?.includes("protobuf") ?? false;
    const { rejected, reason } = readPartialSuccess(isProtobuf ? body : Buffer.alloc(0));
    return accepted(rejected, `the server rejected ${rejected} spans: ${reason}`);
  }
  return failed(
    `HTTP ${status}`,
    `${authority} answers HTTP ${status}`,
    retryable.has(status),
    delayOf(headers["retry-after"]),
  );
}

/** Retry-After as seconds or as a date. */
function delayOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return boundedDelay(Number(text) * 1000);
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : boundedDelay(atMs - Date.now());
}
