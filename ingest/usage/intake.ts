/**
 * Bytes taken in per tenant and hour, added up in PostgreSQL, and the day's sums that the limit on
 * bytes per day is held against. Counted at the door when a request is acknowledged.
 *
 * Sums lag by a flush: a tenant may pass its limit by what it sends in three seconds.
 */
import type { Access, TenantAccess } from "@axonize/core/runtime/access";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";

export interface Intake extends AsyncDisposable {
  add(tenant: TenantAccess, bytes: number): void;
  /** Bytes of the tenant's current UTC day, as far as they are known here. */
  dayBytes(tenant: TenantAccess): number;
  flush(): Promise<void>;
}

interface Pending {
  tenantId: string;
  hourMs: number;
  bytes: number;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

export async function createIntake(deps: {
  sql: Sql;
  access: Access;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}): Promise<Intake> {
  const { sql, clock, log } = deps;
  const abort = new AbortController();
  let pending = new Map<string, Pending>();
  /** On its way to PostgreSQL, or there and not in the sums yet: a limit must not forget it meanwhile. */
  const unread = new Map<string, Pending>();
  const written: Pending[] = [];
  let sums = { dayStart: 0, bytes: new Map<string, number>() };
  const today = (): number => clock.now() - (clock.now() % dayMs);

  const readSums = async (): Promise<void> => {
    const dayStart = today();
    sums = { dayStart, bytes: await daySums(deps, dayStart) };
  };
  const flush = async (): Promise<void> => {
    const rows = [...pending.values()];
    pending = new Map();
    for (const row of rows) put(unread, row);
    try {
      if (rows.length > 0) await addUp(sql, rows);
    } catch (error) {
      for (const row of rows) move(row, unread, pending);
      throw error;
    }
    written.push(...rows);
    const read = written.length;
    await readSums();
    for (const row of written.splice(0, read)) take(unread, row);
  };
  const warn = (error: unknown): void => {
    log.warn({ event: "intake.late", reason: errorMessage(error) });
  };
  await readSums();
  const loop = every(
    { clock, ms: limits.intakeFlushMs, signal: abort.signal, onError: warn },
    flush,
  );
  return {
    add: (tenant, bytes) => {
      if (pending.size >= limits.intakePending) {
        deps.metrics.dropped.inc({ kind: "intake-hour" });
        return;
      }
      const now = clock.now();
      put(pending, { tenantId: tenant.id, hourMs: now - (now % hourMs), bytes });
    },
    dayBytes: (tenant) => {
      const dayStart = today();
      let bytes = sums.dayStart === dayStart ? (sums.bytes.get(tenant.id) ?? 0) : 0;
      for (let hour = dayStart; hour <= clock.now(); hour += hourMs) {
        const key = `${tenant.id}:${hour}`;
        bytes += (pending.get(key)?.bytes ?? 0) + (unread.get(key)?.bytes ?? 0);
      }
      return bytes;
    },
    flush,
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await loop;
      // A store that is away must not keep us from stopping.
      await withinMs(clock, limits.settleMs, flush().catch(warn));
    },
  };
}

function put(pending: Map<string, Pending>, row: Pending): void {
  const key = `${row.tenantId}:${row.hourMs}`;
  const old = pending.get(key);
  if (old === undefined) pending.set(key, { ...row });
  else old.bytes += row.bytes;
}

function take(from: Map<string, Pending>, row: Pending): void {
  const key = `${row.tenantId}:${row.hourMs}`;
  const old = from.get(key);
  if (old === undefined) return;
  old.bytes -= row.bytes;
  if (old.bytes <= 0) from.delete(key);
}

function move(row: Pending, from: Map<string, Pending>, to: Map<string, Pending>): void {
  take(from, row);
  put(to, row);
}

/** Of the tenants that have a limit. */
async function daySums(
  deps: { sql: Sql; access: Access },
  dayStart: number,
): Promise<Map<string, number>> {
  const limited = deps.access
    .tenants()
    .filter(({ bytesPerDay }) => bytesPerDay !== undefined)
    .map(({ id }) => id);
  if (limited.length === 0) return new Map();
  const rows = await deps.sql<{ tenant_id: string; bytes: number }[]>`
    SELECT tenant_id, sum(bytes)::bigint AS bytes FROM intake_hourly
    WHERE tenant_id = ANY(${limited}) AND hour >= ${new Date(dayStart)}
    GROUP BY tenant_id`;
  return new Map(rows.map((row) => [row.tenant_id, row.bytes]));
}

async function addUp(sql: Sql, rows: readonly Pending[]): Promise<void> {
  await sql`
    INSERT INTO intake_hourly AS old (tenant_id, hour, bytes)
    SELECT t.id, to_timestamp(u.at), u.bytes
    FROM unnest(
      ${rows.map((row) => row.tenantId)}::text[], ${rows.map((row) => row.hourMs / 1000)}::float8[],
      ${rows.map((row) => row.bytes)}::float8[]
    ) AS u (id, at, bytes)
    JOIN tenants t ON t.id = u.id
    ON CONFLICT (tenant_id, hour) DO UPDATE SET bytes = old.bytes + excluded.bytes`;
}
