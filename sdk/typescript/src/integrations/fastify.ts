/**
 * Fastify 4 and 5: a SERVER span for each request, named after its route, current in every hook and
 * handler after it; errors of handlers are recorded.
 *
 *     await app.register(axonizeFastify);
 */
import { extract } from "../propagate.ts";
import type { SpanImpl } from "../span.ts";
import { serveRequest, serverSpanOf, setRoute, startServerSpan, within } from "./http-span.ts";

/** What we read of Fastify's request and reply. */
export interface FastifyRequestLike {
  readonly method: string;
  readonly url: string;
  readonly headers: { readonly [name: string]: unknown };
  readonly raw: object;
  readonly routeOptions?: { readonly url?: string | undefined };
}

export interface FastifyReplyLike {
  readonly raw: {
    statusCode: number;
    once(event: "close", listener: () => void): unknown;
  };
}

export interface FastifyInstanceLike {
  addHook(
    name: "onRequest",
    hook: (request: FastifyRequestLike, reply: FastifyReplyLike, done: () => void) => void,
  ): unknown;
  addHook(
    name: "onError",
    hook: (
      request: FastifyRequestLike,
      reply: FastifyReplyLike,
      error: Error,
      done: () => void,
    ) => void,
  ): unknown;
}

/** Plugin for `app.register`. */
export function axonizeFastify(
  app: FastifyInstanceLike,
  _options: unknown,
  registered: () => void,
): void {
  app.addHook("onRequest", (request, reply, done) => {
    const begun = serverSpanOf(request.raw);
    const span: SpanImpl =
      begun ?? startServerSpan(request.method, request.url, extract(request.headers));
    setRoute(span, request.method, request.routeOptions?.url);
    if (begun === undefined) serveRequest(request.raw, span, reply.raw);
    within(span, done);
  });
  app.addHook("onError", (request, _reply, error, done) => {
    serverSpanOf(request.raw)?.recordException(error);
    done();
  });
  registered();
}

// Fastify gives a plugin a scope of its own unless it says otherwise (fastify-plugin's symbol).
Object.defineProperty(axonizeFastify, Symbol.for("skip-override"), { value: true });
