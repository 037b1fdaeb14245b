/**
 * Keys of PostgreSQL as the operator reads and writes them. Only hashes are here.
 */
import type { Sql } from "@axonize/core/runtime/postgres";
import type { KeyRow, KeyState } from "../resources/tenant/keys.ts";
import type { Tx } from "./fence.ts";

/** A key's place: one group of rows. */
export interface KeyPlace {
  readonly tenantId: string;
  readonly name: string;
  readonly cluster: string;
  readonly namespace: string;
  readonly namespaceUid: string;
}

export interface PlacedKeyRow extends KeyRow {
  readonly scopes: readonly string[];
  readonly endsWithOverlap: boolean;
  readonly name: string;
  readonly namespace: string;
  readonly namespaceUid: string;
}

/** All that are not revoked, and the last ones that were. */
export async function readKeys(
  sql: Sql,
  options: { tenantId: string; cluster: string; place?: KeyPlace },
): Promise<PlacedKeyRow[]> {
  const { place } = options;
  const rows = await sql<
    {
      id: string;
      name: string;
      namespace: string;
      namespace_uid: string;
      state: KeyState;
      created_at: Date;
      activated_at: Date | null;
      retired_at: Date | null;
      expires_at: Date | null;
      last_used_at: Date | null;
      overlap_seconds: number;
      ends_with_overlap: boolean;
      scopes: string[];
      rotate_request: string | null;
    }[]
  >`
    SELECT id, name, namespace, namespace_uid, state, created_at, activated_at, retired_at, expires_at,
      last_used_at, overlap_seconds, ends_with_overlap, scopes, rotate_request
    FROM api_keys
    WHERE tenant_id = ${options.tenantId} AND owner = 'operator' AND cluster = ${options.cluster}
      ${place === undefined ? sql.part`` : sql.part`AND name = ${place.name} AND namespace_uid = ${place.namespaceUid}`}
      AND (revoked_at IS NULL OR revoked_at > now() - interval '30 days')
    ORDER BY created_at, id`;
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    namespace: row.namespace,
    namespaceUid: row.namespace_uid,
    state: row.state,
    createdMs: row.created_at.getTime(),
    activatedMs: row.activated_at?.getTime(),
    retiredMs: row.retired_at?.getTime(),
    expiresMs: row.expires_at?.getTime(),
    lastUsedMs: row.last_used_at?.getTime(),
    overlapSeconds: row.overlap_seconds,
    endsWithOverlap: row.ends_with_overlap,
    scopes: row.scopes,
    rotateRequest: row.rotate_request ?? undefined,
  }));
}

export async function insertPendingKey(
  tx: Tx,
  place: KeyPlace,
  key: {
    id: string;
    secretSha256: Buffer;
    scopes: readonly string[];
    overlapSeconds: number;
    endsWithOverlap: boolean;
    rotateRequest: string | undefined;
  },
): Promise<void> {
  await tx`
    INSERT INTO api_keys (id, tenant_id, name, secret_sha256, scopes, owner, cluster, namespace,
      namespace_uid, state, overlap_seconds, ends_with_overlap, rotate_request)
    VALUES (${key.id}, ${place.tenantId}, ${place.name}, ${key.secretSha256}, ${[...key.scopes]},
      'operator', ${place.cluster}, ${place.namespace}, ${place.namespaceUid}, 'pending',
      ${key.overlapSeconds}, ${key.endsWithOverlap}, ${key.rotateRequest ?? null})`;
}

/** Nothing where the active key is not the one it takes the place of. */
export async function promoteKey(
  tx: Tx,
  place: KeyPlace,
  step: { id: string; from: "pending" | "retiring"; over: string | undefined },
): Promise<void> {
  if (step.from === "retiring") {
    const [active] = await tx<{ id: string }[]>`
      SELECT id FROM api_keys
      WHERE tenant_id = ${place.tenantId} AND owner = 'operator' AND name = ${place.name}
        AND cluster = ${place.cluster} AND namespace_uid = ${place.namespaceUid} AND state = 'active'
      FOR UPDATE`;
    if (active?.id !== step.over) return;
  }
  await tx`SELECT promote_api_key(${step.id}, ${step.from})`;
}

/** No end is set: where its Secret comes after all, pods have it. */
export async function abandonKey(tx: Tx, id: string): Promise<void> {
  await tx`
    UPDATE api_keys SET state = 'retiring', retired_at = now()
    WHERE id = ${id} AND state = 'pending'`;
}

export async function revokeKey(tx: Tx, tenantId: string, id: string): Promise<void> {
  await tx`
    UPDATE api_keys SET revoked_at = now()
    WHERE id = ${id} AND tenant_id = ${tenantId} AND revoked_at IS NULL`;
}

/** Revokes the keys of this cluster that belong to none of these places; answers how many. */
export async function revokeOthers(
  tx: Tx,
  options: { tenantId: string; cluster: string; places: readonly KeyPlace[] },
): Promise<number> {
  const kept = options.places.map(({ name, namespaceUid }) => `${name}/${namespaceUid}`);
  const done = await tx`
    UPDATE api_keys SET revoked_at = now()
    WHERE tenant_id = ${options.tenantId} AND owner = 'operator' AND cluster = ${options.cluster}
      AND revoked_at IS NULL AND name || '/' || namespace_uid <> ALL(${kept})`;
  return done.count;
}

/** What a key may do and how it ends, as the resource says it now. */
export async function alignKeys(
  tx: Tx,
  options: {
    tenantId: string;
    cluster: string;
    keys: readonly {
      name: string;
      scopes: readonly string[];
      overlapSeconds: number;
      endsWithOverlap: boolean;
    }[];
  },
): Promise<void> {
  for (const { name, scopes, overlapSeconds, endsWithOverlap } of options.keys) {
    await tx`
      UPDATE api_keys SET scopes = ${[...scopes]}, overlap_seconds = ${overlapSeconds},
        ends_with_overlap = ${endsWithOverlap}
      WHERE tenant_id = ${options.tenantId} AND owner = 'operator' AND cluster = ${options.cluster}
        AND name = ${name} AND revoked_at IS NULL
        AND (scopes, overlap_seconds, ends_with_overlap)
          IS DISTINCT FROM (${[...scopes]}, ${overlapSeconds}, ${endsWithOverlap})`;
  }
}
