/**
 * Values that a structural schema's own bounds refuse, one per bound, derived from the schema: enums,
 * numbers, lengths, list and map sizes, required fields.
 */
import type { Schema } from "../../../scripts/generate/crds.ts";
import type { Spec } from "./crd-cases.ts";

export type Path = readonly (string | number)[];
export interface Bound {
  readonly path: Path;
  /** undefined: the field is left out. */
  readonly value: unknown;
}

/** `full` is a valid value of the schema with every field in it. */
export function boundsOf(schema: Schema, path: Path, full: unknown): Bound[] {
  return [
    ...ownBounds(schema, full).map((value) => ({ path, value })),
    ...(schema.required ?? []).map((name) => ({ path: [...path, name], value: undefined })),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
      boundsOf(field, [...path, name], at(full, name)),
    ),
    ...(schema.items ? boundsOf(schema.items, [...path, 0], at(full, 0)) : []),
  ];
}

function ownBounds(schema: Schema, full: unknown): unknown[] {
  if (schema["x-kubernetes-int-or-string"]) return [true];
  if (schema.enum) return ["Nonsense"];
  if (schema.type === "integer") {
    const { minimum, maximum } = schema;
    return [
      "1",
      ...(minimum === undefined ? [] : [minimum - 1]),
      ...(maximum === undefined ? [] : [maximum + 1]),
    ];
  }
  if (schema.type === "string") {
    if (schema.format === "date-time") return ["yesterday"];
    return [
      7,
      ...(schema.maxLength === undefined ? [] : ["a".repeat(schema.maxLength + 1)]),
      ...(schema.minLength === undefined ? [] : [""]),
    ];
  }
  if (schema.type === "array" && schema.maxItems !== undefined && Array.isArray(full)) {
    const most = schema.maxItems;
    return ["x", Array.from({ length: most + 1 }, (_, index) => numbered(full[0], index))];
  }
  if (schema.additionalProperties && schema.maxProperties !== undefined) {
    const value = Object.values(full ?? {})[0];
    return [
      Object.fromEntries(
        Array.from({ length: schema.maxProperties + 1 }, (_, index) => [`key${index}`, value]),
      ),
    ];
  }
  return [];
}

/** Another item like this one, with another key. */
function numbered(item: unknown, index: number): unknown {
  if (typeof item !== "object" || item === null) return item;
  const [key] = Object.keys(item);
  return key === undefined ? item : { ...item, [key]: `item${index}` };
}

const at = (value: unknown, step: string | number): unknown =>
  typeof value === "object" && value !== null
    ? (value as Readonly<Record<string | number, unknown>>)[step]
    : undefined;

/** A copy with another value at the path. */
export function withValue(spec: Spec, path: Path, value: unknown): Spec {
  const [step, ...rest] = path;
  if (step === undefined) return value as Spec; // the path ends inside of the spec it was made from
  const inner = rest.length === 0 ? value : withValue((at(spec, step) ?? {}) as Spec, rest, value);
  if (Array.isArray(spec)) {
    return spec.map((item, index) => (index === step ? inner : item)) as unknown as Spec;
  }
  const copy: Record<string, unknown> = { ...spec, [step]: inner };
  if (inner === undefined) delete copy[step];
  return copy;
}

/** Of all rules of a schema. */
export function messagesOf(schema: Schema): string[] {
  return [
    ...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message),
    ...Object.values(schema.properties ?? {}).flatMap(messagesOf),
    ...(schema.items ? messagesOf(schema.items) : []),
    ...(schema.additionalProperties ? messagesOf(schema.additionalProperties) : []),
  ];
}
