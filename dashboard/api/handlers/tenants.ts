/**
 * Administration of tenants. What a custom resource owns is changed there: REST answers 409.
 */
import type { Tenant } from "@axonize/core/contract/tenant";
import type { Access } from "@axonize/core/runtime/access";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { Handlers } from "../mount.ts";

export function createTenantHandlers(deps: {
  sql: Sql;
  access: Access;
}): Pick<Handlers, "listTenants" | "createTenant" | "updateTenant"> {
  const { sql, access } = deps;
  return {
    listTenants: async () => {
      const rows = await sql<TenantRecord[]>`
        SELECT ${sql.ids(columns)} FROM tenants ORDER BY created_at, id LIMIT ${limits.adminItems}`;
      return { items: rows.map(tenantFrom), nextCursor: null };
    },

    createTenant: async ({ body }) => {
      const [row] = await sql<TenantRecord[]>`
        INSERT INTO tenants (id, name, capture, spans_per_second, bytes_per_day, retention_days)
        VALUES (
          ${body.id ?? slugFrom(body.name)}, ${body.name}, ${body.capture ?? "None"},
          ${body.limits?.spansPerSecond ?? null}, ${body.limits?.bytesPerDay ?? null},
          ${body.retentionDays ?? 30}
        )
        ON CONFLICT (id) DO NOTHING RETURNING ${sql.ids(columns)}`;
      if (row === undefined) {
        throw new AxonizeError(
          "conflict",
          `There is a tenant "${body.id ?? slugFrom(body.name)}" already. Give another \`id\`.`,
        );
      }
      await access.refresh();
      return tenantFrom(row);
    },

    updateTenant: async ({ params, body }) => {
      await requireOwn(sql, params.tenantId);
      const changes = {
        ...(body.name === undefined ? {} : { name: body.name }),
        ...(body.capture === undefined ? {} : { capture: body.capture }),
        ...(body.retentionDays === undefined ? {} : { retention_days: body.retentionDays }),
        ...(body.limits?.spansPerSecond === undefined
          ? {}
          : { spans_per_second: body.limits.spansPerSecond }),
        ...(body.limits?.bytesPerDay === undefined
          ? {}
          : { bytes_per_day: body.limits.bytesPerDay }),
        updated_at: new Date(),
      };
      const [row] = await sql<TenantRecord[]>`
        UPDATE tenants SET ${sql.set(changes)} WHERE id = ${params.tenantId} RETURNING ${sql.ids(columns)}`;
      if (row === undefined) throw noTenant(params.tenantId);
      await access.refresh();
      return tenantFrom(row);
    },
  };
}

/** Named: a newer version's migrations may add others while this one still serves. */
const columns = [
  "id",
  "name",
  "capture",
  "spans_per_second",
  "bytes_per_day",
  "retention_days",
  "owner",
  "created_at",
] as const satisfies readonly (keyof TenantRecord)[];

interface TenantRecord {
  id: string;
  name: string;
  capture: Tenant["capture"];
  spans_per_second: number | null;
  bytes_per_day: number | null;
  retention_days: number;
  owner: Tenant["owner"];
  created_at: Date;
}

const tenantFrom = (row: TenantRecord): Tenant => ({
  id: row.id,
  name: row.name,
  capture: row.capture,
  limits: { spansPerSecond: row.spans_per_second, bytesPerDay: row.bytes_per_day },
  retentionDays: row.retention_days,
  owner: row.owner,
  createdAt: row.created_at.toISOString(),
});

export async function requireTenant(
  sql: Sql,
  id: string,
): Promise<{ id: string; num: number; owner: Tenant["owner"] }> {
  const [row] = await sql<{ id: string; num: number; owner: Tenant["owner"] }[]>`
    SELECT id, num, owner FROM tenants WHERE id = ${id}`;
  if (row === undefined) throw noTenant(id);
  return row;
}

/** A tenant that REST may change. */
export async function requireOwn(sql: Sql, id: string): Promise<void> {
  const { owner } = await requireTenant(sql, id);
  if (owner === "operator") throw ownedByOperator("tenant");
}

export const noTenant = (id: string): AxonizeError =>
  new AxonizeError("not-found", `There is no tenant "${id}".`);

export const ownedByOperator = (what: string): AxonizeError =>
  new AxonizeError("conflict", `A custom resource owns this ${what}; change it there.`);

/** `Team Vision (EU)` → `team-vision-eu`: lower-case letters, digits and dashes, at most 63. */
export function slugFrom(name: string): string {
  const slug = name
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036F]/g, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, "");
  if (slug !== "") return slug;
  throw new AxonizeError(
    "invalid-request",
    "The name has no letter or digit to make an id from; give an `id`.",
    { errors: [{ path: "body.id", message: "is needed for this name" }] },
  );
}
