/**
 * Usage per hour from the spans themselves, deduplicated; what ingest settles into `usage_hourly`.
 * Where client and engine both tell a call's tokens, the engine's count: the same rule as there.
 */
import { isCallSql, isServedSql } from "./filter.sql.ts";
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
    `SELECT hourMs, sum(n) AS spans, sum(if(isServed, engineInput, otherInput)) AS inputTokens,
       sum(if(isServed, engineOutput, otherOutput)) AS outputTokens, sum(gpu) AS gpuSeconds
     FROM (
       SELECT toUnixTimestamp(toStartOfHour(start)) * 1000 AS hourMs, trace_id, count() AS n,
         countIf(${isServedSql}) > 0 AS isServed,
         sumIf(ifNull(input_tokens, 0), (${isCallSql}) AND engine != '') AS engineInput,
         sumIf(ifNull(output_tokens, 0), (${isCallSql}) AND engine != '') AS engineOutput,
         sumIf(ifNull(input_tokens, 0), (${isCallSql}) AND engine = '') AS otherInput,
         sumIf(ifNull(output_tokens, 0), (${isCallSql}) AND engine = '') AS otherOutput,
         sum(duration_ns / 1e9 * length(gpu_devices)) AS gpu
       FROM {{spans}} GROUP BY hourMs, trace_id
     )
     GROUP BY hourMs ORDER BY hourMs`,
  );
  return rows;
}
