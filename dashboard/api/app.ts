/**
 * The dashboard's server: API, event stream, metrics, OpenAPI document and the built web app on one
 * port. This is where its parts are put together; `main.ts` and standalone call it.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import type { Access } from "@axonize/core/runtime/access";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Registry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { isForwarded } from "./caller.ts";
import { createAnalyticsHandlers } from "./handlers/analytics.ts";
import { createGpuHandlers } from "./handlers/gpus.ts";
import { createKeyHandlers } from "./handlers/keys.ts";
import { createSessionHandlers } from "./handlers/session.ts";
import { createStartHandlers, mountStartEvents } from "./handlers/start.ts";
import { createSystemHandlers } from "./handlers/system.ts";
import { createTenantHandlers } from "./handlers/tenants.ts";
import { createTraceDetailHandlers } from "./handlers/trace.ts";
import { createTraceGpuHandlers } from "./handlers/trace-gpus.ts";
import { createTraceHandlers } from "./handlers/traces.ts";
import { createUsageHandlers } from "./handlers/usage.ts";
import * as limits from "./limits.ts";
import { basePathOf, stripBasePath } from "./login/base-path.ts";
import { createLogin, type LoginOptions } from "./login/login.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import { mount, type Handlers } from "./mount.ts";
import { errorFrom, problemFrom } from "./problems.ts";
import { createQueries } from "./queries/query.ts";
import { respondProblem } from "./respond.ts";
import { contentSecurityPolicy, createWebApp } from "./web-app.ts";

export interface DashboardDeps {
  clickhouse: ClickHouseClient;
  sql: Sql;
  access: Access;
  clock: Clock;
  log: Log;
  registry: Registry;
}

export interface DashboardOptions {
  listen: { host: string; port: number };
  mode: "standalone" | "cluster";
  /** Local callers are the loopback tenant without a key. */
  keylessLoopback: boolean;
  otlpGrpcEndpoint: string;
  otlpHttpEndpoint: string;
  /** Folder of the built web app. */
  webRoot: string | undefined;
  version: string;
  /** Address as people type it; its path is the prefix that everything is served under. */
  publicUrl?: string | undefined;
  /** Log-in by OpenID Connect. */
  login?: LoginOptions | undefined;
  /** Tests and development: answers are checked against the contract. */
  validateResponses?: boolean;
}

export interface Dashboard extends AsyncDisposable {
  address: { host: string; port: number };
}

export async function createDashboard(
  deps: DashboardDeps,
  options: DashboardOptions,
): Promise<Dashboard> {
  const stop = new AbortController();
  const app = createApp(deps, options, stop.signal);
  const server = createServer({ maxHeaderSize: limits.headerBytes }, app);
  server.maxConnections = limits.connections;
  server.headersTimeout = limits.headersTimeoutMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.on("clientError", answerClientError);
  server.listen(options.listen.port, options.listen.host);
  await once(server, "listening");
  // A server that listens on host and port has an AddressInfo; text is for pipes.
  const address = server.address() as AddressInfo;
  return {
    address: { host: address.address, port: address.port },
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error("the dashboard stops"));
      await close(server);
    },
  };
}

/** Requests that never become one: a URL or headers beyond the bound, or no HTTP at all. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const isTooLong = error.code === "HPE_HEADER_OVERFLOW";
  const detail = isTooLong
    ? `The URL and headers are longer than ${limits.headerBytes} bytes.`
    : "The request is not HTTP.";
  const body = JSON.stringify(problemFrom(new AxonizeError("invalid-request", detail)));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** How long answers under way may take once the process stops; the process has 5 s in all. */
const drainMs = 2_000;

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => {
    server.closeAllConnections();
  }, drainMs);
  await closed;
  clearTimeout(timer);
}

function createApp(deps: DashboardDeps, options: DashboardOptions, stop: AbortSignal): Express {
  const metrics = createMetrics(deps.registry);
  const queries = createQueries({ ...deps, metrics });
  const login = options.login === undefined ? undefined : createLogin(deps, options.login);
  const basePath = basePathOf(options.publicUrl);
  const all = { ...deps, queries, metrics, login };
  const handlers: Handlers = {
    ...createSessionHandlers(all, options),
    ...createTraceHandlers(all),
    ...createTraceDetailHandlers(all, options),
    ...createGpuHandlers(all, options),
    ...createTraceGpuHandlers(all, options),
    ...createAnalyticsHandlers(all, options),
    ...createStartHandlers(all, options),
    ...createSystemHandlers(all, options),
    ...createTenantHandlers(all),
    ...createKeyHandlers(all),
    ...createUsageHandlers(all),
  };
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.set("query parser", false);
  app.use(secure);
  app.use(measure(deps, metrics));
  app.use(stripBasePath(basePath));
  login?.mount(app);
  mount(app, handlers, {
    ...options,
    ...all,
    validateResponses: options.validateResponses ?? false,
  });
  mountStartEvents(app, { ...all, signal: stop }, options);
  const openApi = readFileSync(join(import.meta.dirname, "../../docs/openapi.json"));
  app.get("/openapi.json", (_request, response) => {
    response.locals["route"] = "openapi";
    response.type("application/json").send(openApi);
  });
  app.get("/metrics", async (request, response) => {
    response.locals["route"] = "metrics";
    // For scrapers inside: an Ingress would show the routes and rates of everybody to everybody.
    if (isForwarded(request)) throw new AxonizeError("not-found", "Metrics are told inside alone.");
    response.type(deps.registry.contentType).send(await deps.registry.metrics());
  });
  app.use(createWebApp(options.webRoot, basePath));
  app.use(answerError(deps.log));
  return app;
}

function secure(_request: Request, response: Response, next: NextFunction): void {
  response.set({
    "content-security-policy": contentSecurityPolicy,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
  });
  next();
}

function measure(deps: { clock: Clock; log: Log }, metrics: Metrics) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const started = deps.clock.monotonic();
    response.on("close", () => {
      const named: unknown = response.locals["route"];
      const route = typeof named === "string" ? named : "web";
      const durationMs = deps.clock.monotonic() - started;
      metrics.requests.inc({ route, status: String(response.statusCode) });
      // A stream lasts as long as a person looks at it; that is no latency.
      if (route !== "startEvents") metrics.duration.observe({ route }, durationMs / 1000);
      deps.log.debug({
        event: "request",
        method: request.method,
        route,
        status: response.statusCode,
        durationMs: Math.round(durationMs),
      });
    });
    next();
  };
}

/** Express knows an error handler by its four parameters. */
function answerError(log: Log) {
  return async (
    thrown: unknown,
    request: Request,
    response: Response,
    _next: NextFunction,
  ): Promise<void> => {
    const error = errorFrom(thrown);
    if (response.destroyed) return; // nobody is there to be told
    if (error.status >= 500) {
      log.error({
        event: "request.failed",
        path: request.path,
        code: error.code,
        err: error.cause ?? error,
      });
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    await respondProblem(request, response, error);
  };
}
