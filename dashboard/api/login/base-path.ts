/**
 * Serving below a prefix (`https://example.com/axonize`), as an Ingress without rewriting needs it.
 *
 * Pages and assets live under the prefix alone; the API, health and metrics answer at the root, too, for
 * those who reach the Service itself.
 */
import type { NextFunction, Request, Response } from "express";
import { AxonizeError } from "@axonize/core/runtime/error";

/** `/axonize` of `https://example.com/axonize/`; empty for the root. */
export const basePathOf = (publicUrl: string | undefined): string =>
  publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/+$/, "");

const atRoot = /^\/(?:api\/|(?:healthz|readyz|metrics|openapi\.json)(?:\?|$))/;

export function stripBasePath(base: string) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const { url } = request;
    if (base === "" || atRoot.test(url)) {
      next();
      return;
    }
    if (url.startsWith(`${base}/`)) {
      request.url = url.slice(base.length);
      next();
      return;
    }
    const isStart = url === "/" || url === base || url.startsWith(`${base}?`);
    if (isStart) {
      response.locals["route"] = "web";
      response.redirect(308, `${base}/`);
      return;
    }
    throw new AxonizeError("not-found", `There is nothing here; the dashboard is at ${base}/.`);
  };
}
