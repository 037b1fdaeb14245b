/**
 * Tells the server how the agent itself is: its costs, what it dropped, what it could not join, and what
 * somebody should mend.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { every } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { liveFindings } from "./doctor/live.ts";
import type { Identity } from "./join/identity.ts";
import type { AgentStatus, Reporter } from "./report.ts";
import type { Sampler } from "./sampling/sampler.ts";

/** The System page shows agents as they are now; ten seconds is what it polls at. */
const statusPeriodMs = 10_000;

export interface StatusDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly reporter: Reporter;
  readonly sampler: Sampler;
  readonly identity: Identity;
  readonly podResourcesSocket: string;
}

export function reportStatus(deps: StatusDeps): AsyncDisposable {
  const closing = new AbortController();
  const running = every(
    {
      clock: deps.clock,
      ms: statusPeriodMs,
      signal: closing.signal,
      onError: (error) => deps.log.error({ event: "agent.status", error: errorMessage(error) }),
    },
    () => deps.reporter.status(statusOf(deps)),
  );
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await running;
    },
  };
}

function statusOf({ sampler, identity, reporter, podResourcesSocket }: StatusDeps): AgentStatus {
  const { driver, trouble, batch, dropped } = sampler.state();
  return {
    driverVersion: driver?.driverVersion,
    trouble: trouble && `${trouble.reason}: ${trouble.detail}`,
    costs: batch?.costs ?? {},
    cpuRatio: batch?.cpuRatio ?? 0,
    periodMs: batch?.periods.fast ?? reporter.config().periodMs,
    wantedPeriodMs: reporter.config().periodMs,
    drops: dropped,
    unjoinedSeconds: identity.unjoinedSeconds(),
    doctor: liveFindings({
      sampler: sampler.state(),
      gpus: sampler.devices()?.gpus ?? [],
      podResourcesSocket,
      missing: sampler.latest.missing(),
      sources: identity.sources(),
      config: reporter.config(),
    }),
  };
}
