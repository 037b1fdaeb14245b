/**
 * What a running agent finds about itself, for the server's System page: the findings that need no look of
 * their own. Pure.
 */
import type { Reason } from "../nvml/readings.ts";
import type { Identity } from "../join/identity.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";
import type { AgentStatus } from "../report.ts";
import type { SamplerState } from "../sampling/sampler.ts";
import { kubeletFinding, podsFinding } from "./cluster.ts";
import {
  driverFinding,
  gpuFindings,
  migFinding,
  readingFindings,
  versionFinding,
} from "./driver.ts";
import { ok, warning, type Finding } from "./finding.ts";
import type { Gpu } from "../nvml/topology.ts";

export function liveFindings(facts: {
  readonly sampler: SamplerState;
  readonly gpus: readonly Gpu[];
  readonly missing: ReadonlyMap<string, ReadonlyMap<string, Reason>>;
  readonly sources: ReturnType<Identity["sources"]>;
  readonly config: PoolConfig;
  readonly podResourcesSocket: string;
}): AgentStatus["doctor"] {
  const { sampler, gpus, sources } = facts;
  const { driver, trouble } = sampler;
  const findings: Finding[] = [];
  if (trouble) findings.push(driverFinding({ trouble: trouble.reason, detail: trouble.detail }));
  else if (driver) {
    findings.push(driverFinding(driver));
    const old = versionFinding(driver.driverVersion);
    if (old) findings.push(old);
    findings.push(
      ...gpuFindings(gpus, undefined, sampler.refused),
      migFinding(gpus),
      ...readingFindings(facts.missing),
    );
  }
  if (sources.kubelet.state === "none" && sources.pods === "none") {
    // Neither a kubelet nor an API server: a host of its own, where processes have the devices.
    findings.push(ok("kubelet", "no kubelet, no API server: a host without Kubernetes"));
  } else {
    findings.push(kubeletFinding(sources.kubelet, facts.podResourcesSocket));
    findings.push(podsFinding(sources.pods, sources.podsDetail));
  }
  findings.push(pace(sampler, facts.config));
  return findings.map(({ check, level, message, mend }) => ({
    check,
    ok: level === "ok",
    message,
    mend,
  }));
}

function pace(sampler: SamplerState, config: PoolConfig): Finding {
  const periodMs = sampler.batch?.periods.fast ?? config.periodMs;
  if (periodMs <= config.periodMs) return ok("pace", `every ${periodMs} ms`);
  return warning(
    "pace",
    `sampling every ${periodMs} ms instead of ${config.periodMs} to keep its budget of ${config.overheadBudgetMillicores / 10} % of a core`,
    "raise overheadBudgetMillicores, or ask for less (periodMs, metricSets)",
  );
}
