/**
 * Tenants of PostgreSQL as the operator reads and writes them: the row with its owner, the namespaces bound
 * to it, and its end. Writes that change nothing are not made: each would wake every ingest process.
 */
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Binding } from "../resources/tenant/claims.ts";
import type { RowOwner } from "../resources/tenant/ownership.ts";
import type { Tx } from "./fence.ts";

/** The columns that a resource says. */
export interface TenantValues {
  name: string;
  capture: string;
  spans_per_second: number | null;
  burst_spans: number | null;
  bytes_per_day: number | null;
  on_exceeded: string;
  retention_days: number;
  payload_days: number;
  traces_per_million: number;
  admin_state: string;
}

export interface TenantRow extends RowOwner {
  readonly num: number;
}

export interface BoundNamespace {
  readonly name: string;
  readonly uid: string;
  readonly environment: string | undefined;
}

export async function readTenant(sql: Sql | Tx, id: string): Promise<TenantRow | undefined> {
  const [row] = await sql<
    {
      num: number;
      owner: RowOwner["owner"];
      lifecycle: RowOwner["lifecycle"];
      owner_cluster_uid: string | null;
      owner_uid: string | null;
      owner_seen_at: Date | null;
    }[]
  >`
    SELECT num, owner, lifecycle, owner_cluster_uid, owner_uid, owner_seen_at
    FROM tenants WHERE id = ${id}`;
  if (row === undefined) return undefined;
  return {
    num: row.num,
    owner: row.owner,
    lifecycle: row.lifecycle,
    clusterUid: row.owner_cluster_uid ?? undefined,
    uid: row.owner_uid ?? undefined,
    seenMs: row.owner_seen_at?.getTime(),
  };
}

/** false: somebody else was faster; it is to be decided anew. */
export async function putTenant(
  tx: Tx,
  tenant: { id: string; clusterUid: string; uid: string; values: TenantValues },
  before: TenantRow | undefined,
): Promise<boolean> {
  const { id, clusterUid, uid, values } = tenant;
  const owned = {
    ...values,
    owner: "operator",
    lifecycle: "active",
    owner_cluster_uid: clusterUid,
    owner_uid: uid,
  };
  if (before === undefined) {
    const made = await tx`
      INSERT INTO tenants ${tx.row({ id, ...owned, owner_seen_at: new Date() })}
      ON CONFLICT (id) DO NOTHING`;
    return made.count === 1;
  }
  const [row] = await tx<(typeof owned)[]>`
    SELECT ${tx.ids(Object.keys(owned))} FROM tenants WHERE id = ${id}
      AND owner_cluster_uid IS NOT DISTINCT FROM ${before.clusterUid ?? null}
      AND owner_uid IS NOT DISTINCT FROM ${before.uid ?? null}
    FOR UPDATE`;
  if (row === undefined) return false;
  const isSame = Object.entries(owned).every(([column, value]) =>
    Object.is(valueOf(row, column), value),
  );
  if (!isSame) {
    await tx`
      UPDATE tenants SET ${tx.set({ ...owned, owner_seen_at: new Date(), updated_at: new Date() })}
      WHERE id = ${id}`;
  }
  return true;
}

const valueOf = (row: object, column: string): unknown =>
  Object.entries(row).find(([name]) => name === column)?.[1];

/** Whom the namespaces of these UIDs are bound to, and what this tenant has. */
export async function readBindings(
  sql: Sql,
  options: { cluster: string; uids: readonly string[]; tenantId: string },
): Promise<(Binding & { environment: string | undefined; boundMs: number })[]> {
  const rows = await sql<
    {
      namespace: string;
      namespace_uid: string;
      tenant_id: string;
      environment: string | null;
      bound_at: Date;
    }[]
  >`
    SELECT namespace, namespace_uid, tenant_id, environment, bound_at FROM tenant_namespaces
    WHERE cluster = ${options.cluster}
      AND (namespace_uid = ANY(${[...options.uids]}) OR tenant_id = ${options.tenantId})`;
  return rows.map((row) => ({
    namespace: row.namespace,
    namespaceUid: row.namespace_uid,
    tenantId: row.tenant_id,
    environment: row.environment ?? undefined,
    boundMs: row.bound_at.getTime(),
  }));
}

