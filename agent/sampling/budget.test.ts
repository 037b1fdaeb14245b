/** The budget lengthens what costs most, at once far enough, and shortens again only with room to spare. */
import assert from "node:assert/strict";
import test from "node:test";
import { createBudget, type PacedSource, type Spent } from "./budget.ts";

const none: Spent = { cpuRatio: 0, driverRatio: 0 };

/** A node whose sources cost this much at full rate, run for `windows` windows under the budget. */
function live(
  full: Record<PacedSource, Spent>,
  windows: number,
  options: { unpaced?: Spent; budget?: ReturnType<typeof createBudget> } = {},
) {
  const budget = options.budget ?? createBudget();
  let factors: Record<PacedSource, number> = { fast: 1, slow: 1, processes: 1 };
  const at = (source: PacedSource): Spent => ({
    cpuRatio: full[source].cpuRatio / factors[source],
    driverRatio: full[source].driverRatio / factors[source],
  });
  let spent = { fast: none, slow: none, processes: none };
  for (let window = 0; window < windows; window += 1) {
    spent = { fast: at("fast"), slow: at("slow"), processes: at("processes") };
    factors = { ...budget.judge(spent, options.unpaced ?? none, 0.05) };
  }
  spent = { fast: at("fast"), slow: at("slow"), processes: at("processes") };
  const cpuRatio = spent.fast.cpuRatio + spent.slow.cpuRatio + spent.processes.cpuRatio;
  return { factors, cpuRatio, budget };
}
const cpu = (cpuRatio: number): Spent => ({ cpuRatio, driverRatio: 0 });

test("within the budget every period stays", () => {
  const { factors } = live({ fast: cpu(0.02), slow: cpu(0.02), processes: cpu(0.009) }, 50);
  assert.deepEqual(factors, { fast: 1, slow: 1, processes: 1 });
});

test("one window above the budget is enough to come back under it", () => {
  const { factors, cpuRatio } = live({ fast: cpu(0.4), slow: cpu(0.01), processes: none }, 1);
  assert.equal(factors.fast, 16);
  assert.equal(factors.slow, 1);
  assert.ok(cpuRatio <= 0.05);
});

test("what costs most is lengthened, not everything", () => {
  const { factors } = live({ fast: cpu(0.01), slow: cpu(0.02), processes: cpu(0.08) }, 1);
  assert.deepEqual(factors, { fast: 1, slow: 1, processes: 4 });
});

test("calls that hold the driver count although they cost no CPU", () => {
  const waiting: Spent = { cpuRatio: 0.001, driverRatio: 1.6 };
  const { factors } = live({ fast: waiting, slow: none, processes: none }, 1);
  assert.equal(factors.fast, 8, "1.6 of the time becomes 0.2, below 0.25");
});

test("when the load is gone, periods shorten step by step to what was asked", () => {
  const busy = live({ fast: cpu(0.4), slow: cpu(0.01), processes: none }, 1);
  const calm = live({ fast: cpu(0.01), slow: cpu(0.01), processes: none }, 20, {
    budget: busy.budget,
  });
  assert.deepEqual(calm.factors, { fast: 1, slow: 1, processes: 1 });
});

test("a steady load does not make the period swing", () => {
  const full = { fast: cpu(0.09), slow: none, processes: none };
  const { budget } = live(full, 5);
  const seen = new Set<number>();
  for (let window = 0; window < 50; window += 1) {
    const fast = { fast: cpu(0.045), slow: none, processes: none };
    seen.add(budget.judge(fast, none, 0.05).fast);
  }
  assert.deepEqual([...seen], [2]);
});

test("what no period steers cannot lengthen them for ever", () => {
  const { factors } = live({ fast: cpu(0.01), slow: none, processes: none }, 10, {
    unpaced: cpu(0.2),
  });
  assert.equal(factors.fast, 32);
});
