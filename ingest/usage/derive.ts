/**
 * Usage per tenant and hour, derived: each hour that spans came in for is computed again from
 * `spans FINAL` and replaces its row in PostgreSQL, so a span that was sent twice counts once.
 *
 * An hour's tokens are those of its calls, each call once: where a trace has the engine's own spans
 * they count, else those of its clients; agents, which repeat the tokens of the calls within them,
 * never do. Deriving takes at most a twentieth of the time: a busy store means older figures.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Access } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";

export interface UsageDerivation extends AsyncDisposable {
  /** Spans that start in these hours (hours since 1970) of the tenant are stored. */
  touch(tenantNum: number, hours: Iterable<number>): void;
  /** Derives what is dirty now. */
  run(): Promise<void>;
}

interface Deps {
  clickhouse: ClickHouseClient;
  sql: Sql;
  access: Access;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}

export async function createUsageDerivation(deps: Deps): Promise<UsageDerivation> {
  const { clock, log, metrics } = deps;
  const abort = new AbortController();
  // Keyed `tenant:hour`, oldest first.
  const dirty = new Map<string, Dirty>();
  const touch: UsageDerivation["touch"] = (tenantNum, hours) => {
    for (const hour of hours) {
      const key = `${tenantNum}:${hour}`;
      if (dirty.size >= limits.usageDirty && !dirty.has(key)) {
        metrics.dropped.inc({ kind: "usage-hour" });
        continue;
      }
      dirty.set(key, { tenantNum, hour });
    }
    metrics.usagePending.set(dirty.size);
  };
  const run = async (): Promise<void> => {
    while (dirty.size > 0) {
      const batch = [...dirty.values()].slice(0, limits.usageBatch);
      // Taken out first: what comes in meanwhile makes the hour dirty again.
      for (const { tenantNum, hour } of batch) dirty.delete(`${tenantNum}:${hour}`);
      try {
        for (const window of windows(batch)) await derive(deps, window);
      } catch (error) {
        for (const { tenantNum, hour } of batch) touch(tenantNum, [hour]);
        throw error;
      }
    }
    metrics.usagePending.set(0);
  };
  const warn = (error: unknown): void => {
    log.warn({ event: "usage.late", reason: errorMessage(error) });
  };
  try {
    await catchUp(deps, touch);
  } catch (error) {
    // The store may be away at a start; the hours concerned stay as they were until spans come.
    warn(error);
  }
  void runPaced({ clock, signal: abort.signal, onError: warn }, run);
  return {
    touch,
    run,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      // Stores that are slow or away must not keep us from stopping: the next start catches up.
      await withinMs(clock, limits.settleMs, run().catch(warn));
    },
  };
}

interface Dirty {
  tenantNum: number;
  hour: number;
}

/** Every `usageMs`, or less often where a run takes more than its share of the time. */
async function runPaced(
  options: { clock: Clock; signal: AbortSignal; onError: (error: unknown) => void },
  task: () => Promise<void>,
): Promise<void> {
  const { clock, signal } = options;
  let pauseMs = limits.usageMs;
  while (!signal.aborted) {
    try {
      await clock.sleep(pauseMs, signal);
    } catch {
      return; // aborted
    }
    const began = clock.monotonic();
    await task().catch(options.onError);
    pauseMs = Math.max(limits.usageMs, (clock.monotonic() - began) / limits.usageDutyRatio);
  }
}

/** What a killed process left behind: the hours of spans received shortly before it. */
async function catchUp(deps: Deps, touch: UsageDerivation["touch"]): Promise<void> {
  const since = deps.clock.now() - limits.usageCatchUpMs;
  const answer = await deps.clickhouse.query({
    query: `
      SELECT DISTINCT tenant_id AS tenantNum, toFloat64(intDiv(toUnixTimestamp64Second(start), 3600)) AS hour
      FROM spans
      WHERE received >= fromUnixTimestamp64Milli({since:Int64})
      LIMIT {most:UInt32}`,
    query_params: { since, most: limits.usageDirty },
    format: "JSONEachRow",
    clickhouse_settings: light,
  });
  for (const { tenantNum, hour } of await answer.json<{ tenantNum: number; hour: number }>()) {
    touch(tenantNum, [hour]);
  }
}

/** One thread and bounded memory: people's queries come first. */
const light = {
  max_threads: 1,
  max_memory_usage: String(300 * 1024 * 1024),
  max_bytes_before_external_group_by: String(100 * 1024 * 1024),
  max_execution_time: 60,
} as const;

