/** A value without a neighbour is found, wherever it stands, and is drawn wide enough to be seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dashAt, leastDashPx, lonePoints, strokesOf } from "./lone.ts";
import { sparkPath } from "./sparkline/path.ts";

test("points that no line would show are told", () => {
  assert.deepEqual(lonePoints([]), []);
  assert.deepEqual(lonePoints([7]), [0]);
  assert.deepEqual(lonePoints([null, 0, null]), [1]);
  assert.deepEqual(lonePoints([1, null, 2, 3, null, 4]), [0, 5]);
  assert.deepEqual(lonePoints([1, 2, 3]), []);
});

test("a dash is as wide as its step, never a speck, and whole at the edges", () => {
  const within = { low: 0, high: 100 };
  assert.deepEqual(dashAt(50, { stepPx: 40, leastPx: 10 }, within), [30, 70]);
  assert.deepEqual(dashAt(50, { stepPx: 2, leastPx: 10 }, within), [45, 55]);
  assert.deepEqual(dashAt(0, { stepPx: 20, leastPx: 10 }, within), [0, 20]);
  assert.deepEqual(dashAt(100, { stepPx: 20, leastPx: 10 }, within), [80, 100]);
  assert.deepEqual(dashAt(50, { stepPx: 400, leastPx: 10 }, within), [0, 100]);
});

test("a line with holes is its runs, and a dash where a value stands alone", () => {
  const place = {
    x: (at: number) => at * 20 + 10,
    y: (value: number) => -value,
    stepPx: 20,
    within: { low: 0, high: 200 },
  };
  assert.deepEqual(strokesOf([null, null], place), []);
  assert.deepEqual(strokesOf([7], place), [
    [
      [0, -7],
      [20, -7],
    ],
  ]);
  assert.deepEqual(strokesOf([1, 2, null, 0, null], place), [
    [
      [10, -1],
      [30, -2],
    ],
    [
      [60, -0],
      [80, -0],
    ],
  ]);
  const [narrow] = strokesOf([null, 5, null], { ...place, stepPx: 1 });
  assert.equal((narrow?.[1]?.[0] ?? 0) - (narrow?.[0]?.[0] ?? 0), leastDashPx);
});

test("a sparkline of one value is no empty picture", () => {
  const path = sparkPath([null, null, 3], 84, 26);
  const [from, to] = [...path.matchAll(/[ML]([\d.]+) /g)].map((match) => Number(match[1]));
  assert.ok(from !== undefined && to !== undefined, path);
  assert.ok(to <= 84 && to - from >= 8, path);
  assert.equal(sparkPath([], 84, 26), "");
});
