/**
 * Deletes the data of tenants whose resource asked for it: table by table in ClickHouse, then the tenant
 * itself in PostgreSQL. `purge_jobs` is the queue and the progress.
 *
 * One process works off a job at a time (an advisory lock that dies with its connection). It can stop
 * anywhere: a table whose deletion was begun twice is rewritten twice and nothing else. It begins a minute
 * after the job, when no process takes the tenant's telemetry any more.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";

interface Deps {
  clickhouse: ClickHouseClient;
  sql: Sql;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}

export interface PurgeOptions {
  /** ON CLUSTER; undefined: one node. */
  cluster: string | undefined;
}

interface Job {
  tenant_num: number;
  tenant_id: string;
  tables_done: string[];
}

export function startPurge(deps: Deps, options: PurgeOptions): AsyncDisposable {
  const abort = new AbortController();
  const onError = (error: unknown): void => {
    deps.log.warn({ event: "purge.late", reason: errorMessage(error) });
  };
  const { clock } = deps;
  const loop = every({ clock, ms: limits.purgeLookMs, signal: abort.signal, onError }, async () => {
    await purgeDue(deps, { ...options, signal: abort.signal });
  });
  return {
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      // A store that is away must not keep us from stopping; the lock goes with its connection.
      await withinMs(clock, limits.settleMs, loop);
    },
  };
}

/** Works off what is due and not in others' hands. */
export async function purgeDue(
  deps: Deps,
  options: PurgeOptions & { signal: AbortSignal },
): Promise<void> {
  const { sql } = deps;
  const jobs = await sql<Job[]>`
    SELECT tenant_num, tenant_id, tables_done FROM purge_jobs
    WHERE finished_at IS NULL
      AND requested_at < now() - make_interval(secs => ${limits.purgeDelayMs / 1000})
    ORDER BY requested_at LIMIT ${limits.purgeJobs}`;
  const failures: unknown[] = [];
  for (const job of jobs) {
    if (options.signal.aborted) break;
    try {
      await alone(deps, job, async () => await purge(deps, job, options));
    } catch (error) {
      failures.push(error); // told below; a job that cannot go on does not keep those behind it
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Of PostgreSQL's advisory locks, ours for purging: "purg". */
const lockSpace = 0x70757267;

async function alone({ sql }: Deps, job: Job, work: () => Promise<void>): Promise<void> {
  // As long as it takes; the lock goes with its connection.
  await sql.within(Infinity).begin(async (tx) => {
    const [row] = await tx<{ locked: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(${lockSpace}, ${job.tenant_num}) AS locked`;
    if (row?.locked === true) await work();
  });
}

async function purge(
  deps: Deps,
  job: Job,
  options: PurgeOptions & { signal: AbortSignal },
): Promise<void> {
  const { sql, log } = deps;
  const { tenant_num: num } = job;
  try {
    const [kept] = await sql<{ lifecycle: string }[]>`
      SELECT lifecycle FROM tenants WHERE num = ${num} AND lifecycle <> 'terminating'`;
    if (kept !== undefined) {
      await sql`
        UPDATE purge_jobs SET finished_at = now(), error = 'the tenant was taken up again'
        WHERE tenant_num = ${num}`;
      return;
    }
    const done = new Set(job.tables_done);
    for (const table of await tablesOf(deps, options)) {
      if (done.has(table)) continue;
      if (!(await purgeTable(deps, { ...options, table, num }))) return;
      await sql`
        UPDATE purge_jobs SET tables_done = array_append(tables_done, ${table}), parts_left = NULL,
          error = NULL
        WHERE tenant_num = ${num}`;
    }
    await sql.begin(async (tx) => {
      await tx`DELETE FROM tenants WHERE num = ${num} AND lifecycle = 'terminating'`;
      await tx`UPDATE purge_jobs SET finished_at = now() WHERE tenant_num = ${num}`;
    });
    deps.metrics.purged.inc();
    log.info({ event: "purge.done", tenant: job.tenant_id });
  } catch (error) {
    await sql`
      UPDATE purge_jobs SET error = ${errorMessage(error).slice(0, 500)} WHERE tenant_num = ${num}`;
    throw error;
  }
}

/** Every table with a tenant in its rows, whatever a later version adds. */
async function tablesOf(
  { clickhouse }: Deps,
  { cluster }: PurgeOptions,
): Promise<readonly string[]> {
  const answer = await clickhouse.query({
    query: `SELECT t.name AS name FROM system.tables AS t
      JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
      WHERE t.database = currentDatabase() AND c.name = 'tenant_id' AND t.engine LIKE '%MergeTree'
      ORDER BY name`,
    format: "JSONEachRow",
  });
  const names = (await answer.json<{ name: string }>()).map(({ name }) => name);
  return cluster === undefined ? names : names.filter((name) => name.endsWith("_local"));
}

/** false: we stop; the job goes on elsewhere, or after the next start. */
async function purgeTable(
  deps: Deps,
  target: PurgeOptions & { table: string; num: number; signal: AbortSignal },
): Promise<boolean> {
  const { table, num, cluster } = target;
  const where = `tenant_id = ${num}`;
  const onCluster = cluster === undefined ? "" : ` ON CLUSTER ${literal(cluster)}`;
  // One that was begun before ends first: a fault that lasts would pile up one more at each try, and
  // ClickHouse refuses all mutations of a table that has a thousand.
  if (!(await waitForParts(deps, target, where))) return false;
  // Partitions without the tenant are not rewritten: a mutation skips parts that have none of its rows.
  // It is waited for below and not by the statement (the embedded engine's default), which has 30 s.
  await deps.clickhouse.command({
    query: `ALTER TABLE \`${table}\`${onCluster} DELETE WHERE ${where} SETTINGS mutations_sync = 0`,
  });
  return await waitForParts(deps, target, where);
}

/** false: we stop. Throws where a part cannot be rewritten. */
async function waitForParts(
  deps: Deps,
  target: PurgeOptions & { table: string; num: number; signal: AbortSignal },
  where: string,
): Promise<boolean> {
  for (;;) {
    const left = await partsLeft(deps, target, where);
    if (left === 0) return true;
    await deps.sql`UPDATE purge_jobs SET parts_left = ${left} WHERE tenant_num = ${target.num}`;
    try {
      await deps.clock.sleep(limits.purgePollMs, target.signal);
    } catch {
      return false; // aborted: the only way sleep rejects
    }
  }
}

async function partsLeft(
  { clickhouse }: Deps,
  { table, cluster }: PurgeOptions & { table: string },
  where: string,
): Promise<number> {
  const source =
    cluster === undefined
      ? "system.mutations"
      : `clusterAllReplicas(${literal(cluster)}, system.mutations)`;
  const answer = await clickhouse.query({
    query: `SELECT toUInt32(sum(greatest(parts_to_do, 1))) AS parts, max(latest_fail_reason) AS failure
      FROM ${source}
      WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND NOT is_killed
        AND match(command, {pattern:String})`,
    // To its last digit: tenant 1 does not wait for tenant 12.
    query_params: { table, pattern: String.raw`\b${where}\b` },
    format: "JSONEachRow",
  });
  const [row] = await answer.json<{ parts: number; failure: string }>();
  if (row !== undefined && row.failure !== "") throw new Error(row.failure);
  return row?.parts ?? 0;
}

const literal = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
