/**
 * docs/crds.md: every field, rule, condition and column of the custom resources.
 */
import { gpuPoolConditions, tenantConditions } from "../../operator/resources/crds/conditions.ts";
import { group, version } from "../../operator/resources/crds/names.ts";
import type { CustomResource } from "../../operator/resources/crds/schema.ts";
import { table } from "./api-markdown.ts";
import { customResources, schemaOf, type Schema } from "./crds.ts";

interface Condition {
  readonly doc: string;
  readonly negative?: true;
  readonly True?: Readonly<Record<string, string>>;
  readonly False?: Readonly<Record<string, string>>;
  readonly Unknown?: Readonly<Record<string, string>>;
}

const conditionsOf: Readonly<Record<string, Readonly<Record<string, Condition>>>> = {
  AxonizeTenant: tenantConditions,
  GpuPool: gpuPoolConditions,
};

export function crdsMarkdown(): string {
  return [
    "# Custom resources\n",
    `Generated from \`operator/resources/crds\`; do not edit. Group \`${group}\`, version \`${version}\`. What a rule refuses, the apiserver refuses with that sentence; \`kubectl explain\` knows the fields, too.\n`,
    ...customResources.map(section),
  ].join("\n");
}

function section(resource: CustomResource): string {
  const scope = resource.scope === "Cluster" ? "Cluster-scoped" : "Namespaced";
  const short = resource.shortNames.map((name) => `\`${name}\``).join(", ");
  const conditions = conditionsOf[resource.kind];
  const spec = schemaOf(resource.spec);
  return [
    `## ${resource.kind}\n`,
    `${resource.doc} ${scope}${short === "" ? "" : `, short name ${short}`}.\n`,
    "### Spec\n",
    table(["field", "type", "default", "what"], rows(spec, "")),
    "\n### Rules\n",
    [...resource.rules.map(([, message]) => message), ...messages(spec)]
      .map((message) => `- ${message}`)
      .join("\n"),
    ...(resource.status === undefined
      ? []
      : [
          "\n### Status\n",
          table(
            ["field", "type", "what"],
            rows(schemaOf(resource.status), "").map(([field, type, , what]) => [
              field ?? "",
              type ?? "",
              what ?? "",
            ]),
          ),
        ]),
    ...(conditions === undefined
      ? []
      : [
          "\n### Conditions\n",
          ...Object.entries(conditions).map(([type, condition]) => conditionText(type, condition)),
        ]),
    "",
  ].join("\n");
}

function conditionText(type: string, condition: Condition): string {
  const reasons = (["True", "False", "Unknown"] as const).flatMap((status) =>
    Object.entries(condition[status] ?? {}).map(([reason, doc]) => [status, `\`${reason}\``, doc]),
  );
  const sense = condition.negative ? " True is the exception." : "";
  const listed = reasons.length === 0 ? "" : `\n\n${table(["status", "reason", "means"], reasons)}`;
  return `**${type}**: ${condition.doc}${sense}${listed}\n`;
}

function rows(schema: Schema, path: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const full = path === "" ? name : `${path}.${name}`;
    const needed = schema.required?.includes(name) === true ? "(needed)" : "";
    const row = [
      `\`${full}\``,
      typeOf(field),
      (field.properties === undefined ? shown(field.default) : "") || needed,
      field.description ?? "",
    ];
    const inner =
      field.items?.properties === undefined ? rows(field, full) : rows(field.items, `${full}[]`);
    return [row, ...inner];
  });
}

function shown(value: unknown): string {
  if (value === undefined || value === "") return "";
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

function typeOf(schema: Schema): string {
  if (schema["x-kubernetes-int-or-string"]) return "number or text";
  if (schema.enum) return schema.enum.map((one) => `\`${one}\``).join(", ");
  if (schema.items) return `list of ${typeOf(schema.items)}${atMost(schema.maxItems)}`;
  if (schema.additionalProperties) {
    return `map to ${typeOf(schema.additionalProperties)}${atMost(schema.maxProperties)}`;
  }
  if (schema.format === "date-time") return "time";
  if (schema.type === "integer") {
    return schema.maximum === undefined ? "number" : `${schema.minimum} … ${schema.maximum}`;
  }
  return schema.type === "string" ? `text${atMost(schema.maxLength)}` : (schema.type ?? "");
}

const atMost = (most: number | undefined): string =>
  most === undefined ? "" : `, at most ${most}`;

/** Of all rules below, in reading order. */
function messages(schema: Schema): string[] {
  return [
    ...(schema["x-kubernetes-validations"] ?? []).map(({ message }) => message),
    ...Object.values(schema.properties ?? {}).flatMap(messages),
    ...(schema.items ? messages(schema.items) : []),
    ...(schema.additionalProperties ? messages(schema.additionalProperties) : []),
  ];
}
