/**
 * Pools in PostgreSQL: the operator's rows (pools, their nodes, prices), each written in a transaction that
 * holds the epoch against a later leader, and what agents reported of the nodes, which is only read.
 */
import type { PoolConfig } from "@axonize/core/contract/agent";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Fence, Tx } from "../../store/fence.ts";
import type { AgentReport, DeviceReport } from "../../resources/gpupool/facts.ts";
import type { PriceHistory, PriceRow } from "../../resources/gpupool/prices.ts";

export interface PoolRow {
  readonly uid: string;
  readonly name: string;
  readonly vendor: string;
  readonly config: PoolConfig;
  readonly nodes: readonly { readonly uid: string; readonly name: string }[];
}

export interface PoolStore {
  /** true: something differed. Writes nothing where the rows say it already. */
  putPool(epoch: number, pool: PoolRow): Promise<boolean>;
  /** Prices as they are with what `plan` appended to them. */
  appendPrices(
    epoch: number,
    pool: Pick<PoolRow, "uid" | "name">,
    plan: (rows: PriceHistory) => readonly PriceRow[],
  ): Promise<readonly PriceRow[]>;
  /** Its nodes are nobody's, its agents are told nothing more. Prices stay. */
  forgetPool(epoch: number, uid: string): Promise<void>;
  /** By name of the node. */
  readReports(nodes: readonly string[]): Promise<Map<string, AgentReport>>;
  /** A process of ingest wrote its heartbeat within the last minute. */
  isIngestUp(): Promise<boolean>;
}

export function createPoolStore(
  deps: { readonly sql: Sql; readonly fence: Fence },
  options: {
    /** As agents and ingest name it. */
    readonly cluster: string;
    /** Of the fence: UID of the namespace kube-system. */
    readonly clusterUid: string;
  },
): PoolStore {
  const { sql } = deps;
  const { cluster, clusterUid } = options;
  const fenced = async <T>(epoch: number, task: (tx: Tx) => Promise<T>): Promise<T> =>
    await deps.fence.write({ clusterUid, epoch }, task);
  return {
    putPool: async (epoch, pool) => {
      // Triggers notify for each statement: nothing is sent where nothing differs.
      if (await isWritten(sql, cluster, pool)) return false;
      await fenced(epoch, async (tx) => await writePool(tx, { cluster, epoch }, pool));
      return true;
    },
    appendPrices: async (epoch, { uid, name }, plan) => {
      if (plan(await readPrices(sql, cluster, uid)).length === 0) return [];
      return await fenced(epoch, async (tx) => {
        const rows = plan(await readPrices(tx, cluster, uid));
        for (const { product, currency, perGpuHourNanos, fromMs } of rows) {
          await tx`
            INSERT INTO prices (cluster, pool_uid, pool, product, currency, per_gpu_hour_nanos, effective_from, epoch)
            VALUES (${cluster}, ${uid}, ${name}, ${product}, ${currency}, ${perGpuHourNanos ?? null},
              ${new Date(fromMs)}, ${epoch})`;
        }
        return rows;
      });
    },
    forgetPool: async (epoch, uid) => {
      await fenced(epoch, async (tx) => {
        await tx`
          UPDATE gpu_pool_nodes SET valid_to = greatest(now(), valid_from), epoch = ${epoch}
          WHERE cluster = ${cluster} AND pool_uid = ${uid} AND valid_to IS NULL`;
        await tx`DELETE FROM gpu_pools WHERE cluster = ${cluster} AND uid = ${uid}`;
      });
    },
    readReports: async (nodes) => await readReports(sql, cluster, nodes),
    isIngestUp: async () => {
      const rows = await sql`
        SELECT FROM component_status
        WHERE component = 'ingest' AND updated_at > now() - interval '1 minute' LIMIT 1`;
      return rows.length > 0;
    },
  };
}

async function isWritten(sql: Sql, cluster: string, pool: PoolRow): Promise<boolean> {
  const [row] = await sql<{ is: boolean }[]>`
    SELECT true AS is FROM gpu_pools
    WHERE cluster = ${cluster} AND uid = ${pool.uid} AND name = ${pool.name}
      AND vendor = ${pool.vendor} AND config = ${sql.json(pool.config)}`;
  if (row === undefined) return false;
  const open = await sql<{ node_uid: string; node: string; pool_uid: string }[]>`
    SELECT node_uid, node, pool_uid FROM gpu_pool_nodes
    WHERE cluster = ${cluster} AND valid_to IS NULL
      AND (pool_uid = ${pool.uid} OR node_uid = ANY(${pool.nodes.map(({ uid }) => uid)}))`;
  const key = (...parts: string[]): string => parts.join("\0");
  const now = new Set(open.map((each) => key(each.node_uid, each.node, each.pool_uid)));
  const wanted = new Set(pool.nodes.map(({ uid, name }) => key(uid, name, pool.uid)));
  return now.size === wanted.size && [...wanted].every((each) => now.has(each));
}

