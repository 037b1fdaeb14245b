/**
 * The one function through which the API reads ClickHouse. It demands whose data and which time.
 *
 * SQL names its tables as macros, `FROM {{spans}}`; each becomes a subquery that holds the tenant
 * and the time bound as server-side parameters, so a query that forgets them cannot be written (a
 * table named without macro is refused). `{{spans}}` deduplicates with FINAL; `{{spansRaw}}` does
 * not, and is for candidates that are checked afterwards. Rows older than the tenant's retention are
 * never in range, though TTL drops them later.
 */
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { TenantAccess } from "@axonize/core/runtime/access";
import type { Clock } from "@axonize/core/runtime/clock";
import { AxonizeError, errorMessage } from "@axonize/core/runtime/error";
import { ensure } from "@axonize/core/runtime/assert";
import * as limits from "../limits.ts";
import type { Metrics } from "../metrics.ts";

interface TimeBound {
  fromMs: number;
  /** Exclusive. */
  toMs: number;
  signal: AbortSignal;
}

export interface TenantScope extends TimeBound {
  tenant: TenantAccess;
}

/** Devices have no tenant: the caller names those it may see, and for which time each. */
export interface DeviceScope extends TimeBound {
  devices: readonly DeviceWindow[] | "all";
  /** Only these devices, of those that may be seen. */
  only?: readonly string[];
}

export interface DeviceWindow {
  device: string;
  fromMs: number;
  /** Exclusive. */
  toMs: number;
}

/** The engine's own tables: no tenant's data, no time. */
export interface EngineScope {
  engine: true;
  signal: AbortSignal;
}

export type Scope = TenantScope | DeviceScope | EngineScope;
export type Params = Record<string, string | number | readonly (string | number)[]>;

export interface Answer<Row> {
  rows: Row[];
  rowsRead: number;
  durationMs: number;
}

export interface Queries {
  /** `Row` is the shape that the SQL beside the call selects. */
  rows<Row>(scope: Scope, sql: string, params?: Params): Promise<Answer<Row>>;
  /** The same as one array per column, for large answers. */
  columns<Columns extends Record<string, readonly unknown[]>>(
    scope: Scope,
    sql: string,
    params?: Params,
  ): Promise<{ columns: Columns; rowsRead: number; durationMs: number }>;
}

const tenantTables: Record<string, string> = {
  spans: tenantTable("spans FINAL", "start"),
  // Before FINAL: all versions of a span have its trace's id, so this cannot choose a stale one.
  spansOfTraces: tenantTable(
    "spans FINAL PREWHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traceIds:Array(String)})), 16))",
    "start",
  ),
  spansRaw: tenantTable("spans", "start"),
  spanPayloads: `(SELECT * FROM span_payloads FINAL WHERE tenant_id = {tenantNum:UInt32}
    AND minute >= toStartOfMinute(fromUnixTimestamp64Milli({payloadFromMs:Int64}, 'UTC'))
    AND minute < fromUnixTimestamp64Milli({toMs:Int64}, 'UTC'))`,
  // Keyed by trace, with days: a trace that began the day before belongs to its window, too.
  traceIndex: `(SELECT * FROM trace_index WHERE tenant_id = {tenantNum:UInt32}
    AND day >= toDate(toDateTime({fromSeconds:Int64}, 'UTC')) - ${limits.traceIndexDaysBefore}
    AND day <= toDate(toDateTime({toSeconds:Int64}, 'UTC')))`,
  // A resource lives as long as spans name it; `last_seen` says nothing about one span's time.
  resources: `(SELECT * FROM resources FINAL WHERE tenant_id = {tenantNum:UInt32})`,
};

