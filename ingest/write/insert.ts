/**
 * One block into one table, until ClickHouse says that it has it or the deadline passes.
 *
 * Every attempt sends the same bytes under the same token, so an attempt whose answer was lost does
 * not insert twice. Settings are pinned: servers have changed their defaults (async inserts and
 * deduplication in 26.2). It knows nothing of groups and acknowledgements.
 */
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import type { Block } from "./block.ts";

export type Inserted =
  | { ok: true }
  | { ok: false; reason: "unavailable" | "refused"; message: string };

export type Insert = (block: Block, deadlineMs: number) => Promise<Inserted>;

export function createInsert(deps: {
  clickhouse: ClickHouseClient;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}): Insert {
  const { clock, log, metrics } = deps;
  const process = randomUUID();
  const slots = createSlots(limits.insertsPerTable);
  let sequence = 0;
  return async (block, deadlineMs) => {
    sequence += 1;
    const token = block.token ?? `${process}:${block.table}:${sequence}`;
    return await slots.run(block.table, async () => {
      let pauseMs = limits.insertRetryMs;
      for (;;) {
        const leftMs = deadlineMs - clock.monotonic();
        if (leftMs <= 0) {
          return { ok: false, reason: "unavailable", message: "the store is too slow" };
        }
        const failure = await attempt(deps, { block, token, leftMs });
        if (failure === undefined) {
          metrics.inserts.inc({ table: block.table, outcome: "inserted" });
          metrics.insertedRows.inc({ table: block.table }, block.rows);
          return { ok: true };
        }
        metrics.inserts.inc({ table: block.table, outcome: failure.outcome });
        log.warn({
          event: "insert.failed",
          table: block.table,
          rows: block.rows,
          outcome: failure.outcome,
          reason: failure.message,
        });
        const { message } = failure;
        if (failure.outcome === "refused") return { ok: false, reason: "refused", message };
        if (clock.monotonic() + pauseMs >= deadlineMs) {
          return { ok: false, reason: "unavailable", message };
        }
        await clock.sleep(pauseMs);
        pauseMs = Math.min(pauseMs * 2, limits.insertRetryMaxMs);
      }
    });
  };
}

interface Failure {
  outcome: "retried" | "refused";
  message: string;
}

async function attempt(
  deps: { clickhouse: ClickHouseClient; clock: Clock },
  options: { block: Block; token: string; leftMs: number },
): Promise<Failure | undefined> {
  const { block, token } = options;
  const abort = new AbortController();
  const attemptMs = Math.max(1, Math.min(options.leftMs, limits.insertAttemptMs));
  const done = new AbortController();
  deps.clock.sleep(attemptMs, done.signal).then(
    () => abort.abort(),
    () => undefined, // the attempt ended first
  );
  try {
    const result = await deps.clickhouse.exec({
      query: `INSERT INTO ${block.table} FORMAT Native`,
      // A list of one: given alone, a Readable would go through the bytes one by one.
      values: Readable.from([block.bytes], { objectMode: false }),
      query_id: randomUUID(),
      abort_signal: abort.signal,
      clickhouse_settings: {
        async_insert: 0,
        wait_for_async_insert: 1,
        insert_deduplicate: 1,
        date_time_input_format: "best_effort",
        deduplicate_blocks_in_dependent_materialized_views: 1,
        // Else every insert replays the table's merge row by row: a third of an insert's time for a
        // duplicate that a group hardly ever holds, and that reads remove anyhow.
        optimize_on_insert: 0,
        insert_deduplication_token: token,
        wait_end_of_query: 1,
      },
    });
    for await (const chunk of result.stream) void chunk; // an insert answers with nothing
    return undefined;
  } catch (error) {
    const message = abort.signal.aborted
      ? `no answer within ${Math.round(attemptMs)} ms`
      : errorMessage(error) || String(error);
    return { outcome: isRefusal(error) ? "refused" : "retried", message };
  } finally {
    done.abort();
  }
}

/**
 * ClickHouse's codes for what passes: timeouts, network, too many queries or parts, memory, read-only
 * replicas, Keeper, a full disk, a stopping server. Every other code means that block and table do
 * not fit, and the same bytes will not fit again.
 */
const passing = new Set([
  159, 160, 164, 173, 198, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 254, 265, 279, 285,
  286, 287, 298, 305, 306, 319, 364, 394, 415, 425, 439, 499, 516, 529, 574, 594, 667, 733, 735,
  745, 999, 1000, 1001, 1002,
]);

/** The client's errors from ClickHouse carry its code as digits; network errors carry a name. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error)) return false;
  const code = String(error.code);
  return /^\d+$/.test(code) && !passing.has(Number(code));
}

/** At most `size` at once per name, in order of arrival. Bounded by the budget of bytes. */
function createSlots(size: number) {
  const tables = new Map<string, { running: number; waiting: (() => void)[] }>();
  return {
    run: async <T>(name: string, task: () => Promise<T>): Promise<T> => {
      let table = tables.get(name);
      if (table === undefined) {
        table = { running: 0, waiting: [] };
        tables.set(name, table);
      }
      const mine = table;
      // A place that is handed over leaves `running` as it is.
      if (mine.running < size) mine.running += 1;
      else await new Promise<void>((resolve) => mine.waiting.push(resolve));
      try {
        return await task();
      } finally {
        const next = mine.waiting.shift();
        if (next === undefined) mine.running -= 1;
        else next();
      }
    },
  };
}
