/**
 * CORS for exporters that run in browsers: any origin may send with a key, custom headers included.
 *
 * Without a key only pages from this machine may: otherwise every web page that a developer visits
 * could write into the loopback tenant. Cookies are never involved, so `*` gives nothing away.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

export function setCorsHeaders(request: IncomingMessage, response: ServerResponse): void {
  if (request.headers.origin === undefined) return;
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", "retry-after");
}

/** Header names only: what is echoed into a header of ours is checked. */
const headerNames = /^[A-Za-z0-9\-_]+(\s*,\s*[A-Za-z0-9\-_]+)*$/;
const usualHeaders = "content-type, content-encoding, authorization, x-axonize-key";

export function answerPreflight(request: IncomingMessage, response: ServerResponse): void {
  const asked = request.headers["access-control-request-headers"];
  response.setHeader("access-control-allow-methods", "POST");
  response.setHeader(
    "access-control-allow-headers",
    asked !== undefined && headerNames.test(asked) ? asked : usualHeaders,
  );
  response.setHeader("access-control-max-age", "7200");
  // A page on the public web that asks for a machine on a private network (Chromium).
  if (request.headers["access-control-request-private-network"] === "true") {
    response.setHeader("access-control-allow-private-network", "true");
  }
  response.setHeader("vary", "access-control-request-headers");
  response.statusCode = 204;
  response.end();
}

/** Browsers put the page's origin on every POST; one that is not of this machine is foreign. */
export function isForeignOrigin(request: IncomingMessage): boolean {
  const { origin } = request.headers;
  if (origin === undefined) return false;
  return !/^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(origin);
}
