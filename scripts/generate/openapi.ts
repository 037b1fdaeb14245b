/**
 * The OpenAPI 3.1 document of the HTTP API, from the contract's schemas.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { api, type Endpoint } from "@axonize/core/contract/api";
import { Problem, problems, type ProblemCode } from "@axonize/core/contract/problem";
import { startEventsPath } from "@axonize/core/contract/routes";
import { ensure } from "@axonize/core/runtime/assert";

type Json = Record<string, unknown>;

export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const [name, endpoint] of Object.entries(api) as [string, Endpoint][]) {
    const path = (paths[endpoint.path] ??= {});
    path[endpoint.method.toLowerCase()] = operation(name, endpoint);
  }
  paths[startEventsPath] = { get: startEvents() };
  return {
    openapi: "3.1.1",
    info: {
      title: "Axonize",
      version: packageVersion(),
      description:
        "What every AI inference call did to the GPUs it ran on. Times in answers are RFC 3339; refusals are RFC 9457 problems.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [
      { name: "traces" },
      { name: "analytics" },
      { name: "gpus" },
      { name: "system" },
      { name: "admin" },
    ],
    security: [{ bearer: [] }, { key: [] }],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "`axk_…`, or the admin key." },
        key: { type: "apiKey", in: "header", name: "x-axonize-key" },
      },
    },
  };
}

/** Refusals an operation can answer, beside its own. */
function refusals(endpoint: Endpoint): ProblemCode[] {
  const hasInput =
    endpoint.params !== undefined || endpoint.query !== undefined || endpoint.body !== undefined;
  return [
    ...(hasInput ? (["invalid-request"] as const) : []),
    ...(endpoint.auth === "none" ? [] : (["unauthenticated", "forbidden"] as const)),
    ...(endpoint.params === undefined ? [] : (["not-found"] as const)),
    ...(endpoint.auth === "admin" && endpoint.method !== "GET" ? (["conflict"] as const) : []),
    ...(endpoint.body === undefined
      ? []
      : (["payload-too-large", "unsupported-media-type"] as const)),
    ...(endpoint.auth === "none" ? [] : (["unavailable"] as const)),
    ...(endpoint.auth === "query" || endpoint.query ? (["query-timeout"] as const) : []),
  ];
}

function operation(name: string, endpoint: Endpoint): Json {
  const { body, response } = endpoint;
  const success: Json =
    response === undefined
      ? { description: "Done." }
      : {
          description: "OK",
          content: { "application/json": { schema: schemaOf(response, "output") } },
        };
  return {
    operationId: name,
    summary: endpoint.summary,
    tags: [tagOf(endpoint.path)],
    ...(endpoint.auth === "none" ? { security: [] } : {}),
    parameters: [
      ...parametersOf("path", endpoint.params),
      ...parametersOf("query", endpoint.query),
      ...(endpoint.auth === "query" ? [tenantHeader] : []),
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: schemaOf(body, "input") } },
          },
        }),
    responses: {
      [endpoint.status]: success,
      ...(name === "ready"
        ? {
            503: {
              description: "A store is not reachable.",
              content: { "application/json": { schema: { $ref: refTo("Ready") } } },
            },
          }
        : {}),
      ...problemResponses(refusals(endpoint)),
    },
  };
}

const tenantHeader: Json = {
  name: "x-axonize-tenant",
  in: "header",
  required: false,
  description: "Whom the admin key acts for. Other keys have their tenant.",
  schema: { type: "string", maxLength: 63 },
};

function startEvents(): Json {
  return {
    operationId: "startEvents",
    summary: "Server-sent events: one `span` event per newly visible request.",
    tags: ["system"],
    responses: {
      200: {
        description: "A stream; `data` of each `span` event is a TraceRow.",
        content: { "text/event-stream": { schema: { type: "string" } } },
      },
      ...problemResponses(["unauthenticated", "forbidden", "too-many-requests"]),
    },
  };
}

function problemResponses(codes: readonly ProblemCode[]): Json {
  return Object.fromEntries(
    codes.map((code) => [
      problems[code].status,
      {
        description: problems[code].title,
        content: { "application/problem+json": { schema: { $ref: refTo("Problem") } } },
      },
    ]),
  );
}

function parametersOf(where: "path" | "query", schema: z.ZodObject | undefined): Json[] {
  if (schema === undefined) return [];
  const json = inline(schema, "input");
  const properties = json["properties"] as Record<string, Json>;
  return Object.entries(properties).map(([name, { description, ...property }]) => ({
    name,
    in: where,
    required: where === "path",
    ...(description === undefined ? {} : { description }),
    schema: property,
  }));
}

function tagOf(path: string): string {
  if (path.includes("/admin/")) return "admin";
  if (path.includes("/analytics/")) return "analytics";
  if (path.includes("/gpus")) return "gpus";
  return /traces|facets/.test(path) ? "traces" : "system";
}

const refTo = (id: string): string => `#/components/schemas/${id}`;

function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const id = z.globalRegistry.get(schema)?.id;
  return id === undefined ? inline(schema, io) : { $ref: refTo(id) };
}

function inline(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" });
  return json;
}

/** Schemas of bodies say what may be sent, all others what is answered. */
function componentSchemas(): Record<string, Json> {
  const schemas: Record<string, Json> = {};
  const inputs = new Set(
    (Object.values(api) as Endpoint[]).map(({ body }) => body).filter((body) => body !== undefined),
  );
  const convert = (io: "input" | "output") =>
    z.toJSONSchema(z.globalRegistry, { uri: refTo, io, unrepresentable: "any" }).schemas;
  const [sent, answered] = [convert("input"), convert("output")];
  const inputIds = new Set([...inputs].map((body) => z.globalRegistry.get(body)?.id));
  ensure(z.globalRegistry.get(Problem)?.id, "Problem has an id");
  for (const id of Object.keys(answered).sort()) {
    const source: Json = { ...(inputIds.has(id) ? sent : answered)[id] };
    delete source["$schema"];
    delete source["$id"];
    schemas[id] = source;
  }
  return schemas;
}

function packageVersion(): string {
  const text = readFileSync(join(import.meta.dirname, "../../package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
