/**
 * Keeps sampling within its budget: above it, the period of what costs most is doubled until the rest
 * fits; when the budget has been kept for a while, periods shorten again one step at a time.
 *
 * Two measures count: the CPU of the sampling thread, and the time that calls held the driver. Pure.
 */
import { calmWindows, driverTimeRatio, longestFactor, shortenBelowRatio } from "./limits.ts";

export const pacedSources = ["fast", "slow", "processes"] as const;
export type PacedSource = (typeof pacedSources)[number];

/** Parts of the window: 0.05 is 5 % of one core. */
export interface Spent {
  readonly cpuRatio: number;
  readonly driverRatio: number;
}

export interface Budget {
  /**
   * Takes what was spent in a window and answers by what each period is to be multiplied. `unpaced`:
   * what no period of these steers.
   */
  judge(
    spent: Readonly<Record<PacedSource, Spent>>,
    unpaced: Spent,
    cpuBudgetRatio: number,
  ): Readonly<Record<PacedSource, number>>;
}

interface Share {
  readonly source: PacedSource;
  cpu: number;
  driver: number;
}

export function createBudget(): Budget {
  const factors: Record<PacedSource, number> = { fast: 1, slow: 1, processes: 1 };
  let calm = 0;
  return {
    judge(spent, unpaced, cpuBudgetRatio) {
      // Each measure in parts of its own budget, so that 1 is the limit of both.
      const shares = pacedSources.map((source): Share => ({
        source,
        cpu: spent[source].cpuRatio / cpuBudgetRatio,
        driver: spent[source].driverRatio / driverTimeRatio,
      }));
      const fixed = {
        cpu: unpaced.cpuRatio / cpuBudgetRatio,
        driver: unpaced.driverRatio / driverTimeRatio,
      };
      if (excess(shares, fixed) !== undefined) {
        lengthen(shares, fixed, factors);
        calm = 0;
      } else if ((calm += 1) >= calmWindows && shorten(shares, fixed, factors)) {
        calm = 0;
      }
      return { ...factors };
    },
  };
}

interface Measures {
  readonly cpu: number;
  readonly driver: number;
}

/** The measure that is over, the worse first. */
function excess(shares: readonly Share[], fixed: Measures): keyof Measures | undefined {
  const cpu = total(shares, fixed, "cpu");
  const driver = total(shares, fixed, "driver");
  if (cpu <= 1 && driver <= 1) return undefined;
  return cpu >= driver ? "cpu" : "driver";
}

function total(shares: readonly Share[], fixed: Measures, measure: keyof Measures): number {
  return shares.reduce((sum, share) => sum + share[measure], fixed[measure]);
}

function lengthen(shares: Share[], fixed: Measures, factors: Record<PacedSource, number>): void {
  for (;;) {
    const measure = excess(shares, fixed);
    if (measure === undefined) return;
    const costliest = shares
      .filter(({ source }) => factors[source] < longestFactor)
      .sort((a, b) => b[measure] - a[measure])[0];
    if (!costliest || costliest[measure] === 0) return;
    factors[costliest.source] *= 2;
    costliest.cpu /= 2;
    costliest.driver /= 2;
  }
}

/** One step for the source that would cost least, if all would still fit. */
function shorten(
  shares: readonly Share[],
  fixed: Measures,
  factors: Record<PacedSource, number>,
): boolean {
  const candidates = shares
    .filter(({ source }) => factors[source] > 1)
    .sort((a, b) => Math.max(a.cpu, a.driver) - Math.max(b.cpu, b.driver));
  for (const { source, cpu, driver } of candidates) {
    const fits =
      total(shares, fixed, "cpu") + cpu <= shortenBelowRatio &&
      total(shares, fixed, "driver") + driver <= shortenBelowRatio;
    if (!fits) continue;
    factors[source] /= 2;
    return true;
  }
  return false;
}
