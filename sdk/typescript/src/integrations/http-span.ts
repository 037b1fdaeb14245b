/**
 * Spans of HTTP exchanges by OpenTelemetry's conventions: names, addresses without credentials and
 * queries (which hold keys), status. Shared by the integrations of both sides.
 */
import { shared } from "../shared.ts";
import { SpanImpl } from "../span.ts";
import { SpanKind, SpanStatus, type SpanContext } from "../types.ts";

/** A request that goes out. */
export function startClientSpan(method: string, url: string): SpanImpl {
  const span = new SpanImpl(method, undefined, SpanKind.CLIENT);
  span.setAttribute("http.request.method", method);
  if (URL.canParse(url)) {
    const { protocol, hostname, port, host, pathname } = new URL(url);
    span.setAttribute("url.full", `${protocol}//${host}${pathname}`);
    span.setAttribute("server.address", hostname);
    span.setAttribute("server.port", Number(port) || (protocol === "https:" ? 443 : 80));
  }
  return span;
}

/** A request that came in. */
export function startServerSpan(
  method: string,
  path: string,
  parent: SpanContext | undefined,
): SpanImpl {
  const span = new SpanImpl(method, parent, SpanKind.SERVER);
  span.setAttribute("http.request.method", method);
  span.setAttribute("url.path", path.replace(/[?#].*$/, ""));
  return span;
}

/** Errors: any 4xx or 5xx for the client, only 5xx for the server. */
export function setHttpStatus(span: SpanImpl, status: number): void {
  span.setAttribute("http.response.status_code", status);
  const isError = span.kind === SpanKind.SERVER ? status >= 500 : status >= 400;
  if (!isError) return;
  span.setAttribute("error.type", String(status));
  span.setStatus(SpanStatus.ERROR);
}

/** The route of a framework, with its placeholders: the name by which requests are counted. */
export function setRoute(span: SpanImpl, method: string, route: string | undefined): void {
  if (route === undefined || route === "" || span.ended) return;
  span.name = `${method} ${route}`;
  span.setAttribute("http.route", route);
}

const spans = new WeakMap<object, SpanImpl>();

/** The span of an incoming request that is being served, whoever began it. */
export function serverSpanOf(request: object): SpanImpl | undefined {
  return spans.get(request);
}

/** Begins the span of a request and ends it with the response. */
export function serveRequest(
  request: object,
  span: SpanImpl,
  response: { once(event: "close", listener: () => void): unknown; statusCode: number },
): void {
  spans.set(request, span);
  response.once("close", () => {
    setHttpStatus(span, response.statusCode);
    span.end();
  });
}

/** Runs `fn` with the span current. */
export function within<T>(span: SpanImpl, fn: () => T): T {
  return shared.context.run(span, fn);
}
