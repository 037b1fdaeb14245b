/**
 * What was done beyond the tenants' limits, added up in PostgreSQL for the operator, which says it in
 * the tenant's condition `QuotaExceeded`. Counted here as it happens; the metric is told at once.
 */
import type { TenantAccess } from "@axonize/core/runtime/access";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { IngestMetrics } from "../metrics.ts";
import { withinMs } from "../within.ts";

export type QuotaName = "SpansPerSecond" | "BytesPerDay";

export interface Counts {
  rejectedRequests?: number;
  /** Left out, as parts of whole traces. */
  sampledSpans?: number;
  /** Kept all the same. */
  excessSpans?: number;
}

export interface Excess {
  note(tenant: TenantAccess, quota: QuotaName, counts: Counts): void;
}

interface Pending extends Required<Counts> {
  tenantId: string;
  quota: QuotaName;
}

export function createExcess(deps: {
  sql: Sql;
  clock: Clock;
  log: Log;
  metrics: IngestMetrics;
}): Excess & AsyncDisposable {
  const { sql, clock, log, metrics } = deps;
  const abort = new AbortController();
  // At most two for every tenant with a limit.
  let pending = new Map<string, Pending>();
  const put = (row: Pending): void => {
    const old = pending.get(`${row.tenantId}:${row.quota}`);
    if (old === undefined) {
      pending.set(`${row.tenantId}:${row.quota}`, { ...row });
      return;
    }
    old.rejectedRequests += row.rejectedRequests;
    old.sampledSpans += row.sampledSpans;
    old.excessSpans += row.excessSpans;
  };
  const flush = async (): Promise<void> => {
    const rows = [...pending.values()];
    if (rows.length === 0) return;
    pending = new Map();
    try {
      await addUp(sql, rows);
    } catch (error) {
      for (const row of rows) put(row);
      throw error;
    }
  };
  const warn = (error: unknown): void => {
    log.warn({ event: "excess.late", reason: errorMessage(error) });
  };
  const loop = every(
    { clock, ms: limits.intakeFlushMs, signal: abort.signal, onError: warn },
    flush,
  );
  return {
    note: (tenant, quota, { rejectedRequests = 0, sampledSpans = 0, excessSpans = 0 }) => {
      put({ tenantId: tenant.id, quota, rejectedRequests, sampledSpans, excessSpans });
      metrics.excess.inc({ quota, action: "reject" }, rejectedRequests);
      metrics.excess.inc({ quota, action: "sample" }, sampledSpans);
      metrics.excess.inc({ quota, action: "warn" }, excessSpans);
    },
    [Symbol.asyncDispose]: async () => {
      abort.abort();
      await loop;
      // A store that is away must not keep us from stopping.
      await withinMs(clock, limits.settleMs, flush().catch(warn));
    },
  };
}

async function addUp(sql: Sql, rows: readonly Pending[]): Promise<void> {
  await sql`
    INSERT INTO quota_exceeded AS old
      (tenant_id, quota, rejected_requests, sampled_spans, excess_spans)
    SELECT t.id, u.quota, u.rejected, u.sampled, u.excess
    FROM unnest(
      ${rows.map((row) => row.tenantId)}::text[], ${rows.map((row) => row.quota)}::text[],
      ${rows.map((row) => row.rejectedRequests)}::float8[],
      ${rows.map((row) => row.sampledSpans)}::float8[],
      ${rows.map((row) => Math.ceil(row.excessSpans))}::float8[]
    ) AS u (id, quota, rejected, sampled, excess)
    JOIN tenants t ON t.id = u.id
    ON CONFLICT (tenant_id, quota) DO UPDATE SET
      last_at = now(),
      rejected_requests = old.rejected_requests + excluded.rejected_requests,
      sampled_spans = old.sampled_spans + excluded.sampled_spans,
      excess_spans = old.excess_spans + excluded.excess_spans`;
}
