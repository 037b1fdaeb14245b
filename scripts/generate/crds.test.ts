/**
 * The generated CRDs keep what the apiserver or its users would trip over later: sizes, bounds, sentences.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gpuPoolConditions, tenantConditions } from "../../operator/resources/crds/conditions.ts";
import { crdFiles, customResources, schemaOf, type Schema } from "./crds.ts";

const root = join(import.meta.dirname, "../..");
const maxBytes = 100 * 1024;

test("each CRD fits client-side apply, whose annotation ends at 256 KiB", () => {
  for (const [path, text] of crdFiles()) {
    assert.ok(text.length < maxBytes, `${path}: ${text.length} bytes`);
  }
});

test("every list, map and string of a spec has an upper bound, without which CEL has no cost", () => {
  for (const resource of customResources) {
    assert.deepEqual(unbounded(schemaOf(resource.spec), `${resource.kind}.spec`), []);
  }
});

test("kubectl explain has a sentence for every field", () => {
  for (const resource of customResources) {
    const { spec, status } = resource;
    const silent = [spec, ...(status === undefined ? [] : [status])].flatMap((schema) =>
      undescribed(schemaOf(schema), resource.kind),
    );
    assert.deepEqual(silent, []);
  }
});

test("every rule's message names a field and reads as part of a sentence", () => {
  for (const resource of customResources) {
    const messages = [
      ...resource.rules.map(([, message]) => message),
      ...messagesOf(schemaOf(resource.spec)),
    ];
    for (const message of messages) {
      assert.match(
        message,
        /^[a-z]\w*(\[\]|\.\w+)*( \([^)]+\))? (must|may)( not)? [^\n]+[^.]$/i,
        `${resource.kind}: ${message}`,
      );
    }
  }
});

test("a default is what zod reads of nothing, so that operator and apiserver agree", () => {
  for (const resource of customResources.filter(({ kind }) => kind !== "InjectionProfile")) {
    assert.deepEqual(defaultsOf(schemaOf(resource.spec)), resource.spec.parse({}), resource.kind);
  }
});

test("reasons and types of conditions are CamelCase, and each reason says what it means", () => {
  for (const conditions of [tenantConditions, gpuPoolConditions]) {
    for (const [type, condition] of Object.entries(conditions)) {
      assert.match(type, /^[A-Z][A-Za-z]+$/);
      const { doc: _, ...statuses } = condition;
      for (const reasons of Object.values(statuses)) {
        for (const [reason, meaning] of Object.entries(
          // `negative` is the one entry that is no table of reasons.
          (reasons === true ? {} : reasons) as Readonly<Record<string, string>>,
        )) {
          assert.match(reason, /^[A-Z][A-Za-z]+$/);
          assert.match(meaning, /\.$/, `${type}/${reason}`);
        }
      }
    }
  }
});

test("every reason that is documented is one that the operator gives", () => {
  const sources = globSync("operator/**/*.ts", {
    cwd: root,
    exclude: ["**/*.test.ts", "operator/resources/crds/**", "operator/kubectl/**"],
  }).map((path) => readFileSync(join(root, path), "utf8"));
  const text = sources.join("\n");
  for (const conditions of [tenantConditions, gpuPoolConditions]) {
    for (const [type, condition] of Object.entries(conditions)) {
      const { doc: _, ...statuses } = condition;
      for (const reasons of Object.values<object | true>(statuses)) {
        // `negative` is the one entry that is no table of reasons.
        for (const reason of reasons === true ? [] : Object.keys(reasons)) {
          assert.match(
            text,
            new RegExp(`["'\`]${reason}["'\`]|\\b${reason}:`),
            `${type}/${reason}`,
          );
        }
      }
    }
  }
});

function unbounded(schema: Schema, path: string): string[] {
  const own =
    schema.type === "string" && schema.enum === undefined && schema.format === undefined
      ? schema.maxLength
      : schema.type === "array"
        ? schema.maxItems
        : schema.additionalProperties
          ? schema.maxProperties
          : 0;
  return [
    ...(own === undefined ? [path] : []),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
      unbounded(field, `${path}.${name}`),
    ),
    ...(schema.items ? unbounded(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? unbounded(schema.additionalProperties, `${path}{}`) : []),
  ];
}

const undescribed = (schema: Schema, path: string): string[] => [
  ...Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    ...(/^[A-Z`0-9].*\.$/.test(field.description ?? "") ? [] : [`${path}.${name}`]),
    ...undescribed(field, `${path}.${name}`),
  ]),
  ...(schema.items ? undescribed(schema.items, `${path}[]`) : []),
];

function messagesOf(schema: Schema): string[] {
  return [
    ...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message),
    ...Object.values(schema.properties ?? {}).flatMap(messagesOf),
    ...(schema.items ? messagesOf(schema.items) : []),
    ...(schema.additionalProperties ? messagesOf(schema.additionalProperties) : []),
  ];
}

const defaultsOf = (schema: Schema): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(schema.properties ?? {})
      .filter(([, field]) => field.default !== undefined)
      .map(([name, field]) => [name, field.default]),
  );
