// Generated documents are what the code says, and the OpenAPI document is valid OpenAPI 3.1.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { api } from "@axonize/core/contract/api";
import { openApiDocument } from "../scripts/generate/openapi.ts";
import { findStale, generate } from "../scripts/generate.ts";

test("generated files are what the code generates", async () => {
  const stale = await findStale(await generate());
  assert.deepEqual(stale, [], "run `npm run generate`");
});

const document = openApiDocument();

test("the OpenAPI document has the shape of OpenAPI 3.1", () => {
  const validate = new Ajv2020({ strict: false, allErrors: true }).compile(openApiShape);
  assert.ok(validate(document), JSON.stringify(validate.errors, undefined, 2));
});

test("every schema in the OpenAPI document is valid JSON Schema 2020-12 and every reference resolves", () => {
  const ajv = new Ajv2020({ strict: false });
  addFormats.default(ajv);
  ajv.addSchema({ $id: "openapi", ...(document as { components: unknown }) });
  const { schemas } = document["components"] as { schemas: Record<string, object> };
  for (const name of Object.keys(schemas)) {
    assert.ok(ajv.compile({ $ref: `openapi#/components/schemas/${name}` }), name);
  }
  const references = JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g);
  for (const [, name] of references) assert.ok(name !== undefined && name in schemas, name);
});

test("every endpoint of the contract is in the document, once, with unique ids", () => {
  const paths = document["paths"] as Record<string, Record<string, { operationId: string }>>;
  const ids = Object.values(paths).flatMap((path) =>
    Object.values(path).map((operation) => operation.operationId),
  );
  assert.deepEqual([...ids].sort(), [...Object.keys(api), "startEvents"].sort());
});

/** The parts of OpenAPI 3.1's own schema that this document uses. */
const openApiShape = {
  type: "object",
  required: ["openapi", "info", "paths"],
  properties: {
    openapi: { type: "string", pattern: "^3\\.1\\.\\d+$" },
    info: { type: "object", required: ["title", "version"] },
    paths: {
      type: "object",
      propertyNames: { pattern: "^/" },
      additionalProperties: {
        type: "object",
        propertyNames: { enum: ["get", "post", "patch", "delete"] },
        additionalProperties: {
          type: "object",
          required: ["operationId", "responses"],
          properties: {
            parameters: {
              type: "array",
              items: {
                type: "object",
                required: ["name", "in", "schema"],
                properties: { in: { enum: ["query", "header", "path"] } },
                if: { properties: { in: { const: "path" } } },
                // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's keyword
                then: { properties: { required: { const: true } } },
              },
            },
            responses: {
              type: "object",
              minProperties: 1,
              propertyNames: { pattern: "^[1-5]\\d\\d$" },
              additionalProperties: {
                type: "object",
                required: ["description"],
                properties: {
                  content: {
                    type: "object",
                    additionalProperties: { type: "object", required: ["schema"] },
                  },
                },
              },
            },
          },
        },
      },
    },
    components: {
      type: "object",
      properties: {
        schemas: { type: "object", propertyNames: { pattern: "^[a-zA-Z0-9._-]+$" } },
        securitySchemes: { type: "object" },
      },
    },
  },
};