/** Neighbouring hours together: an hour between them that is not dirty comes out the same again. */
function windows(batch: readonly Dirty[]): Dirty[][] {
  const found: Dirty[][] = [];
  let last: Dirty | undefined;
  for (const item of [...batch].sort((a, b) => a.hour - b.hour)) {
    if (last === undefined || item.hour > last.hour + 1) found.push([item]);
    else found.at(-1)?.push(item);
    last = item;
  }
  return found;
}

interface UsageRow {
  tenantNum: number;
  hour: number;
  spans: number;
  inputTokens: number;
  outputTokens: number;
  gpuSeconds: number;
}

/** Same rule as the API's: what has a model or an operation, and is no tool and no agent. */
const isCall =
  "(model != '' OR operation != '') AND operation NOT IN ('execute_tool', 'invoke_agent', 'create_agent', 'invoke_workflow')";

async function derive(deps: Deps, batch: readonly Dirty[]): Promise<void> {
  const hours = batch.map(({ hour }) => hour);
  const answer = await deps.clickhouse.query({
    query: `
      SELECT
        tenant_id AS tenantNum, toFloat64(h) AS hour,
        toFloat64(sum(n)) AS spans,
        toFloat64(sum(if(engine_calls > 0, engine_in, client_in))) AS inputTokens,
        toFloat64(sum(if(engine_calls > 0, engine_out, client_out))) AS outputTokens,
        sum(gpu_s) AS gpuSeconds
      FROM (
        SELECT
          tenant_id, intDiv(toUnixTimestamp64Second(start), 3600) AS h, trace_id,
          count() AS n,
          countIf(is_call AND engine != '' AND (input_tokens > 0 OR output_tokens > 0)) AS engine_calls,
          sumIf(ifNull(input_tokens, 0), is_call AND engine != '') AS engine_in,
          sumIf(ifNull(output_tokens, 0), is_call AND engine != '') AS engine_out,
          sumIf(ifNull(input_tokens, 0), is_call AND engine = '') AS client_in,
          sumIf(ifNull(output_tokens, 0), is_call AND engine = '') AS client_out,
          sum(duration_ns / 1e9 * length(gpu_devices)) AS gpu_s
        FROM (SELECT *, ${isCall} AS is_call FROM spans FINAL)
        WHERE tenant_id IN {tenants:Array(UInt32)}
          AND start >= fromUnixTimestamp64Second({from:Int64})
          AND start < fromUnixTimestamp64Second({to:Int64})
        GROUP BY tenant_id, h, trace_id
      )
      GROUP BY tenant_id, h`,
    query_params: {
      tenants: [...new Set(batch.map(({ tenantNum }) => tenantNum))],
      from: Math.min(...hours) * 3600,
      to: (Math.max(...hours) + 1) * 3600,
    },
    format: "JSONEachRow",
    clickhouse_settings: light,
  });
  await replace(deps, await answer.json<UsageRow>());
}

async function replace(deps: Deps, rows: readonly UsageRow[]): Promise<void> {
  const ids = new Map(deps.access.tenants().map((tenant) => [tenant.num, tenant.id]));
  const known = rows.flatMap((row) => {
    const id = ids.get(row.tenantNum);
    return id === undefined ? [] : [{ ...row, id }]; // a tenant that is gone has no usage
  });
  if (known.length === 0) return;
  const { sql } = deps;
  await sql`
    INSERT INTO usage_hourly AS old (tenant_id, hour, spans, input_tokens, output_tokens, gpu_seconds, settled_at)
    SELECT t.id, to_timestamp(u.hour * 3600), u.spans, u.input_tokens, u.output_tokens, u.gpu_seconds, now()
    FROM unnest(
      ${known.map((row) => row.id)}::text[], ${known.map((row) => row.hour)}::float8[],
      ${known.map((row) => row.spans)}::float8[], ${known.map((row) => row.inputTokens)}::float8[],
      ${known.map((row) => row.outputTokens)}::float8[], ${known.map((row) => row.gpuSeconds)}::float8[]
    ) AS u (id, hour, spans, input_tokens, output_tokens, gpu_seconds)
    JOIN tenants t ON t.id = u.id
    ON CONFLICT (tenant_id, hour) DO UPDATE SET
      spans = excluded.spans, input_tokens = excluded.input_tokens,
      output_tokens = excluded.output_tokens, gpu_seconds = excluded.gpu_seconds,
      settled_at = excluded.settled_at`;
}
