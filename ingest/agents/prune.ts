/**
 * Deletes intervals of identity that ended so long ago that nothing refers to them any more. A device's
 * past can be asked for as long as its longest aggregates live, a trace's bindings as long as the longest
 * retention of any tenant; spans older than that are not taken.
 *
 * One replica at a time, in bounded statements with pauses: a year that was never pruned is worked off
 * over hours without holding anybody up. Open intervals are never touched.
 */
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "./limits.ts";
import type { AgentMetrics } from "./metrics.ts";

interface Deps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: AgentMetrics;
}

/** Any number that is ours alone in the database. */
const advisoryLock = 43_174_319;

const tables = [
  "ordinal_bindings",
  "usages",
  "allocations",
  "compute_resources",
  "gpu_placements",
] as const;

export function startPruning(deps: Deps): AsyncDisposable {
  const { clock, log } = deps;
  const abort = new AbortController();
  const running = every(
    {
      clock,
      ms: limits.pruneMs,
      signal: abort.signal,
      onError: (error) => log.warn({ event: "identity.prune", reason: errorMessage(error) }),
    },
    async () => {
      await pruneIdentity(deps, { signal: abort.signal });
    },
  );
  return {
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await running;
    },
  };
}

/** One run. Answers how many intervals it deleted; 0 where another replica is at it. */
export async function pruneIdentity(
  { sql, clock, log, metrics }: Deps,
  options: {
    readonly signal?: AbortSignal;
    /** Rows of one statement. Default: `limits.pruneRows`. */
    readonly rows?: number;
  } = {},
): Promise<number> {
  const rows = options.rows ?? limits.pruneRows;
  let total = 0;
  for (let batch = 0; batch < limits.pruneBatches; batch += 1) {
    const deleted = await pruneOnce(sql, rows);
    for (const [table, count] of deleted) metrics.pruned.inc({ table }, count);
    const counts = [...deleted.values()];
    total += counts.reduce((sum, count) => sum + count, 0);
    if (counts.every((count) => count < rows) || options.signal?.aborted === true) break;
    await clock.sleep(limits.prunePauseMs, options.signal);
  }
  if (total > 0) log.info({ event: "identity.pruned", intervals: total });
  return total;
}

async function pruneOnce(sql: Sql, rows: number): Promise<Map<string, number>> {
  const deleted = new Map<string, number>();
  await sql.begin(async (tx) => {
    const [lock] = await tx<{ mine: boolean }[]>`
      SELECT pg_try_advisory_xact_lock(${advisoryLock}) AS mine`;
    if (lock?.mine !== true) return;
    const [kept] = await tx<{ days: number | null }[]>`
      SELECT max(retention_days) AS days FROM tenants`;
    const days = Math.max(kept?.days ?? 0, limits.deviceDays) + limits.lateDays;
    for (const table of tables) {
      const { count } = await tx`
        DELETE FROM ${tx.id(table)} WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM ${tx.id(table)}
          WHERE valid_to < now() - ${days} * interval '1 day' ORDER BY valid_to LIMIT ${rows}))`;
      deleted.set(table, count);
    }
  });
  return deleted;
}
