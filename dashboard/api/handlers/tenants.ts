/**
 * Administration: tenants, their keys, their usage.
 *
 * What a custom resource owns is changed there: REST answers 409. A key's secret leaves the process
 * once, in the answer that creates it.
 */
import type { Key, Tenant } from "@axonize/core/contract/tenant";
import { generateKey, type Access } from "@axonize/core/runtime/access";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { Handlers } from "../mount.ts";

export function createTenantHandlers(deps: {
  sql: Sql;
  access: Access;
}): Pick<
  Handlers,
  "listTenants" | "createTenant" | "updateTenant" | "listKeys" | "createKey" | "revokeKey"
> {
  const { sql, access } = deps;
  return {
    listTenants: async () => {
      const rows = await sql<TenantRecord[]>`
        SELECT * FROM tenants ORDER BY created_at, id LIMIT ${limits.adminItems}`;
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
        ON CONFLICT (id) DO NOTHING RETURNING *`;
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
        UPDATE tenants SET ${sql(changes)} WHERE id = ${params.tenantId} RETURNING *`;
      if (row === undefined) throw noTenant(params.tenantId);
      await access.refresh();
      return tenantFrom(row);
    },

    listKeys: async ({ params }) => {
      await requireTenant(sql, params.tenantId);
      const rows = await sql<KeyRecord[]>`
        SELECT id, name, scopes, created_at, last_used_at, expires_at, revoked_at FROM api_keys
        WHERE tenant_id = ${params.tenantId} ORDER BY created_at, id LIMIT ${limits.adminItems}`;
      return { items: rows.map(keyFrom), nextCursor: null };
    },

    createKey: async ({ params, body }) => {
      await requireOwn(sql, params.tenantId);
      const made = generateKey();
      const [row] = await sql<KeyRecord[]>`
        INSERT INTO api_keys (id, tenant_id, name, secret_sha256, scopes)
        VALUES (${made.id}, ${params.tenantId}, ${body.name}, ${made.secretSha256},
          ${[...new Set(body.scopes)]})
        RETURNING *`;
      if (row === undefined) throw noTenant(params.tenantId);
      await access.refresh();
      return { ...keyFrom(row), key: made.key };
    },

    revokeKey: async ({ params }) => {
      const [key] = await sql<{ owner: string }[]>`
        SELECT owner FROM api_keys WHERE tenant_id = ${params.tenantId} AND id = ${params.prefix}`;
      if (key === undefined) {
        throw new AxonizeError(
          "not-found",
          `The tenant "${params.tenantId}" has no key ${params.prefix}.`,
        );
      }
      if (key.owner === "operator") throw ownedByOperator("key");
      // Twice is as good as once: the first time stays.
      await sql`
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
        WHERE tenant_id = ${params.tenantId} AND id = ${params.prefix}`;
      await access.refresh();
    },
  };
}

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

interface KeyRecord {
  id: string;
  name: string;
  scopes: Key["scopes"];
  created_at: Date;
  last_used_at: Date | null;
  expires_at: Date | null;
  revoked_at: Date | null;
}

const keyFrom = (row: KeyRecord): Key => ({
  prefix: row.id,
  name: row.name,
  scopes: row.scopes,
  createdAt: row.created_at.toISOString(),
  lastUsedAt: row.last_used_at?.toISOString() ?? null,
  expiresAt: row.expires_at?.toISOString() ?? null,
  revokedAt: row.revoked_at?.toISOString() ?? null,
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

async function requireOwn(sql: Sql, id: string): Promise<void> {
  const { owner } = await requireTenant(sql, id);
  if (owner === "operator") throw ownedByOperator("tenant");
}

const noTenant = (id: string): AxonizeError =>
  new AxonizeError("not-found", `There is no tenant "${id}".`);

const ownedByOperator = (what: string): AxonizeError =>
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
