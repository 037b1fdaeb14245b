/**
 * docs/api.md: every endpoint with its parameters, every schema with its fields, every refusal.
 */
import { api, type Endpoint } from "@axonize/core/contract/api";
import { problems } from "@axonize/core/contract/problem";
import { startEventsPath } from "@axonize/core/contract/routes";
import { openApiDocument } from "./openapi.ts";

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: (string | number)[];
  const?: string | number | boolean;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  description?: string;
  default?: unknown;
}

interface Document {
  paths: Record<string, Record<string, { parameters?: Parameter[] }>>;
  components: { schemas: Record<string, Schema> };
}

interface Parameter {
  name: string;
  in: string;
  required: boolean;
  description?: string;
  schema: Schema;
}

const intro = `# HTTP API

Generated from \`core/contract/\`; do not edit. The same as a machine reads it: \`GET /openapi.json\`.

JSON in camelCase with the unit last (\`durationNs\`, \`ttftMs\`). Times in answers are RFC 3339 in UTC; \`from\` and \`to\` take RFC 3339, epoch milliseconds, or times relative to now (\`-15m\`, \`-1h\`, \`-7d\`). Lists answer \`{items, nextCursor}\` and take \`limit\` and \`cursor\`. Ids are lower-case hex.

Keys travel as \`authorization: Bearer axk_…\` or \`x-axonize-key: axk_…\`. On loopback in standalone no key is needed for reading. Admin routes always need the admin key (\`AXONIZE_ADMIN_KEY\`, or \`<data dir>/admin-key\`). The admin key reads a tenant's data with \`x-axonize-tenant: <id>\`.
`;

export function apiMarkdown(): string {
  // The document is built by us; its shape is the part of OpenAPI named above.
  const document = openApiDocument() as unknown as Document;
  const endpoints = Object.entries(api) as [string, Endpoint][];
  return [
    intro,
    "## Endpoints\n",
    ...endpoints.map(([, endpoint]) => endpointText(endpoint, document)),
    `### \`GET ${startEventsPath}\`\n\nServer-sent events: one \`span\` event per newly visible request; \`data\` is a [TraceRow](#tracerow). Needs: a key with scope Query.\n`,
    "## Refusals\n",
    "Every refusal is an RFC 9457 problem (`application/problem+json`): `{type, title, status, detail, errors?}`. `type` is `https://axonize.io/problems/<code>`.\n",
    table(
      ["code", "status", "title"],
      Object.entries(problems).map(([code, { status, title }]) => [
        `\`${code}\``,
        String(status),
        title,
      ]),
    ),
    "## Schemas\n",
    ...Object.entries(document.components.schemas).map(([id, schema]) => schemaText(id, schema)),
  ].join("\n");
}

function endpointText(endpoint: Endpoint, document: Document): string {
  const operation = document.paths[endpoint.path]?.[endpoint.method.toLowerCase()] as
    | {
        parameters?: Parameter[];
        requestBody?: { content: { "application/json": { schema: Schema } } };
        responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
      }
    | undefined;
  const parameters = (operation?.parameters ?? []).filter(({ in: where }) => where !== "header");
  const answer = operation?.responses[endpoint.status]?.content?.["application/json"]?.schema;
  const body = operation?.requestBody?.content["application/json"].schema;
  return [
    `### \`${endpoint.method} ${endpoint.path}\`\n`,
    `${endpoint.summary} Needs: ${needs[endpoint.auth]}.\n`,
    ...(parameters.length === 0
      ? []
      : [
          table(
            ["parameter", "in", "type", "default", "what"],
            parameters.map((parameter) => [
              `\`${parameter.name}\``,
              parameter.in,
              typeText(parameter.schema),
              parameter.schema.default === undefined
                ? ""
                : `\`${JSON.stringify(parameter.schema.default)}\``,
              parameter.description ?? "",
            ]),
          ),
        ]),
    ...(body === undefined ? [] : [`Body: ${typeText(body)}.\n`]),
    answer === undefined
      ? `Answers ${endpoint.status} without a body.\n`
      : `Answers ${endpoint.status}: ${typeText(answer)}.\n`,
  ].join("\n");
}

const needs = {
  none: "nothing",
  query: "a key with scope Query",
  admin: "the admin key",
} as const;

function schemaText(id: string, schema: Schema): string {
  const rows = fieldRows(schema, "");
  const about = schema.description === undefined ? "" : `${schema.description}\n\n`;
  return `### ${id}\n\n${about}${rows.length === 0 ? `${typeText(schema)}\n` : table(["field", "type", "what"], rows)}`;
}

/** Nested objects as dotted rows below their own. */
function fieldRows(schema: Schema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const optional = schema.required?.includes(name) === true ? "" : "?";
    const nested = field.properties ? field : field.items?.properties ? field.items : undefined;
    const path = `${prefix}${name}${field.items?.properties ? "[]" : ""}`;
    return [
      [`\`${path}${optional}\``, typeText(field), field.description ?? ""],
      ...(nested === undefined ? [] : fieldRows(nested, `${path}.`)),
    ];
  });
}

function typeText(schema: Schema): string {
  if (schema.$ref !== undefined) {
    const id = schema.$ref.split("/").at(-1) ?? "";
    return `[${id}](#${id.toLowerCase()})`;
  }
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(" \\| ");
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.anyOf) return schema.anyOf.map(typeText).join(" \\| ");
  if (schema.items) return `array of ${typeText(schema.items)}`;
  if (Array.isArray(schema.type)) return schema.type.join(" \\| ");
  return schema.type ?? "any";
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("\n", " ")).join(" | ")} |`;
  return `${[line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n")}\n`;
}
