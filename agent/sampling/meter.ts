/**
 * What sampling costs: CPU of its thread and time inside the driver, by source. Every moment of the thread
 * belongs to one source or to "other" (waking, batching, messages), so the sums are the whole.
 */
import { pacedSources, type PacedSource, type Spent } from "./budget.ts";
import { budgetWindowMs } from "./limits.ts";
import { costSources, type Cost, type CostSource } from "./protocol.ts";

export type Account = PacedSource | "topology" | "other";
const accounts: readonly Account[] = [...pacedSources, "topology", "other"];

export interface Window {
  readonly spent: Readonly<Record<PacedSource, Spent>>;
  readonly unpaced: Spent;
  readonly cpuRatio: number;
}

export interface Meter {
  /** From now on the thread works for this account. */
  switchTo(account: Account): void;
  /** Calls into the driver took this long. */
  called(source: CostSource, account: Account, ms: number): void;
  costs(): Record<CostSource, Cost>;
  /** What the window spent, when it is over; a new one begins. */
  closeWindow(nowMs: number): Window | undefined;
}

interface Sums {
  cpuMs: number;
  driverMs: number;
}

export function createMeter(deps: { cpuMs: () => number; startMs: number }): Meter {
  const costs = blank(costSources, () => ({ calls: 0, busyMs: 0, slowestMs: 0 }));
  let sums = blank(accounts, (): Sums => ({ cpuMs: 0, driverMs: 0 }));
  let current: Account = "other";
  let cpuMs = deps.cpuMs();
  let windowStartMs = deps.startMs;

  const settle = (): void => {
    const now = deps.cpuMs();
    sums[current].cpuMs += now - cpuMs;
    cpuMs = now;
  };
  return {
    switchTo(account) {
      if (account === current) return;
      settle();
      current = account;
    },
    called(source, account, ms) {
      const cost = costs[source];
      cost.calls += 1;
      cost.busyMs += ms;
      if (ms > cost.slowestMs) cost.slowestMs = ms;
      sums[account].driverMs += ms;
    },
    costs: () => structuredClone(costs),
    closeWindow(nowMs) {
      const lengthMs = nowMs - windowStartMs;
      if (lengthMs < budgetWindowMs) return undefined;
      settle();
      const done = sums;
      sums = blank(accounts, () => ({ cpuMs: 0, driverMs: 0 }));
      windowStartMs = nowMs;
      const spent = (account: Account): Spent => ({
        cpuRatio: done[account].cpuMs / lengthMs,
        driverRatio: done[account].driverMs / lengthMs,
      });
      const other = spent("other");
      const topology = spent("topology");
      return {
        spent: blank(pacedSources, spent),
        unpaced: {
          cpuRatio: other.cpuRatio + topology.cpuRatio,
          driverRatio: topology.driverRatio,
        },
        cpuRatio: accounts.reduce((sum, account) => sum + spent(account).cpuRatio, 0),
      };
    },
  };
}

function blank<K extends string, V>(keys: readonly K[], value: (key: K) => V): Record<K, V> {
  // Safe: every key gets its value.
  return Object.fromEntries(keys.map((key) => [key, value(key)])) as Record<K, V>;
}
