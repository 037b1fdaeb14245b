/**
 * Usage per hour from the spans themselves, deduplicated; what ingest settles into `usage_hourly`.
 */
import type { Queries, TenantScope } from "./query.ts";

export interface HourlyUsage {
  hourMs: number;
  spans: number;
  inputTokens: number;
  outputTokens: number;
  gpuSeconds: number;
}

export async function readHourlyUsage(
  queries: Queries,
  scope: TenantScope,
): Promise<HourlyUsage[]> {
  const { rows } = await queries.rows<HourlyUsage>(
    scope,
    `SELECT toUnixTimestamp(toStartOfHour(start)) * 1000 AS hourMs, count() AS spans,
       sum(ifNull(input_tokens, 0)) AS inputTokens, sum(ifNull(output_tokens, 0)) AS outputTokens,
       sum(duration_ns / 1e9 * length(gpu_devices)) AS gpuSeconds
     FROM {{spans}} GROUP BY hourMs ORDER BY hourMs`,
  );
  return rows;
}
