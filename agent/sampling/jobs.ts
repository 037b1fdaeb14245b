/**
 * The long reads and when they are due, the most urgent first: what there is, what it says, who computes
 * on it, and the details of a GPU that no sample carries.
 */
import { rarePeriodMs } from "./limits.ts";
import type { Topology } from "../nvml/driver.ts";
import type { Group, Row } from "../nvml/readings.ts";
import type { Work } from "../nvml/work.ts";
import type { LoopDeps } from "./loop.ts";
import type { Grids } from "./pacing.ts";
import type { Settings } from "./protocol.ts";
import type { Job } from "./schedule.ts";

export function createJobs(
  { clock, driver, emit }: LoopDeps,
  plan: {
    readonly grids: Grids;
    readonly commit: (uuid: string, group: Group, row: Row) => void;
    readonly settings: () => Settings;
  },
  onTopology: (topology: Topology) => void,
): Job[] {
  let rareMs = Number.NEGATIVE_INFINITY;
  return [
    {
      account: "topology",
      cost: "topology",
      grid: plan.grids.topology,
      *start(): Work<void> {
        onTopology(yield* driver.topology());
      },
    },
    {
      account: "slow",
      cost: "slow",
      grid: plan.grids.slow,
      *start(): Work<void> {
        const rare = clock.monotonic() - rareMs >= rarePeriodMs;
        if (rare) rareMs = clock.monotonic();
        yield* driver.slow(plan.settings().sets, rare, plan.commit);
      },
    },
    {
      account: "processes",
      cost: "processes",
      grid: plan.grids.processes,
      *start(): Work<void> {
        if (!plan.settings().processes) return;
        const list = yield* driver.processes();
        emit({ type: "processes", atMs: clock.now(), list });
      },
    },
    {
      account: "slow",
      cost: "slow",
      grid: plan.grids.details,
      *start(): Work<void> {
        const details = yield* driver.details();
        emit({ type: "details", details });
      },
    },
  ];
}
