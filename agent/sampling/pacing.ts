/**
 * The grids of all ticks, and their periods: as the settings ask, times what the budget makes of them.
 */
import { createBudget } from "./budget.ts";
import { createGrid, type Grid } from "./grid.ts";
import { rarePeriodMs, topologyPeriodMs } from "./limits.ts";
import type { Window } from "./meter.ts";
import type { Settings } from "./protocol.ts";

export type Grids = Readonly<
  Record<"topology" | "fast" | "slow" | "processes" | "details" | "report", Grid>
>;

export function createGrids(startMs: number, first: Settings): Grids {
  const after = startMs + first.fastMs;
  return {
    topology: createGrid(startMs, topologyPeriodMs),
    fast: createGrid(after, first.fastMs),
    slow: createGrid(after, first.slowMs),
    processes: createGrid(after, first.processesMs),
    details: createGrid(after, rarePeriodMs),
    report: createGrid(startMs + first.reportMs, first.reportMs),
  };
}

/** The settings, and what the budget makes of their periods. */
export function createPacing(grids: Grids, first: Settings) {
  const budget = createBudget();
  let settings = first;
  let factors: ReturnType<typeof budget.judge> = { fast: 1, slow: 1, processes: 1 };
  let cpuRatio: number | undefined;
  const apply = (): void => {
    grids.fast.setPeriod(settings.fastMs * factors.fast);
    grids.slow.setPeriod(settings.slowMs * factors.slow);
    grids.processes.setPeriod(settings.processesMs * factors.processes);
    grids.report.setPeriod(settings.reportMs);
  };
  return {
    settings: () => settings,
    periods: () => ({
      fast: grids.fast.periodMs(),
      slow: grids.slow.periodMs(),
      processes: grids.processes.periodMs(),
    }),
    configure(next: Settings) {
      settings = next;
      apply();
    },
    judge(window: Window): void {
      cpuRatio = window.cpuRatio;
      factors = budget.judge(window.spent, window.unpaced, settings.cpuBudgetRatio);
      apply();
    },
    /** Over the last window. */
    cpuRatio: () => cpuRatio,
  };
}
