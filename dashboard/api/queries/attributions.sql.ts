/**
 * What ingest wrote on a trace's spans about their devices: devices or candidates, how surely and why.
 */
import * as limits from "../limits.ts";
import type { Params, Queries, TenantScope } from "./query.ts";

export interface AttributionRecord {
  devices: string[];
  level: string;
  candidates: string[];
  /** A code of the resolver's; empty where there are devices. */
  reason: string;
  evidence: string[];
}

/** Each different one once, those of the first spans first. */
export async function readAttributions(
  queries: Queries,
  scope: TenantScope,
  trace: { from: string; params: Params },
): Promise<AttributionRecord[]> {
  const { rows } = await queries.rows<AttributionRecord>(
    scope,
    `SELECT gpu_devices AS devices, toString(gpu_level) AS level, gpu_candidates AS candidates,
       toString(gpu_reason) AS reason, gpu_evidence AS evidence
     FROM ${trace.from} AND gpu_level != ''
     GROUP BY devices, level, candidates, reason, evidence
     ORDER BY min(start), level LIMIT ${limits.traceAttributions}`,
    trace.params,
  );
  return rows;
}
