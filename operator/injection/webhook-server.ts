/**
 * The HTTPS server of the webhook. Its certificate can be swapped while it serves; before it has one,
 * nobody can talk to it and `problems()` says so.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { X509Certificate } from "node:crypto";
import type { Listen } from "@axonize/core/runtime/config";
import type { Log } from "@axonize/core/runtime/log";
import { heldReviewBytes, maxConnections, maxReviewBytes, reviewTimeoutMs } from "./limits.ts";
import type { InjectionMetrics } from "./metrics.ts";
import { answer, type AdmissionReview, type Profiles } from "./review.ts";
import { webhookPath } from "./webhook-config.ts";
import type { KeyPair } from "../x509/x509.ts";

export interface WebhookServer {
  listen(at: Listen): Promise<{ readonly port: number }>;
  setCertificate(pair: KeyPair): void;
  /** Why pods are not injected through it; empty: they are. */
  problems(): string[];
  close(): Promise<void>;
}

export function createWebhookServer(deps: {
  profiles: Profiles;
  log: Log;
  metrics: InjectionMetrics;
}): WebhookServer {
  const inFlight = new Set<Promise<unknown>>();
  const held = { bytes: 0 };
  const server = createServer({ minVersion: "TLSv1.2" }, (request, response) => {
    const answered = once(response, "close").finally(() => inFlight.delete(answered));
    inFlight.add(answered);
    handle({ ...deps, held }, request, response).catch((error: unknown) => {
      // The peer went away or sent nonsense; the apiserver treats it as a failed call and ignores it.
      deps.log.warn({ event: "webhook.request", err: error });
      response.destroy();
    });
  });
  server.maxConnections = maxConnections;
  server.requestTimeout = reviewTimeoutMs;
  server.headersTimeout = reviewTimeoutMs;
  let fingerprint: string | undefined;
  return {
    async listen({ host, port }) {
      server.listen(port, host);
      await once(server, "listening");
      // A server on a port has such an address.
      return { port: (server.address() as AddressInfo).port };
    },
    setCertificate({ cert, key }) {
      const shown = new X509Certificate(cert);
      if (shown.fingerprint256 === fingerprint) return;
      server.setSecureContext({ cert, key, minVersion: "TLSv1.2" });
      fingerprint = shown.fingerprint256;
      deps.metrics.certificateExpiry.set(Date.parse(shown.validTo) / 1000);
      deps.log.info({ event: "webhook.certificate", fingerprint, until: shown.validTo });
    },
    problems: () => (fingerprint === undefined ? ["the webhook has no certificate yet"] : []),
    async close() {
      const closed = once(server, "close");
      server.close();
      await Promise.all(inFlight);
      // An apiserver keeps spare connections that have not carried a request; they are not "idle".
      server.closeAllConnections();
      await closed;
    },
  };
}

async function handle(
  deps: Parameters<typeof createWebhookServer>[0] & { held: { bytes: number } },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== "POST" || request.url?.split("?")[0] !== webhookPath) {
    response.writeHead(404).end();
    return;
  }
  const { profiles, log, metrics, held } = deps;
  const body = await readBody(request, held);
  if (typeof body === "number") {
    if (body === 503) metrics.reviews.inc({ result: "busy" });
    response.writeHead(body, { connection: "close" }).end();
    return;
  }
  const asked = parse(body);
  if (asked?.request?.uid === undefined) {
    response.writeHead(400).end();
    return;
  }
  const { result, review, error } = answer(asked, profiles);
  metrics.reviews.inc({ result });
  if (error !== undefined) log.error({ event: "webhook.inject", err: error });
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(review));
}

/** 413: it is larger than any pod. 503: with all others together there is no room for it. */
async function readBody(
  request: IncomingMessage,
  held: { bytes: number },
): Promise<string | 413 | 503> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request) {
      // A stream without an encoding gives buffers.
      const bytes = chunk as Buffer;
      size += bytes.length;
      held.bytes += bytes.length;
      if (size > maxReviewBytes) return 413;
      if (held.bytes > heldReviewBytes) return 503;
      chunks.push(bytes);
    }
    return Buffer.concat(chunks).toString();
  } finally {
    held.bytes -= size;
  }
}

function parse(body: string): AdmissionReview | undefined {
  try {
    return JSON.parse(body) as AdmissionReview;
  } catch {
    return undefined; // answered with 400
  }
}
