/**
 * The contract on Express: every endpoint of `core/contract/api.ts` gets its handler here.
 *
 * A handler takes parsed input and a context, and returns plain values; it never sees request or
 * response. `Handlers` has one entry per endpoint, so a missing one does not compile.
 */
import type { Express, Request, Response } from "express";
import express from "express";
import { api, type Endpoint } from "@axonize/core/contract/api";
import type { TenantAccess, Grant } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import { ensure } from "@axonize/core/runtime/assert";
import type * as z from "zod";
import { authenticate, authorize, type CallerDeps } from "./caller.ts";
import * as limits from "./limits.ts";
import { invalidInput } from "./problems.ts";
import { respondJson } from "./respond.ts";

type Api = typeof api;
type Parsed<E, K extends string> = E extends { [P in K]: infer S extends z.ZodType }
  ? z.output<S>
  : undefined;
type Answered<E> = E extends { response: infer S extends z.ZodType } ? z.output<S> : undefined;

export interface Input<Name extends keyof Api> {
  params: Parsed<Api[Name], "params">;
  query: Parsed<Api[Name], "query">;
  body: Parsed<Api[Name], "body">;
}

export interface Context {
  /** Undefined on routes without authentication. */
  grant: Grant | undefined;
  /** The tenant whose data a `query` route reads. Throws on other routes: that is a bug. */
  tenant(): TenantAccess;
  nowMs: number;
  /** Aborts when the client goes away. */
  signal: AbortSignal;
  /** For the few routes that answer differently without being refused (session, readiness). */
  request: Request;
  setStatus(status: number): void;
}

export type Handler<Name extends keyof Api> = (
  input: Input<Name>,
  context: Context,
) => Promise<Answered<Api[Name]>> | Answered<Api[Name]>;

export type Handlers = { [Name in keyof Api]: Handler<Name> };

export interface MountDeps extends CallerDeps {
  clock: Clock;
  /** Tests and development: an answer that breaks the contract is an error, not an answer. */
  validateResponses: boolean;
}

export function mount(app: Express, handlers: Handlers, deps: MountDeps): void {
  const parseBody = express.json({ limit: limits.requestBodyBytes, strict: false });
  const allowed = new Map<string, string[]>();
  for (const [name, endpoint] of Object.entries(api) as [keyof Api, Endpoint][]) {
    const path = endpoint.path.replaceAll(/\{(\w+)\}/g, ":$1");
    allowed.set(path, [...(allowed.get(path) ?? []), endpoint.method]);
    // The map's type ties name and handler together; within the loop only the union is known.
    const handler = handlers[name] as (input: unknown, context: Context) => Promise<unknown>;
    const run = async (request: Request, response: Response): Promise<void> => {
      response.locals["route"] = name;
      await answer({ request, response, endpoint, handler, deps });
    };
    if (endpoint.method === "GET") app.get(path, run);
    else if (endpoint.method === "POST") app.post(path, requireJson, parseBody, run);
    else if (endpoint.method === "PATCH") app.patch(path, requireJson, parseBody, run);
    else app.delete(path, run);
  }
  for (const [path, methods] of allowed) {
    const list = methods.includes("GET") ? [...methods, "HEAD"] : methods;
    app.all(path, (_request, response) => {
      response.set("allow", list.join(", "));
      throw new AxonizeError("method-not-allowed", `This path takes ${list.join(", ")}.`);
    });
  }
}

async function answer(options: {
  request: Request;
  response: Response;
  endpoint: Endpoint;
  handler: (input: unknown, context: Context) => Promise<unknown>;
  deps: MountDeps;
}): Promise<void> {
  const { request, response, endpoint, handler, deps } = options;
  const caller =
    endpoint.auth === "none" ? undefined : authorize(authenticate(request, deps), endpoint.auth);
  const input = {
    params: parse("path", endpoint.params, request.params),
    query: parse("query", endpoint.query, knownOnly(endpoint.query, queryOf(request))),
    body: parse("body", endpoint.body, request.body),
  };
  let { status } = endpoint;
  const result = await handler(input, {
    grant: caller?.grant,
    tenant: () => ensure(caller?.tenant, `${endpoint.path} is about no tenant`),
    nowMs: deps.clock.now(),
    signal: signalOf(response),
    request,
    setStatus: (changed) => {
      status = changed;
    },
  });
  if (endpoint.response === undefined) {
    response.status(status).end();
    return;
  }
  if (deps.validateResponses) assertFits(endpoint, result);
  await respondJson(request, response, { status, body: result });
}

function parse(where: string, schema: z.ZodType | undefined, value: unknown): unknown {
  if (schema === undefined) return undefined;
  // PostgreSQL's text cannot hold NUL; no id, name or filter of ours has one.
  if (JSON.stringify(value)?.includes(String.raw`\u0000`)) {
    throw new AxonizeError("invalid-request", `The ${where} holds a NUL character.`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalidInput(where, parsed.error);
  return parsed.data;
}

/**
 * A mistyped filter that is ignored answers a question that nobody asked: everything, instead of a few.
 * Paths that take no parameters ignore them.
 */
function knownOnly(
  schema: z.ZodType | undefined,
  query: Record<string, string | string[]>,
): Record<string, string | string[]> {
  if (schema === undefined || !("shape" in schema)) return query;
  const known = Object.keys(schema.shape ?? {});
  const unknown = Object.keys(query).filter((name) => !known.includes(name));
  if (unknown.length === 0) return query;
  throw new AxonizeError(
    "invalid-request",
    `There is no parameter ${unknown.slice(0, 5).join(", ")}. This path takes ${known.join(", ")}.`,
    {
      errors: unknown
        .slice(0, 20)
        .map((name) => ({ path: `query.${name}`, message: "is not a parameter of this path" })),
    },
  );
}

/** Names that come once as text, names that repeat as arrays. */
function queryOf(request: Request): Record<string, string | string[]> {
  const at = request.originalUrl.indexOf("?");
  const given = new URLSearchParams(at < 0 ? "" : request.originalUrl.slice(at));
  const query: Record<string, string | string[]> = Object.create(null) as typeof query;
  for (const name of new Set(given.keys())) {
    const values = given.getAll(name);
    query[name] = values.length === 1 ? (values[0] ?? "") : values;
  }
  return query;
}

function requireJson(request: Request, _response: Response, next: () => void): void {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/(?:[\w.-]+\+)?json\s*(;|$)/i.test(type)) {
    throw new AxonizeError("unsupported-media-type", "Send the body as `application/json`.");
  }
  next();
}

/** Aborts when the connection closes before the answer is out. */
export function signalOf(response: Response): AbortSignal {
  const abort = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) abort.abort(new Error("the client went away"));
  });
  return abort.signal;
}

function assertFits(endpoint: Endpoint, result: unknown): void {
  const parsed = endpoint.response?.safeParse(result);
  if (parsed?.success === false) {
    throw new Error(`the answer of ${endpoint.path} breaks the contract: ${parsed.error.message}`);
  }
}