/** The tables of devices, bound to those that the caller may see and to the time for which it may. */
function deviceTables(scope: DeviceScope): Record<string, string> {
  const inside = mayBeSeen(scope, (w) => `${w.startMs} >= f AND ${w.endMs} <= t`);
  const overlapping = mayBeSeen(scope, (w) => `${w.endMs} >= f AND ${w.startMs} < t`);
  return {
    gpuSamples: deviceTable("gpu_samples", 0, inside),
    // A mean over ten seconds of which one is another's is not shown.
    gpuSamples10s: deviceTable("gpu_samples_10s", 10_000, inside),
    gpuSamples5m: deviceTable("gpu_samples_5m", 300_000, inside),
    gpuEvents: deviceTable("gpu_events FINAL", 0, inside),
    // Rows are hours: each tells from when to when, within it, the device was heard of.
    gpuDevices: `(SELECT * FROM (
      SELECT * REPLACE (greatest(first, fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC')) AS first,
        least(last, fromUnixTimestamp64Milli({toMs:Int64}, 'UTC')) AS last)
      FROM gpu_devices
      WHERE hour >= toStartOfHour(toDateTime({fromSeconds:Int64}, 'UTC'))
        AND hour < toDateTime({toSeconds:Int64}, 'UTC'))
    WHERE first <= last
      AND ${overlapping({ startMs: "toUnixTimestamp64Milli(first)", endMs: "toUnixTimestamp64Milli(last)" })})`,
  };
}

const engineTables: Record<string, string> = {
  parts: `(SELECT * FROM system.parts WHERE active AND database = currentDatabase())`,
  one: `(SELECT version() AS version)`,
};

export function createQueries(deps: {
  clickhouse: ClickHouseClient;
  clock: Clock;
  metrics: Metrics;
}): Queries {
  const run = async (
    scope: Scope,
    request: { sql: string; params: Params; format: "JSON" | "JSONColumnsWithMetadata" },
  ): Promise<RawAnswer> => {
    const query = expand(request.sql, tablesOf(scope));
    const started = deps.clock.monotonic();
    let outcome = "failed";
    try {
      const result = await deps.clickhouse.query({
        query,
        format: request.format,
        query_params: { ...request.params, ...scopeParams(scope, deps.clock.now()) },
        abort_signal: scope.signal,
        clickhouse_settings: settings,
      });
      // The format fixes the shape: {data, statistics}; `Row` is what the SQL selects.
      const answer = (await result.json()) as unknown as RawAnswer;
      outcome = "ok";
      deps.metrics.rowsRead.inc(answer.statistics.rows_read);
      return answer;
    } catch (error) {
      throw operatingError(error, scope.signal);
    } finally {
      deps.metrics.queries.observe({ outcome }, (deps.clock.monotonic() - started) / 1000);
    }
  };
  return {
    rows: async <Row>(scope: Scope, sql: string, params: Params = {}) => {
      const answer = await run(scope, { sql, params, format: "JSON" });
      return { rows: answer.data as Row[], ...cost(answer) };
    },
    columns: async <Columns extends Record<string, readonly unknown[]>>(
      scope: Scope,
      sql: string,
      params: Params = {},
    ) => {
      const answer = await run(scope, { sql, params, format: "JSONColumnsWithMetadata" });
      return { columns: answer.data as Columns, ...cost(answer) };
    },
  };
}

interface RawAnswer {
  data: unknown;
  statistics: { elapsed: number; rows_read: number };
}

const cost = (answer: RawAnswer) => ({
  rowsRead: answer.statistics.rows_read,
  durationMs: answer.statistics.elapsed * 1000,
});

const settings = {
  readonly: "2",
  max_execution_time: limits.querySeconds,
  max_memory_usage: String(limits.queryMemoryBytes),
  max_result_rows: String(limits.queryResultRows),
  result_overflow_mode: "throw",
  cancel_http_readonly_queries_on_client_close: 1,
  output_format_json_quote_64bit_integers: 0,
  output_format_json_quote_denormals: 0,
  // NULL instead of a type's default where a join finds nothing: unknown is never 0.
  join_use_nulls: 1,
} as const;