/**
 * Binds exactly these to the tenant. Answers UIDs that another tenant has after all: the constraint decides
 * what the cache cannot. A namespace that was made anew under its name takes its old row away.
 */
export async function putBindings(
  tx: Tx,
  options: { cluster: string; tenantId: string; namespaces: readonly BoundNamespace[] },
): Promise<ReadonlySet<string>> {
  const { cluster, tenantId, namespaces } = options;
  const uids = namespaces.map(({ uid }) => uid);
  await tx`
    DELETE FROM tenant_namespaces
    WHERE cluster = ${cluster} AND tenant_id = ${tenantId} AND namespace_uid <> ALL(${uids})`;
  const lost = new Set<string>();
  for (const { name, uid, environment } of namespaces) {
    await tx`
      DELETE FROM tenant_namespaces
      WHERE cluster = ${cluster} AND namespace = ${name} AND namespace_uid <> ${uid}`;
    const [row] = await tx<{ tenant_id: string }[]>`
      INSERT INTO tenant_namespaces AS old (cluster, namespace, namespace_uid, tenant_id, environment)
      VALUES (${cluster}, ${name}, ${uid}, ${tenantId}, ${environment ?? null})
      ON CONFLICT (cluster, namespace_uid) DO UPDATE SET environment = excluded.environment
      WHERE old.tenant_id = excluded.tenant_id
      RETURNING tenant_id`;
    if (row === undefined) lost.add(uid);
  }
  return lost;
}

/** Takes nothing in any more; its keys are revoked. Only the owner's own row. */
export async function endTenant(tx: Tx, owner: { id: string; uid: string }): Promise<void> {
  await tx`
    UPDATE tenants SET lifecycle = 'terminating', updated_at = now()
    WHERE id = ${owner.id} AND owner_uid = ${owner.uid} AND lifecycle = 'active'`;
  await tx`
    UPDATE api_keys SET revoked_at = now() WHERE tenant_id = ${owner.id} AND revoked_at IS NULL
      AND EXISTS (SELECT FROM tenants WHERE id = ${owner.id} AND owner_uid = ${owner.uid})`;
}

/** Its namespaces are free for others; its data waits for an owner, or for its deletion. */
export async function leaveTenant(
  tx: Tx,
  owner: { id: string; uid: string },
  policy: "Retain" | "Delete",
): Promise<void> {
  await tx`
    DELETE FROM tenant_namespaces n USING tenants t
    WHERE n.tenant_id = t.id AND t.id = ${owner.id} AND t.owner_uid = ${owner.uid}`;
  if (policy === "Delete") {
    await tx`
      INSERT INTO purge_jobs AS old (tenant_num, tenant_id)
      SELECT num, id FROM tenants WHERE id = ${owner.id} AND owner_uid = ${owner.uid}
      ON CONFLICT (tenant_num) DO UPDATE SET requested_at = now(), tables_done = '{}',
        parts_left = NULL, error = NULL, finished_at = NULL
      WHERE old.finished_at IS NOT NULL`; // one that ended as the tenant was taken up again
    return;
  }
  await tx`
    UPDATE tenants SET lifecycle = 'orphaned', owner_uid = NULL, owner_cluster_uid = NULL,
      owner_seen_at = NULL, updated_at = now()
    WHERE id = ${owner.id} AND owner_uid = ${owner.uid}`;
}

/** Tenants of this cluster by their resource's UID, but for those whose data is queued for deletion. */
export async function readOwned(
  sql: Sql,
  clusterUid: string,
): Promise<{ id: string; uid: string }[]> {
  const rows = await sql<{ id: string; owner_uid: string }[]>`
    SELECT id, owner_uid FROM tenants t
    WHERE owner_cluster_uid = ${clusterUid} AND owner_uid IS NOT NULL
      AND NOT (lifecycle = 'terminating'
        AND EXISTS (SELECT FROM purge_jobs WHERE tenant_num = t.num AND finished_at IS NULL))`;
  return rows.map(({ id, owner_uid }) => ({ id, uid: owner_uid }));
}

/** The owners are there: what other clusters' operators read before they adopt. */
export async function tellOwnersSeen(
  tx: Tx,
  clusterUid: string,
  uids: readonly string[],
): Promise<void> {
  await tx`
    UPDATE tenants SET owner_seen_at = now()
    WHERE owner_cluster_uid = ${clusterUid} AND owner_uid = ANY(${[...uids]})`;
}
