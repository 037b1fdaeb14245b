/**
 * Are the cluster's definitions of our custom resources as new as this operator? Helm never upgrades CRDs in
 * `crds/`, and people install charts apart: a field that the API server does not know is dropped without a
 * word.
 *
 * Compared are the paths of fields. A definition that has more is a newer one, and fine.
 */
import * as z from "zod";
import { customResourceDefinitions } from "./kube/kinds.ts";
import type { KubeClient, KubeObject } from "./kube/types.ts";
import { gpuPool } from "./resources/crds/gpu-pool.ts";
import { injectionProfile } from "./resources/crds/injection-profile.ts";
import { group, version } from "./resources/crds/names.ts";
import type { CustomResource } from "./resources/crds/schema.ts";
import { axonizeTenant } from "./resources/crds/tenant.ts";

export const customResources: readonly CustomResource[] = [
  axonizeTenant,
  gpuPool,
  injectionProfile,
];

/** The part of JSON Schema that has fields. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly [keyword: string]: unknown;
}

interface Definition extends KubeObject {
  readonly spec?: {
    readonly versions?: readonly {
      readonly name: string;
      readonly schema?: { readonly openAPIV3Schema?: Schema };
    }[];
  };
}

export interface SchemaFinding {
  readonly crd: string;
  /** `spec.quotas.burstSpans`; empty: as it should be. undefined: there is no definition. */
  readonly missing: readonly string[] | undefined;
}

export async function checkSchemas(client: KubeClient): Promise<SchemaFinding[]> {
  return await Promise.all(
    customResources.map(async (resource) => {
      const crd = `${resource.plural}.${group}`;
      const definition = await client.get<Definition>({
        kind: customResourceDefinitions,
        name: crd,
      });
      const live = definition?.spec?.versions?.find(({ name }) => name === version)?.schema;
      if (live?.openAPIV3Schema === undefined) return { crd, missing: undefined };
      return { crd, missing: missingFields(wantedOf(resource), live.openAPIV3Schema) };
    }),
  );
}

export function describeFinding({ crd, missing }: SchemaFinding): string | undefined {
  if (missing === undefined) {
    return `there is no ${crd}: apply the definitions (kubectl apply --server-side -f crds/)`;
  }
  if (missing.length === 0) return undefined;
  const shown = missing.slice(0, 3).join(", ");
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : "";
  return `${crd} is older than this operator, it lacks ${shown}${more}: apply the definitions (kubectl apply --server-side -f crds/)`;
}

function wantedOf({ spec, status }: CustomResource): Schema {
  const properties = { spec: fieldsOf(spec), ...(status && { status: fieldsOf(status) }) };
  return { properties };
}

const fieldsOf = (schema: z.ZodType): Schema =>
  // What is read of it is read defensively.
  z.toJSONSchema(schema, { io: "input", reused: "inline", unrepresentable: "any" }) as Schema;

export function missingFields(wanted: Schema, live: Schema | undefined, path = ""): string[] {
  const missing: string[] = [];
  for (const [name, field] of Object.entries(wanted.properties ?? {})) {
    const at = path === "" ? name : `${path}.${name}`;
    const there = live?.properties?.[name];
    if (there === undefined) missing.push(at);
    else missing.push(...missingFields(field, there, at));
  }
  if (wanted.items !== undefined) {
    missing.push(...missingFields(wanted.items, live?.items, `${path}[]`));
  }
  const { additionalProperties: more } = wanted;
  if (typeof more === "object") {
    const there = live?.additionalProperties;
    const inner = typeof there === "object" ? there : undefined;
    missing.push(...missingFields(more, inner, `${path}{}`));
  }
  return missing;
}
