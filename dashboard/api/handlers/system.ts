/**
 * Axonize's own health: stores, running components, what ingest does and refuses, tables.
 *
 * Components write a heartbeat with their own figures; this reads them and asks the stores. A
 * tenant's key sees that the stores answer; figures of the whole installation are the admin's (and
 * those of the one who runs standalone on this machine).
 */
import { adviceFor } from "@axonize/core/contract/refusal-advice";
import type { System } from "@axonize/core/contract/system";
import type { ClickHouseClient } from "@axonize/core/runtime/clickhouse";
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import { seesAllDevices } from "../gpus/sight.ts";
import type { Handlers } from "../mount.ts";
import { agentFrom, unjoinedFrom } from "../gpus/agents.ts";
import { readAgents, type AgentRecord } from "../queries/identity.sql.ts";
import { readNewestSpanMs } from "../queries/start.sql.ts";
import type { Queries } from "../queries/query.ts";
import { rfc3339FromMs } from "../time-text.ts";

/** Heartbeats come every few seconds; three missed ones are no coincidence. */
const staleMs = 30_000;
/** A component that said nothing for a day is gone, not ill. */
const goneMs = 86_400_000;
const newestWithinMs = 3_600_000;

export function createSystemHandlers(
  deps: { queries: Queries; clickhouse: ClickHouseClient; sql: Sql; clock: Clock },
  config: { mode: "standalone" | "cluster"; version: string },
): Pick<Handlers, "getSystem"> {
  return {
    getSystem: async (_input, context) => {
      const { nowMs, signal } = context;
      const isOperator = seesAllDevices(context, config.mode);
      const [clickhouse, postgres, tables, components, agents, newestMs] = await Promise.all([
        probeClickHouse(deps, signal),
        probePostgres(deps),
        isOperator ? readTables(deps.queries, signal) : [],
        isOperator ? readComponents(deps.sql, nowMs) : [],
        isOperator ? agentsOf(deps.sql, nowMs) : [],
        readNewestSpanMs(deps.queries, {
          tenant: context.tenant(),
          signal,
          fromMs: nowMs - newestWithinMs,
          toMs: nowMs + newestWithinMs,
        }).catch(() => undefined), // the store's own entry says that it is away
      ]);
      return {
        time: rfc3339FromMs(nowMs),
        version: config.version,
        mode: config.mode,
        scope: isOperator ? "installation" : "tenant",
        stores: [
          {
            ...clickhouse,
            bytes: isOperator ? tables.reduce((sum, table) => sum + table.bytes, 0) : null,
          },
          { ...postgres, ...(isOperator ? {} : { bytes: null }) },
        ],
        components,
        ingest: ingestFrom(components, newestMs),
        tables,
        agents: agents.map((record) => agentFrom(record, nowMs)),
        unjoined: unjoinedFrom(agents),
        errors: components.flatMap(errorsFrom),
      };
    },
  };
}

type Store = System["stores"][number];
type Component = System["components"][number];

async function probeClickHouse(
  deps: { queries: Queries; clock: Clock },
  signal: AbortSignal,
): Promise<Store> {
  const started = deps.clock.monotonic();
  try {
    const { rows } = await deps.queries.rows<{ version: string }>(
      { engine: true, signal },
      "SELECT version FROM {{one}}",
    );
    return {
      name: "clickhouse",
      ok: true,
      version: rows[0]?.version ?? "",
      latencyMs: deps.clock.monotonic() - started,
      bytes: null,
      detail: "",
    };
  } catch (error) {
    // A store that is away is what this page is there to show.
    return {
      name: "clickhouse",
      ok: false,
      version: "",
      latencyMs: null,
      bytes: null,
      detail: errorMessage(error),
    };
  }
}

