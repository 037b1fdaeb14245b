/**
 * What a person may do: the provider's groups mapped to a role and to tenants.
 *
 * The mapping is configuration, read anew for each request: taking a group out of it takes the right
 * away at the next restart, not at the end of the session. Pure.
 */
import { TenantId } from "@axonize/core/contract/common";
import * as z from "zod";

export const RoleMapping = z
  .array(
    z.strictObject({
      group: z
        .string()
        .min(1)
        .max(256)
        .describe("As the provider tells it; `*` is everybody who can log in."),
      role: z.enum(["Viewer", "Admin"]),
      tenants: z
        .array(TenantId)
        .max(256)
        .default([])
        .describe("Whose data a Viewer reads. An Admin reads all and administers."),
    }),
  )
  .max(1_000)
  .refine((rows) => rows.every(({ role, tenants }) => role === "Admin" || tenants.length > 0), {
    error: "gives a Viewer no tenant; name at least one in `tenants`",
  });
export type RoleMapping = z.infer<typeof RoleMapping>;

export interface Rights {
  readonly admin: boolean;
  readonly tenants: ReadonlySet<string>;
}

export function rightsOf(groups: readonly string[], mapping: RoleMapping): Rights {
  const mine = mapping.filter(({ group }) => group === "*" || groups.includes(group));
  return {
    admin: mine.some(({ role }) => role === "Admin"),
    tenants: new Set(mine.flatMap(({ tenants }) => tenants)),
  };
}

export const hasAny = ({ admin, tenants }: Rights): boolean => admin || tenants.size > 0;

/** Of a person's groups those that the mapping names: the rest is nobody's business and fills cookies. */
export const relevantGroups = (groups: readonly string[], mapping: RoleMapping): string[] =>
  groups.filter((group) => mapping.some((row) => row.group === group));