async function writePool(
  tx: Tx,
  { cluster, epoch }: { cluster: string; epoch: number },
  pool: PoolRow,
): Promise<void> {
  const { uid, name, vendor, nodes } = pool;
  const config = tx.json(pool.config);
  // Made again under the same name it is another pool, and the one before is gone.
  await tx`
    UPDATE gpu_pool_nodes SET valid_to = greatest(now(), valid_from), epoch = ${epoch}
    WHERE cluster = ${cluster} AND pool = ${name} AND pool_uid <> ${uid} AND valid_to IS NULL`;
  await tx`DELETE FROM gpu_pools WHERE cluster = ${cluster} AND name = ${name} AND uid <> ${uid}`;
  await tx`
    INSERT INTO gpu_pools (cluster, uid, name, vendor, config, epoch)
    VALUES (${cluster}, ${uid}, ${name}, ${vendor}, ${config}, ${epoch})
    ON CONFLICT (cluster, uid) DO UPDATE SET name = EXCLUDED.name, vendor = EXCLUDED.vendor,
      config = EXCLUDED.config, epoch = EXCLUDED.epoch, updated_at = now()`;
  const uids = nodes.map((node) => node.uid);
  await tx`
    UPDATE gpu_pool_nodes SET valid_to = greatest(now(), valid_from), epoch = ${epoch}
    WHERE cluster = ${cluster} AND valid_to IS NULL
      AND ((pool_uid = ${uid} AND node_uid <> ALL(${uids}))
        OR (pool_uid <> ${uid} AND node_uid = ANY(${uids})))`;
  await tx`
    INSERT INTO gpu_pool_nodes (cluster, node_uid, node, pool_uid, pool, valid_from, epoch)
    SELECT ${cluster}, n.uid, n.name, ${uid}, ${name}, clock_timestamp(), ${epoch}
    FROM unnest(${uids}::text[], ${nodes.map((node) => node.name)}::text[]) AS n (uid, name)
    WHERE NOT EXISTS (SELECT FROM gpu_pool_nodes o
      WHERE o.cluster = ${cluster} AND o.node_uid = n.uid AND o.valid_to IS NULL)`;
}

async function readPrices(sql: Sql | Tx, cluster: string, uid: string): Promise<PriceHistory> {
  const rows = await sql<
    { product: string; currency: string; nanos: number | null; effective_from: Date }[]
  >`
    SELECT product, currency, per_gpu_hour_nanos AS nanos, effective_from FROM prices
    WHERE cluster = ${cluster} AND pool_uid = ${uid} ORDER BY id`;
  return rows.map(({ product, currency, nanos, effective_from: from }) => ({
    product,
    currency,
    perGpuHourNanos: nanos ?? undefined,
    fromMs: from.getTime(),
  }));
}

interface ReportRow {
  node: string;
  last_report: Date;
  trouble: string | null;
  driver: string | null;
  period_ms: number | null;
  wanted_ms: number | null;
}
interface DeviceRow {
  node: string;
  uuid: string;
  gpu_uuid: string;
  kind: "whole" | "mig";
  profile: string;
  model: string | null;
  driver_version: string | null;
  memory_mib: number | null;
  lost: boolean;
  allocated: boolean;
}

async function readReports(
  sql: Sql,
  cluster: string,
  nodes: readonly string[],
): Promise<Map<string, AgentReport>> {
  if (nodes.length === 0) return new Map();
  const names = [...nodes];
  const reports = await sql<ReportRow[]>`
    SELECT DISTINCT ON (node) node, last_report, status->>'trouble' AS trouble,
      status->>'driverVersion' AS driver, (status->>'periodMs')::double precision AS period_ms,
      (status->>'wantedPeriodMs')::double precision AS wanted_ms
    FROM agents WHERE cluster = ${cluster} AND node = ANY(${names})
    ORDER BY node, last_report DESC`;
  const devices = await sql<DeviceRow[]>`
    SELECT r.node, r.resource_uuid AS uuid, r.gpu_uuid, r.kind, r.profile, g.model, g.driver_version,
      r.memory_mib, r.lost, EXISTS (
        SELECT FROM allocations a WHERE a.cluster = r.cluster AND a.node = r.node
          AND a.resource_uuid = r.resource_uuid AND a.valid_to IS NULL) AS allocated
    FROM compute_resources r
    LEFT JOIN physical_gpus g ON g.cluster = r.cluster AND g.gpu_uuid = r.gpu_uuid
    WHERE r.cluster = ${cluster} AND r.node = ANY(${names}) AND r.valid_to IS NULL
    ORDER BY r.node, r.key`;
  const byNode = Map.groupBy(devices, ({ node }) => node);
  return new Map(
    reports.map((row) => [
      row.node,
      {
        lastMs: row.last_report.getTime(),
        driverVersion: row.driver ?? undefined,
        trouble: row.trouble ?? undefined,
        periodMs: row.period_ms ?? undefined,
        wantedPeriodMs: row.wanted_ms ?? undefined,
        resources: (byNode.get(row.node) ?? []).map(deviceFrom),
      },
    ]),
  );
}

const deviceFrom = (row: DeviceRow): DeviceReport => ({
  uuid: row.uuid,
  gpuUuid: row.gpu_uuid,
  kind: row.kind,
  profile: row.profile,
  model: row.model ?? "",
  driverVersion: row.driver_version ?? "",
  memoryMib: row.memory_mib ?? undefined,
  isLost: row.lost,
  isAllocated: row.allocated,
});
