/**
 * What the schemas of the custom resources are written with: zod for types and defaults, and beside it,
 * as metadata, what Kubernetes needs to know (list kinds, formats, CEL rules). `scripts/generate/crds.ts`
 * makes the CRDs of it.
 *
 * Every list, map and string has an upper bound: the cost of a CEL rule is estimated from them.
 */
import * as z from "zod";

/** CEL with the words a user reads when it refuses: a sentence that names the field. */
export type Rule = readonly [rule: string, message: string];

export const rules = (...list: readonly Rule[]) => ({
  "x-kubernetes-validations": list.map(([rule, message]) => ({ rule, message })),
});

/** CEL and not `pattern`: the apiserver would answer with the expression instead of a sentence. */
export const text = (most: number, pattern: string, message: string) =>
  z
    .string()
    .max(most)
    .refine((value) => new RegExp(pattern).test(value), message)
    .meta(rules([`self.matches(r'${pattern}')`, message]));

export const dnsLabelPattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
export const dnsLabel = (field: string, most = 63) =>
  text(most, dnsLabelPattern, `${field} must be a DNS label: a-z, 0-9 and '-'`);

export const int32 = (least: number, most: number) =>
  z.int().min(least).max(most).meta({ format: "int32" });
export const int64 = (least: number, most: number) =>
  z.int().min(least).max(most).meta({ format: "int64" });
export const count = int32(0, 2 ** 31 - 1);
export const time = z.string().meta({ format: "date-time" });
/** Whole number as text: JSON numbers end at 2^53. */
export const bigCount = z.string().max(20);

export const listMap = <T extends z.ZodType>(item: T, key: string, most: number) =>
  z
    .array(item)
    .max(most)
    .meta({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key] });
export const list = <T extends z.ZodType>(item: T, most: number) =>
  z.array(item).max(most).meta({ "x-kubernetes-list-type": "atomic" });
export const set = <T extends z.ZodType>(item: T, most: number) =>
  z.array(item).max(most).meta({ "x-kubernetes-list-type": "set" });
export const map = (most: number, longest: number, ...checks: readonly Rule[]) =>
  z
    .record(z.string(), z.string().max(longest))
    .meta({ maxProperties: most, ...(checks.length > 0 ? rules(...checks) : {}) });

/** `resource.Quantity`: bytes and cores as text, exact beyond 2^53. */
export const quantity = (field: string) =>
  z
    .string()
    .max(20)
    .meta(
      rules([
        "isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0",
        `${field} must be a quantity that is not negative, such as 200Gi`,
      ]),
    );

/** Of Kubernetes: number or text, as in `maxUnavailable`. */
export const intOrString = z
  .union([z.int(), z.string()])
  .meta({ "x-kubernetes-int-or-string": true });

export const observedGeneration = int64(0, Number.MAX_SAFE_INTEGER).describe(
  "The `metadata.generation` that this speaks of.",
);

export const conditions = listMap(
  z.object({
    type: z.string().max(64).describe("What is spoken of."),
    status: z.enum(["True", "False", "Unknown"]).describe("Whether it holds."),
    observedGeneration: observedGeneration.optional(),
    lastTransitionTime: time.describe("When `status` changed."),
    reason: z.string().min(1).max(64).describe("Why, in one word that programs may rely on."),
    message: z.string().max(32_768).describe("Why, and what to do, for people."),
  }),
  "type",
  16,
).describe("What holds now. The summary is `Ready`.");

/** How a kind is listed by kubectl. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  /** Shown with `-o wide` only. */
  readonly priority?: 1;
}

/** Everything of a custom resource that a CRD is made of. */
export interface CustomResource {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly scope: "Cluster" | "Namespaced";
  readonly doc: string;
  readonly spec: z.ZodType;
  readonly status?: z.ZodType;
  /** At the root, where `self.metadata.name` can be read. */
  readonly rules: readonly Rule[];
  readonly columns: readonly PrinterColumn[];
  readonly selectableFields: readonly string[];
}

export const conditionColumns = (...types: readonly string[]): readonly PrinterColumn[] => [
  ...types.map((type) => ({
    name: type,
    type: "string" as const,
    jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
  })),
  {
    name: "Reason",
    type: "string",
    jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
  },
];