/** Puts the scope's subqueries in place of the macros; refuses what would read a table without one. */
export function expand(sql: string, tables: Record<string, string>): string {
  const bare = /\b(?:FROM|JOIN)\s+(?!\(|\{\{)(\w+)/i.exec(sql)?.[1];
  if (bare !== undefined) throw new Error(`assertion failed: query names ${bare} without a macro`);
  return sql.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) =>
    ensure(tables[name], `no table macro ${name} in this scope`),
  );
}

export function tablesOf(scope: Scope): Record<string, string> {
  if ("tenant" in scope) return tenantTables;
  return "engine" in scope ? engineTables : deviceTables(scope);
}

function tenantTable(table: string, time: string): string {
  return `(SELECT * FROM ${table} WHERE tenant_id = {tenantNum:UInt32}
    AND ${time} >= fromUnixTimestamp64Milli({fromMs:Int64}, 'UTC')
    AND ${time} < fromUnixTimestamp64Milli({toMs:Int64}, 'UTC'))`;
}

interface RowTime {
  startMs: string;
  endMs: string;
}

/** `bucketMs` 0: rows are instants with milliseconds; else they stand for so long from `time` on. */
function deviceTable(table: string, bucketMs: number, seen: (time: RowTime) => string): string {
  const bound = (name: "from" | "to"): string =>
    bucketMs === 0
      ? `fromUnixTimestamp64Milli({${name}Ms:Int64}, 'UTC')`
      : `toDateTime({${name}Seconds:Int64}, 'UTC')`;
  const startMs = bucketMs === 0 ? "toUnixTimestamp64Milli(time)" : "toUnixTimestamp(time) * 1000";
  const from = bucketMs === 0 ? bound("from") : `${bound("from")} - ${bucketMs / 1000 - 1}`;
  return `(SELECT * FROM ${table} WHERE time >= ${from} AND time < ${bound("to")}
    AND ${seen({ startMs, endMs: `${startMs} + ${bucketMs}` })})`;
}

/** The windows go as text: as parameters they would be part of the URL, which has no room for them. */
function mayBeSeen(scope: DeviceScope, fits: (time: RowTime) => string) {
  const { devices, only } = scope;
  const named = only ?? (devices === "all" ? undefined : devices.map(({ device }) => device));
  const isNamed =
    named === undefined
      ? "1"
      : `device IN (${[...new Set(["", ...named])].map(literal).join(", ")})`;
  if (devices === "all") return (): string => isNamed;
  const windows = devices.slice(0, limits.deviceWindows);
  const arrays = [
    windows.map(({ device }) => literal(device)),
    windows.map(({ fromMs }) => String(Math.ceil(fromMs))),
    windows.map(({ toMs }) => String(Math.floor(toMs))),
  ];
  if (windows.length === 0) return (): string => "0";
  return (time: RowTime): string =>
    `${isNamed} AND arrayExists((d, f, t) -> d = device AND ${fits(time)}, ${arrays.map((values) => `[${values.join(", ")}]`).join(", ")})`;
}

const literal = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;

/** DateTime is 32 bits: times beyond it would wrap around. */
const latestSeconds = 4_294_967_295;

function scopeParams(scope: Scope, nowMs: number): Params {
  if ("engine" in scope) return {};
  const horizonMs = "tenant" in scope ? nowMs - scope.tenant.retentionDays * 86_400_000 : 0;
  const fromMs = Math.floor(Math.max(scope.fromMs, horizonMs));
  const toMs = Math.ceil(scope.toMs);
  const seconds = (ms: number): number => Math.min(latestSeconds, Math.ceil(ms / 1000));
  return {
    fromMs,
    toMs,
    fromSeconds: Math.min(latestSeconds, Math.floor(fromMs / 1000)),
    toSeconds: seconds(toMs),
    ...("tenant" in scope
      ? {
          tenantNum: scope.tenant.num,
          // Content may have to be gone before its span is.
          payloadFromMs: Math.floor(
            Math.max(fromMs, nowMs - scope.tenant.payloadDays * 86_400_000),
          ),
        }
      : {}),
  };
}

/** ClickHouse's error codes: 159/160 too slow, 241 memory, 396 rows, 202 busy. */
export function operatingError(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "159" || code === "160" || code === "241" || code === "396") {
    return new AxonizeError(
      "query-timeout",
      `The query needed more ${code === "241" ? "memory" : "time"} than one page may take. Narrow the time range or add a filter.`,
      { cause: error },
    );
  }
  if (code === "202" || isConnectionError(code, errorMessage(error))) {
    return new AxonizeError("unavailable", "ClickHouse does not answer just now. Try again.", {
      cause: error,
      retryAfterSeconds: 2,
    });
  }
  return error;
}

function isConnectionError(code: string, message: string): boolean {
  return (
    /^E(CONN|PIPE|HOST|NET|AI)|ETIMEDOUT|UND_ERR|ECONNRESET/.test(code) ||
    /ECONNREFUSED|ECONNRESET|socket hang up|Timeout error/i.test(message)
  );
}
