/**
 * Administration of a tenant's keys. A secret leaves the process once, in the answer that creates
 * it; only its hash is kept. What a custom resource owns is changed there: REST answers 409.
 */
import type { Key } from "@axonize/core/contract/tenant";
import { generateKey, type Access } from "@axonize/core/runtime/access";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { Handlers } from "../mount.ts";
import { noTenant, ownedByOperator, requireOwn, requireTenant } from "./tenants.ts";

export function createKeyHandlers(deps: {
  sql: Sql;
  access: Access;
}): Pick<Handlers, "listKeys" | "createKey" | "revokeKey"> {
  const { sql, access } = deps;
  return {
    listKeys: async ({ params }) => {
      await requireTenant(sql, params.tenantId);
      const rows = await sql<KeyRecord[]>`
        SELECT ${sql.ids(columns)} FROM api_keys
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
        RETURNING ${sql.ids(columns)}`;
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

const columns = [
  "id",
  "name",
  "scopes",
  "created_at",
  "last_used_at",
  "expires_at",
  "revoked_at",
] as const satisfies readonly (keyof KeyRecord)[];

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
