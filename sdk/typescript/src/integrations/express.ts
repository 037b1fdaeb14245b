/**
 * Express 4 and 5: a SERVER span for each request, named after its route, current in every handler.
 *
 *     app.use(axonizeExpress());   // before the routes
 */
import { extract, type HeaderSource } from "../propagate.ts";
import { serveRequest, serverSpanOf, setRoute, startServerSpan, within } from "./http-span.ts";

/** What we read of Express's request. */
export interface ExpressRequest {
  readonly method: string;
  readonly originalUrl: string;
  readonly headers: { readonly [name: string]: unknown };
  readonly baseUrl: string;
  readonly route?: { readonly path?: unknown };
}

export interface ExpressResponse {
  statusCode: number;
  once(event: "close", listener: () => void): unknown;
  prependOnceListener(event: "close", listener: () => void): unknown;
}

export interface ExpressOptions {
  /** Requests without a span. */
  readonly ignore?: ((path: string) => boolean) | undefined;
}

/** Middleware for `app.use`. */
export function axonizeExpress(
  options: ExpressOptions = {},
): (request: ExpressRequest, response: ExpressResponse, next: () => void) => void {
  return (request, response, next) => {
    if (options.ignore?.(request.originalUrl) === true) {
      next();
      return;
    }
    const begun = serverSpanOf(request);
    const headers: HeaderSource = request.headers;
    const span = begun ?? startServerSpan(request.method, request.originalUrl, extract(headers));
    if (begun === undefined) serveRequest(request, span, response);
    // Express knows the route when a handler of it runs; it is read when the response is over, before
    // whoever began the span ends it.
    response.prependOnceListener("close", () => {
      const path = request.route?.path;
      if (typeof path === "string") setRoute(span, request.method, `${request.baseUrl}${path}`);
    });
    within(span, next);
  };
}
