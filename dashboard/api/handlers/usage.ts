/**
 * What a tenant used, per hour.
 *
 * Ingest settles each hour from the deduplicated spans a little later; the newest two hours are
 * therefore derived here, live, so that usage agrees with the lists at once. Bytes are counted at
 * the door.
 */
import type { Usage } from "@axonize/core/contract/tenant";
import type { Access, TenantAccess } from "@axonize/core/runtime/access";
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import * as limits from "../limits.ts";
import type { Handlers } from "../mount.ts";
import type { Queries, TenantScope } from "../queries/query.ts";
import { readHourlyUsage } from "../queries/usage.sql.ts";
import { rangeFrom } from "../range.ts";
import { rfc3339FromMs } from "../time-text.ts";
import { requireTenant } from "./tenants.ts";

const hourMs = 3_600_000;
/** Hours that are derived live: ingest settles an hour minutes after its last span. */
const liveHours = 2;

type Figures = Usage["hours"][number];

export function createUsageHandlers(deps: {
  sql: Sql;
  access: Access;
  queries: Queries;
}): Pick<Handlers, "getUsage"> {
  const { sql, access, queries } = deps;
  return {
    getUsage: async ({ params, query }, context) => {
      await requireTenant(sql, params.tenantId);
      const asked = rangeFrom(query, context.nowMs);
      // Whole hours: those that overlap the range.
      const range = {
        fromMs: Math.max(
          Math.floor(asked.fromMs / hourMs) * hourMs,
          context.nowMs - limits.usageHours * hourMs,
        ),
        toMs: Math.ceil(asked.toMs / hourMs) * hourMs,
      };
      const tenant = await accessOf(access, params.tenantId);
      const hours = await readSettled(sql, params.tenantId, range);
      const liveFromMs = Math.max(
        range.fromMs,
        Math.floor(context.nowMs / hourMs) * hourMs - (liveHours - 1) * hourMs,
      );
      if (liveFromMs < range.toMs) {
        const scope: TenantScope = {
          tenant,
          signal: context.signal,
          fromMs: liveFromMs,
          toMs: range.toMs,
        };
        for (const live of await readHourlyUsage(queries, scope)) {
          const { hourMs: at, ...figures } = live;
          hours.set(at, { ...emptyHour(at), bytes: hours.get(at)?.bytes ?? 0, ...figures });
        }
      }
      const list = [...hours].sort(([a], [b]) => a - b).map(([, figures]) => figures);
      return {
        tenantId: params.tenantId,
        from: rfc3339FromMs(range.fromMs),
        to: rfc3339FromMs(range.toMs),
        ...totalOf(list),
        gpuSecondsBasis: "spanDuration",
        hours: list,
      };
    },
  };
}

async function accessOf(access: Access, id: string): Promise<TenantAccess> {
  const find = (): TenantAccess | undefined => access.tenants().find((tenant) => tenant.id === id);
  const known = find();
  if (known) return known;
  await access.refresh();
  const fresh = find();
  if (fresh) return fresh;
  throw new AxonizeError("not-found", `There is no tenant "${id}".`);
}

async function readSettled(
  sql: Sql,
  tenantId: string,
  range: { fromMs: number; toMs: number },
): Promise<Map<number, Figures>> {
  const [from, to] = [new Date(range.fromMs), new Date(range.toMs)];
  const rows = await sql<
    {
      hour: Date;
      spans: number | null;
      bytes: number | null;
      input_tokens: number | null;
      output_tokens: number | null;
      gpu_seconds: number | null;
    }[]
  >`
    SELECT coalesce(u.hour, i.hour) AS hour, u.spans, i.bytes, u.input_tokens, u.output_tokens,
      u.gpu_seconds
    FROM (SELECT * FROM usage_hourly
      WHERE tenant_id = ${tenantId} AND hour >= ${from} AND hour < ${to}) AS u
    FULL JOIN (SELECT * FROM intake_hourly
      WHERE tenant_id = ${tenantId} AND hour >= ${from} AND hour < ${to}) AS i ON i.hour = u.hour`;
  return new Map(
    rows.map((row) => [
      row.hour.getTime(),
      {
        hour: row.hour.toISOString(),
        spans: row.spans ?? 0,
        bytes: row.bytes ?? 0,
        inputTokens: row.input_tokens ?? 0,
        outputTokens: row.output_tokens ?? 0,
        gpuSeconds: row.gpu_seconds ?? 0,
      },
    ]),
  );
}

const emptyHour = (atMs: number): Figures => ({
  hour: rfc3339FromMs(atMs),
  spans: 0,
  bytes: 0,
  inputTokens: 0,
  outputTokens: 0,
  gpuSeconds: 0,
});

function totalOf(hours: readonly Figures[]): Omit<Figures, "hour"> {
  const sum = (name: keyof Omit<Figures, "hour">): number =>
    hours.reduce((total, hour) => total + hour[name], 0);
  return {
    spans: sum("spans"),
    bytes: sum("bytes"),
    inputTokens: sum("inputTokens"),
    outputTokens: sum("outputTokens"),
    gpuSeconds: sum("gpuSeconds"),
  };
}
