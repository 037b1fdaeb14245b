/**
 * Who had a device when, from the identity intervals that the agents report (PostgreSQL).
 *
 * Intervals are half open: `valid_from` belongs to them, `valid_to` does not, NULL goes on. Names of
 * other tenants' pods never leave this file: a holder that is not the caller's own is nameless.
 */
import type { Holder } from "@axonize/core/contract/gpu";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { DeviceWindow } from "./query.ts";

export interface Range {
  fromMs: number;
  toMs: number;
}

/** A holder in the API's words, with its device and times to reckon with. */
export interface HolderRecord extends Holder {
  device: string;
  fromMs: number;
  /** Infinity while it goes on. */
  toMs: number;
}

interface HolderRow {
  kind: "allocation" | "usage";
  device: string;
  namespace: string | null;
  pod: string | null;
  container: string | null;
  pid: number | null;
  command: string;
  replica: number | null;
  valid_from: Date;
  valid_to: Date | null;
  stale: boolean;
  close_reason: string | null;
  own: boolean;
}

/** Whose names may be told: everybody's (undefined), or those of one tenant's namespaces. */
export type NamesOf = string | undefined;

/**
 * Allocations and processes on the devices that overlap the range, oldest first. A process without
 * Kubernetes has no names but its command's.
 */
export async function readHolders(
  sql: Sql,
  range: Range,
  of: { devices: readonly string[] | undefined; names: NamesOf },
): Promise<Map<string, HolderRecord[]>> {
  const [from, to] = [new Date(range.fromMs), new Date(range.toMs)];
  const devices = of.devices ?? null;
  const names = of.names ?? null;
  const rows = await sql<HolderRow[]>`
    WITH own AS (SELECT cluster, namespace FROM tenant_namespaces WHERE tenant_id = ${names}),
    held AS (
      SELECT 'allocation' AS kind, cluster, resource_uuid, namespace, pod, container,
        NULL::integer AS pid, '' AS command, replica, valid_from, valid_to, stale, close_reason
      FROM allocations
      WHERE valid_from < ${to} AND (valid_to IS NULL OR valid_to > ${from})
        AND (${devices}::text[] IS NULL OR resource_uuid = ANY(${devices}::text[]))
      UNION ALL
      SELECT 'usage', cluster, resource_uuid, namespace, pod, container,
        pid, command, NULL, valid_from, valid_to, false, close_reason
      FROM usages
      WHERE valid_from < ${to} AND (valid_to IS NULL OR valid_to > ${from})
        AND (${devices}::text[] IS NULL OR resource_uuid = ANY(${devices}::text[]))
    )
    SELECT kind, resource_uuid AS device, held.namespace, pod, container, pid, command,
      replica, valid_from, valid_to, stale, close_reason,
      (${names}::text IS NULL OR own.namespace IS NOT NULL) AS own
    FROM held LEFT JOIN own ON own.cluster = held.cluster AND own.namespace = held.namespace
    ORDER BY valid_from DESC, kind DESC, held.namespace DESC, pod DESC LIMIT ${limits.devices * 2}`;
  const out = new Map<string, HolderRecord[]>();
  for (const row of rows.toReversed()) {
    const held = out.get(row.device) ?? [];
    held.push(holderFrom(row));
    out.set(row.device, held);
  }
  return out;
}

function holderFrom(row: HolderRow): HolderRecord {
  const { own } = row;
  return {
    device: row.device,
    kind: row.kind,
    own,
    namespace: own ? (row.namespace ?? "") : "",
    pod: own ? (row.pod ?? "") : "",
    container: own ? (row.container ?? "") : "",
    pid: own ? row.pid : null,
    command: own ? row.command : "",
    replica: own ? row.replica : null,
    from: row.valid_from.toISOString(),
    to: row.valid_to?.toISOString() ?? null,
    fromMs: row.valid_from.getTime(),
    toMs: row.valid_to?.getTime() ?? Infinity,
    stale: row.stale,
    closeReason: own ? (row.close_reason ?? "") : "",
  };
}