async function probePostgres(deps: { sql: Sql; clock: Clock }): Promise<Store> {
  const started = deps.clock.monotonic();
  try {
    const [row] = await deps.sql<{ version: string; bytes: number }[]>`
      SELECT current_setting('server_version') AS version,
        pg_database_size(current_database()) AS bytes`;
    return {
      name: "postgres",
      ok: true,
      version: row?.version ?? "",
      latencyMs: deps.clock.monotonic() - started,
      bytes: row?.bytes ?? null,
      detail: "",
    };
  } catch (error) {
    // As above.
    return {
      name: "postgres",
      ok: false,
      version: "",
      latencyMs: null,
      bytes: null,
      detail: errorMessage(error),
    };
  }
}

async function readTables(queries: Queries, signal: AbortSignal): Promise<System["tables"]> {
  try {
    const { rows } = await queries.rows<System["tables"][number]>(
      { engine: true, signal },
      `SELECT table AS name, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts
       FROM {{parts}} GROUP BY table ORDER BY bytes DESC, name`,
    );
    return rows;
  } catch {
    return []; // the store's own entry says that it is away
  }
}

async function readComponents(sql: Sql, nowMs: number): Promise<Component[]> {
  try {
    const rows = await sql<
      {
        component: string;
        instance: string;
        version: string;
        updated_at: Date;
        status: Record<string, unknown>;
      }[]
    >`
      SELECT component, instance, version, updated_at, status FROM component_status
      WHERE updated_at > ${new Date(nowMs - goneMs)} ORDER BY component, instance LIMIT 1000`;
    return rows.map((row) => ({
      component: row.component,
      instance: row.instance,
      version: row.version,
      updatedAt: row.updated_at.toISOString(),
      stale: nowMs - row.updated_at.getTime() > staleMs,
      status: row.status,
    }));
  } catch {
    return []; // the store's own entry says that it is away
  }
}

async function agentsOf(sql: Sql, nowMs: number): Promise<AgentRecord[]> {
  try {
    return await readAgents(sql, nowMs - goneMs);
  } catch {
    return []; // the store's own entry says that it is away
  }
}

/** Sums what live ingest processes say: rates and rejects add up, the oldest span counts for all. */
function ingestFrom(
  components: readonly Component[],
  newestMs: number | undefined,
): System["ingest"] {
  const live = components.filter(({ component, stale }) => component === "ingest" && !stale);
  const sum = (name: string): number =>
    live.reduce((total, { status }) => total + (numberFrom(status[name]) ?? 0), 0);
  const lags = live.flatMap(({ status }) => numberFrom(status["lagMs"]) ?? []);
  const rejects = new Map<string, number>();
  for (const { status } of live) {
    for (const { reason, count } of rejectsFrom(status["rejects"])) {
      rejects.set(reason, (rejects.get(reason) ?? 0) + count);
    }
  }
  return {
    spansPerSecond: sum("spansPerSecond"),
    bytesPerSecond: sum("bytesPerSecond"),
    lagMs: lags.length === 0 ? null : Math.max(...lags),
    lastSpanAt: newestMs === undefined ? null : rfc3339FromMs(newestMs),
    rejects: [...rejects]
      .map(([reason, count]) => ({ reason, count, advice: adviceFor(reason) }))
      .sort((a, b) => b.count - a.count),
  };
}

const numberFrom = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;

/** `{reason: count}` or `[{reason, count}]`. */
function rejectsFrom(value: unknown): { reason: string; count: number }[] {
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown) =>
      isRecord(item) && typeof item["reason"] === "string"
        ? [{ reason: item["reason"], count: numberFrom(item["count"]) ?? 0 }]
        : [],
    );
  }
  if (!isRecord(value)) return [];
  return Object.entries(value).map(([reason, count]) => ({
    reason,
    count: numberFrom(count) ?? 0,
  }));
}

function errorsFrom({ component, status }: Component): System["errors"] {
  const { errors } = status;
  if (!Array.isArray(errors)) return [];
  return errors.flatMap((error: unknown) =>
    isRecord(error)
      ? [
          {
            time: textFrom(error["time"]),
            component,
            code: textFrom(error["code"]),
            message: textFrom(error["message"]),
          },
        ]
      : [],
  );
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const textFrom = (value: unknown): string => (typeof value === "string" ? value : "");
