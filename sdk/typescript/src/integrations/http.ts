/**
 * `node:http` and `node:https`, both sides: a CLIENT span for each request that goes out, with
 * `traceparent`, and a SERVER span for each that comes in, current while it is handled. `fetch` does not
 * go through here: see undici.ts.
 */
import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { extract, traceParent } from "../propagate.ts";
import { shared } from "../shared.ts";
import type { SpanImpl } from "../span.ts";
import {
  serveRequest,
  serverSpanOf,
  setHttpStatus,
  startClientSpan,
  startServerSpan,
  within,
} from "./http-span.ts";

export interface HttpOptions {
  /** Requests that go out; default true. */
  readonly client?: boolean | undefined;
  /** Requests that come in; default true. */
  readonly server?: boolean | undefined;
  /** Incoming requests without a span: health checks, for example. */
  readonly ignore?: ((path: string) => boolean) | undefined;
}

/** Patches `node:http` and `node:https`. Returns what undoes it. */
export function instrumentHttp(options: HttpOptions = {}): () => void {
  const undo: (() => void)[] = [];
  if (options.client !== false) {
    for (const module of [http, https]) {
      const { request, get } = module;
      const patched = outgoing(request, module === https);
      // The original `get` would end the request before its headers could be set.
      const ended = (...args: unknown[]): ClientRequest => patched(...args).end();
      Object.assign(module, { request: patched, get: ended });
      undo.push(() => Object.assign(module, { request, get }));
    }
    syncBuiltinESMExports();
    undo.push(syncBuiltinESMExports);
  }
  if (options.server !== false) {
    for (const { Server } of [http, https]) {
      const had = Object.getOwnPropertyDescriptor(Server.prototype, "emit");
      Object.defineProperty(Server.prototype, "emit", {
        // EventEmitter's emit, which takes any event.
        value: incoming(Server.prototype.emit as Emit, options.ignore ?? (() => false)),
        configurable: true,
        writable: true,
      });
      undo.push(() => {
        if (had === undefined) Reflect.deleteProperty(Server.prototype, "emit");
        else Object.defineProperty(Server.prototype, "emit", had);
      });
    }
  }
  return () => {
    for (const step of undo) step();
  };
}

function outgoing(
  original: typeof http.request,
  tls: boolean,
): (...args: unknown[]) => ClientRequest {
  return (...args) => {
    if (shared.ring === undefined) return Reflect.apply(original, undefined, args);
    const { method, url } = readTarget(args, tls);
    const span = startClientSpan(method, url);
    let request: ClientRequest;
    try {
      // The same arguments as the program gave.
      request = within(span, () => Reflect.apply(original, undefined, args));
    } catch (error) {
      span.fail(error);
      throw error;
    }
    watchRequest(request, span);
    return request;
  };
}

function watchRequest(request: ClientRequest, span: SpanImpl): void {
  try {
    if (!request.headersSent) request.setHeader("traceparent", traceParent(span));
  } catch {
    // Headers given as a list are fixed at once: this request goes without.
    span.setAttribute("axonize.propagated", false);
  }
  request.once("response", (response: IncomingMessage) => {
    setHttpStatus(span, response.statusCode ?? 0);
  });
  // Only looked at: a listener of ours alone must not make an error look handled.
  const emit = request.emit.bind(request);
  request.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === "error") span.fail(args[0]);
    else if (event === "close") span.end();
    return Reflect.apply(emit, request, [event, ...args]);
  };
}

/** Method and address out of `request`'s arguments: (url | options, options?, callback?). */
function readTarget(args: readonly unknown[], tls: boolean): { method: string; url: string } {
  const [first, second] = args;
  const given = typeof first === "string" || first instanceof URL ? second : first;
  const options = (typeof given === "object" && given !== null ? given : {}) as http.RequestOptions;
  const method = (options.method ?? "GET").toUpperCase();
  if (typeof first === "string" || first instanceof URL) return { method, url: String(first) };
  const host = options.hostname ?? options.host ?? "localhost";
  const port = options.port === undefined || options.port === null ? "" : `:${options.port}`;
  const protocol = options.protocol ?? (tls ? "https:" : "http:");
  const shown = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return { method, url: `${protocol}//${shown}${port}${options.path ?? "/"}` };
}

type Emit = (this: unknown, event: string | symbol, ...args: unknown[]) => boolean;

function incoming(original: Emit, ignore: (path: string) => boolean): Emit {
  return function emit(this: unknown, event, ...args) {
    const pass = (): boolean => Reflect.apply(original, this, [event, ...args]);
    if (event !== "request" || shared.ring === undefined) return pass();
    // What a "request" event carries.
    const [request, response] = args as [IncomingMessage, ServerResponse];
    const path = request.url ?? "/";
    if (serverSpanOf(request) !== undefined || ignore(path)) return pass();
    const span = startServerSpan(request.method ?? "GET", path, extract(request.headers));
    serveRequest(request, span, response);
    return within(span, pass);
  };
}