/** When agents knew of the devices: only then does "nobody holds it" mean that it was free. */
export async function readKnown(
  sql: Sql,
  range: Range,
  devices: readonly string[] | undefined,
): Promise<Map<string, Range[]>> {
  const named = devices ?? null;
  const rows = await sql<{ device: string; valid_from: Date; valid_to: Date | null }[]>`
    SELECT resource_uuid AS device, valid_from, valid_to FROM compute_resources
    WHERE valid_from < ${new Date(range.toMs)}
      AND (valid_to IS NULL OR valid_to > ${new Date(range.fromMs)})
      AND (${named}::text[] IS NULL OR resource_uuid = ANY(${named}::text[]))
    ORDER BY valid_from LIMIT ${limits.devices * 2}`;
  const out = new Map<string, Range[]>();
  for (const row of rows) {
    const known = out.get(row.device) ?? [];
    known.push({ fromMs: row.valid_from.getTime(), toMs: row.valid_to?.getTime() ?? Infinity });
    out.set(row.device, known);
  }
  return out;
}

/** The times for which the tenant's own pods held devices, newest first. */
export async function readHeldWindows(
  sql: Sql,
  tenantId: string,
  range: Range,
): Promise<DeviceWindow[]> {
  const rows = await sql<{ device: string; valid_from: Date; valid_to: Date | null }[]>`
    SELECT resource_uuid AS device, valid_from, valid_to
    FROM allocations a
    JOIN tenant_namespaces n ON n.cluster = a.cluster AND n.namespace = a.namespace
    WHERE n.tenant_id = ${tenantId} AND valid_from < ${new Date(range.toMs)}
      AND (valid_to IS NULL OR valid_to > ${new Date(range.fromMs)})
    ORDER BY coalesce(valid_to, 'infinity') DESC, valid_from DESC LIMIT ${limits.deviceWindows}`;
  return rows.map((row) => ({
    device: row.device,
    fromMs: Math.max(range.fromMs, row.valid_from.getTime()),
    toMs: Math.min(range.toMs, row.valid_to?.getTime() ?? Infinity),
  }));
}

/** Of these pods, those in namespaces that the operator bound to the tenant. */
export async function readOwnPods(
  sql: Sql,
  tenantId: string,
  pods: readonly { namespace: string; pod: string }[],
): Promise<{ namespace: string; pod: string }[]> {
  if (pods.length === 0) return [];
  const rows = await sql<{ namespace: string }[]>`
    SELECT DISTINCT namespace FROM tenant_namespaces
    WHERE tenant_id = ${tenantId} AND namespace = ANY(${pods.map(({ namespace }) => namespace)})`;
  const own = new Set(rows.map(({ namespace }) => namespace));
  return pods.filter(({ namespace }) => own.has(namespace));
}

export interface BindingRecord {
  level: string;
  resource_uuids: string[];
  candidates: string[];
  reason: string | null;
  warnings: string[];
  evidence: string[];
  namespace: string | null;
  pod: string | null;
}

/** What the agents said of these pods' devices at an instant: the containers' whole sets first. */
export async function readBindings(
  sql: Sql,
  atMs: number,
  pods: readonly { namespace: string; pod: string }[],
): Promise<BindingRecord[]> {
  if (pods.length === 0) return [];
  const at = new Date(atMs);
  return await sql<BindingRecord[]>`
    SELECT level, resource_uuids, candidates, reason, warnings, evidence, b.namespace, b.pod
    FROM ordinal_bindings b
    JOIN unnest(${pods.map((pod) => pod.namespace)}::text[], ${pods.map(({ pod }) => pod)}::text[])
      AS wanted (namespace, pod) ON b.namespace = wanted.namespace AND b.pod = wanted.pod
    WHERE valid_from <= ${at} AND (valid_to IS NULL OR valid_to > ${at})
    ORDER BY (ordinal IS NULL) DESC, (pid IS NULL) DESC, valid_from LIMIT ${limits.tracePods * 4}`;
}

export interface AgentRecord {
  node: string;
  version: string;
  lastMs: number;
  offsetMs: number | null;
  offsetErrorMs: number | null;
  status: Record<string, unknown>;
}

/** The newest life of each node's agent. */
export async function readAgents(sql: Sql, sinceMs: number): Promise<AgentRecord[]> {
  const rows = await sql<
    {
      node: string;
      version: string;
      last_report: Date;
      offset_ms: number | null;
      offset_error_ms: number | null;
      status: Record<string, unknown> | null;
    }[]
  >`
    SELECT DISTINCT ON (cluster, node) node, version, last_report, offset_ms, offset_error_ms, status
    FROM agents WHERE last_report > ${new Date(sinceMs)}
    ORDER BY cluster, node, last_report DESC LIMIT ${limits.agents}`;
  return rows.map((row) => ({
    node: row.node,
    version: row.version,
    lastMs: row.last_report.getTime(),
    offsetMs: row.offset_ms,
    offsetErrorMs: row.offset_error_ms,
    status: row.status ?? {},
  }));
}
