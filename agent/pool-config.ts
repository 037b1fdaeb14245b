/**
 * The pool configuration as text, from a file or down the stream: checked and bounded. What it does not
 * name stays as it is; a value out of bounds refuses the whole.
 */
import * as z from "zod";
import { metricSets, type PoolConfig } from "@axonize/core/contract/agent";

const PoolConfigShape = z
  .object({
    periodMs: z.number().int().min(50).max(60_000),
    slowPeriodMs: z.number().int().min(100).max(60_000),
    processPeriodMs: z.number().int().min(1_000).max(600_000),
    reportPeriodMs: z.number().int().min(100).max(60_000),
    metricSets: z.array(z.enum(metricSets)).max(metricSets.length),
    hostAccess: z.enum(["PodResourcesOnly", "HostPID", "Privileged"]),
    overheadBudgetMillicores: z.number().int().min(5).max(2_000),
  })
  .partial();

/** Design §10: 100 ms for utilisation and power, 1 s for GPM and the rest; 5 % of one core. */
export const defaultPoolConfig: PoolConfig = {
  periodMs: 100,
  slowPeriodMs: 1_000,
  processPeriodMs: 5_000,
  reportPeriodMs: 1_000,
  metricSets: [...metricSets],
  hostAccess: "HostPID",
  overheadBudgetMillicores: 50,
};

export function poolConfigFrom(
  json: string,
  before: PoolConfig,
): { ok: true; config: PoolConfig } | { ok: false; reason: string } {
  let told: unknown;
  try {
    told = JSON.parse(json);
  } catch {
    return { ok: false, reason: "it is not JSON" }; // the parser's words help nobody here
  }
  const parsed = PoolConfigShape.safeParse(told);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { ok: false, reason: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}` };
  }
  const given = Object.fromEntries(
    Object.entries(parsed.data).filter(([, value]) => value !== undefined),
  );
  return { ok: true, config: { ...before, ...given } };
}
