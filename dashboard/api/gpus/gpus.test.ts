// The arithmetic of devices: holding slow readings, stretches of throttling, the split of a range.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hold } from "./hold.ts";
import { splitOf } from "./split.ts";
import { throttleReasons, throttleStretches } from "./throttle.ts";

const every = (n: number, length: number): (number | null)[] =>
  Array.from({ length }, (_, at) => (at % n === 0 ? at : null));

test("a reading of once a second stands for a second on an axis of 100 ms", () => {
  const held = hold(every(10, 40), 100);
  assert.ok(held.every((value) => value !== null));
  assert.deepEqual([held[9], held[10], held[39]], [0, 10, 30]);
});

test("a hole stays a hole", () => {
  const values = every(10, 100).map((value, at) => (at > 30 && at < 80 ? null : value));
  const held = hold(values, 100);
  assert.equal(held[31], 30);
  assert.ok(held.slice(45, 80).every((value) => value === null));
  assert.deepEqual(hold([1, 1, null, 1, 1, 1], 100), [1, 1, null, 1, 1, 1]);
});

test("one reading alone stands for the usual second, and nothing before it", () => {
  const held = hold([null, null, 7, ...Array.from({ length: 30 }, () => null)], 100);
  assert.deepEqual([held[1], held[2], held[11]], [null, 7, 7]);
  assert.equal(held.at(-1), null);
  assert.deepEqual(hold([], 100), []);
  assert.deepEqual(hold([null, null], 100), [null, null]);
});

test("steps as long as the period are left alone", () => {
  assert.deepEqual(hold([1, null, 2], 5_000), [1, null, 2]);
});

test("throttling has its reasons in words; idle and set clocks are none", () => {
  assert.deepEqual(throttleReasons(0x1 | 0x2 | 0x100), []);
  assert.deepEqual(throttleReasons(0x44), ["thermal slowdown (hardware)", "power cap"]);
  const stretches = throttleStretches([0, 100, 200, 300, 400], 100, [0x40, 0x41, null, 0x4, 0]);
  assert.deepEqual(
    stretches.map(({ from, to, reasons }) => [Date.parse(from), Date.parse(to), reasons]),
    [
      [0, 200, ["thermal slowdown (hardware)"]],
      [300, 400, ["power cap"]],
    ],
  );
});

test("the parts of a split sum to the range, whatever was measured and held", () => {
  const { split, unattributed } = splitOf({
    fromMs: 50,
    toMs: 700,
    startMs: [0, 100, 200, 300, 400, 500],
    stepMs: 100,
    activity: [0.5, 0.5, 0, null, 0.5, null],
    isSampled: (at) => at !== 5,
    held: [{ fromMs: 0, toMs: 400 }],
    known: [{ fromMs: 0, toMs: 400 }],
  });
  assert.deepEqual(split, {
    activeSeconds: 0.15,
    idleSeconds: 0.1,
    freeSeconds: 0,
    unknownSeconds: 0.2,
    unsampledSeconds: 0.2,
  });
  assert.equal(unattributed.length, 2);
});
