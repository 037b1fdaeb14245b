/**
 * InjectionProfile: what injection needs to know of a namespace. Written by the operator alone, read by
 * the apiserver as the parameter of the injection policy, so that injection works while the operator is
 * down.
 */
import * as z from "zod";
import * as k from "./schema.ts";

export const InjectionProfileSpec = z.object({
  endpoint: z.string().max(512).describe("Where pods send by OTLP/HTTP."),
  secretName: k
    .text(63, "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", "secretName must be a DNS subdomain")
    .describe("Secret of this namespace with the key; pods start without it, too."),
  mode: z
    .enum(["OptIn", "OptOut"])
    .default("OptIn")
    .describe("Whether a pod asks for injection or has to refuse it."),
  containers: z.enum(["All", "First"]).default("All").describe("Of a pod that names none."),
  delivery: z
    .enum(["Env", "EnvAndFile"])
    .default("Env")
    .describe("`EnvAndFile` mounts the key, too."),
  resourceAttributes: k
    .map(48, 128, [
      "self.all(key, !key.contains(',') && !key.contains('=') && !self[key].contains(',') && !self[key].contains('=') && !self[key].contains('$'))",
      "resourceAttributes may not contain ',', '=' or '$'",
    ])
    .optional()
    .describe("Of the tenant, and the environment of this namespace."),
});
/** With defaults. */
export type InjectionProfileSpec = z.infer<typeof InjectionProfileSpec>;

export const injectionProfile: k.CustomResource = {
  kind: "InjectionProfile",
  plural: "injectionprofiles",
  shortNames: [],
  scope: "Namespaced",
  doc: "What is injected into the pods of a namespace. Written by the operator; edits are undone.",
  spec: InjectionProfileSpec,
  rules: [],
  columns: [
    { name: "Mode", type: "string", jsonPath: ".spec.mode" },
    { name: "Containers", type: "string", jsonPath: ".spec.containers" },
    { name: "Endpoint", type: "string", jsonPath: ".spec.endpoint" },
    { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
  ],
  selectableFields: [],
};
