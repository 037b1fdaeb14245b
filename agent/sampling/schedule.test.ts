/**
 * The plan of the sampling thread on a clock that the calls themselves move: whatever a call takes, short
 * ticks start on time, and the long reads still get done.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { Clock } from "@axonize/core/runtime/clock";
import type { FunctionName } from "../nvml/functions.ts";
import type { Work } from "../nvml/work.ts";
import { createGrid } from "./grid.ts";
import { createMeter } from "./meter.ts";
import { createSchedule } from "./schedule.ts";

/** Lives for `lifeMs` of a clock that only calls and sleeps move. */
function live(options: {
  lifeMs: number;
  fastCostMs: number;
  calls: readonly (readonly [FunctionName, number])[];
}) {
  let nowMs = 0;
  const clock: Clock = {
    now: () => nowMs,
    monotonic: () => nowMs,
    sleep: async () => undefined,
  };
  const meter = createMeter({ cpuMs: () => nowMs, startMs: 0 });
  const late: number[] = [];
  let missed = 0;
  let finished = 0;
  const schedule = createSchedule({
    clock,
    meter,
    fast: createGrid(100, 100),
    onFast(tick) {
      late.push(tick.lateMs);
      missed += tick.missed;
      nowMs += options.fastCostMs;
    },
    jobs: [
      {
        account: "slow",
        cost: "slow",
        grid: createGrid(50, 1000),
        *start(): Work<void> {
          for (const [name, ms] of options.calls) {
            yield name;
            nowMs += ms;
          }
          finished += 1;
        },
      },
    ],
  });
  while (nowMs < options.lifeMs) nowMs += Math.max(schedule.turn(), 0.01);
  const sorted = late.toSorted((a, b) => a - b);
  return {
    ticks: late.length,
    missed,
    finished,
    p99: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
    slowCalls: meter.costs().slow.calls,
  };
}

const calls = (name: FunctionName, ms: number, count: number) =>
  Array.from({ length: count }, () => [name, ms] as const);

test("calls of 20 ms delay no tick, and all of them are made", () => {
  const run = live({ lifeMs: 60_000, fastCostMs: 1, calls: calls("memoryV2", 20, 30) });
  assert.ok(run.p99 <= 1, `p99 ${run.p99} ms late`);
  assert.ok(run.ticks >= 598 && run.missed === 0, `${run.ticks} ticks, ${run.missed} missed`);
  assert.ok(run.finished >= 55, `${run.finished} long reads in a minute`);
});

test("more slow calls than the time between ticks has room for are spread over more time", () => {
  const run = live({ lifeMs: 60_000, fastCostMs: 1, calls: calls("memoryV2", 20, 100) });
  assert.ok(run.p99 <= 1, `p99 ${run.p99} ms late`);
  assert.ok(run.finished >= 20, `${run.finished} long reads`);
});

test("a call longer than the gap starts right after a tick, and the others are on time", () => {
  const run = live({
    lifeMs: 60_000,
    fastCostMs: 1,
    calls: [["processDetails", 150], ...calls("clock", 0.01, 50)],
  });
  assert.ok(run.finished >= 50, `${run.finished} long reads`);
  assert.ok(run.missed <= 70, "one tick a second falls into the long call");
});

test("short ticks that leave hardly a gap do not starve the long reads", () => {
  const run = live({ lifeMs: 60_000, fastCostMs: 95, calls: calls("memoryV2", 20, 10) });
  assert.ok(run.finished >= 10, `${run.finished} long reads`);
});
