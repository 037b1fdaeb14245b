/**
 * What a tenant used lately, as ingest has written it: the hour's figures, the day's bytes, and whether it
 * was beyond a limit.
 */
import type { Sql } from "@axonize/core/runtime/postgres";
import type { UsageFacts } from "../resources/tenant/usage.ts";

export async function readUsage(sql: Sql, tenantId: string, nowMs: number): Promise<UsageFacts> {
  const hourMs = nowMs - (nowMs % 3_600_000);
  const dayMs = nowMs - (nowMs % 86_400_000);
  const [used, taken, exceeded] = await Promise.all([
    sql<{ spans: number; gpu_seconds: number }[]>`
      SELECT spans, gpu_seconds FROM usage_hourly
      WHERE tenant_id = ${tenantId} AND hour = ${new Date(hourMs)}`,
    sql<{ day: number; hour: number }[]>`
      SELECT coalesce(sum(bytes), 0)::bigint AS day,
        coalesce(sum(bytes) FILTER (WHERE hour = ${new Date(hourMs)}), 0)::bigint AS hour
      FROM intake_hourly WHERE tenant_id = ${tenantId} AND hour >= ${new Date(dayMs)}`,
    sql<{ quota: "SpansPerSecond" | "BytesPerDay"; last_at: Date }[]>`
      SELECT quota, last_at FROM quota_exceeded WHERE tenant_id = ${tenantId} ORDER BY last_at DESC`,
  ]);
  return {
    hourMs,
    spans: used[0]?.spans ?? 0,
    gpuSeconds: used[0]?.gpu_seconds ?? 0,
    hourBytes: taken[0]?.hour ?? 0,
    dayBytes: taken[0]?.day ?? 0,
    exceeded: exceeded.map(({ quota, last_at }) => ({ quota, lastMs: last_at.getTime() })),
  };
}
