/** What a chart shows of a step that is not over, and of one that is alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lastKnown, wholeSteps, xRange } from "./steps.ts";

const axis = { startMs: [0, 1000, 2000], stepMs: 1000 };
const shown = (untilMs: number | undefined, ...series: (number | null)[][]): number =>
  wholeSteps({
    ...axis,
    series: series.map((values) => ({ values })),
    ...(untilMs === undefined ? {} : { untilMs }),
  });

test("a step that the end of the data cuts is left out", () => {
  assert.equal(shown(undefined, [1, 2, 3]), 3);
  assert.equal(shown(3000, [1, 2, 3]), 3);
  assert.equal(shown(2500, [1, 2, 3]), 2);
  assert.equal(shown(2500, [0, 0, 3], [0, 5, 3]), 2);
});

test("a step that is not over is shown where all before say nothing", () => {
  assert.equal(shown(2500, [null, null, 3]), 3);
  assert.equal(shown(2500, [0, 0, 3], [0, 0, 1]), 3);
});

test("the legend tells the newest step with a value", () => {
  const series = [{ values: [1, null, 3] }, { values: [null, 2, null] }];
  assert.equal(lastKnown(series, 3), 2);
  assert.equal(lastKnown(series, 2), 1);
  assert.equal(lastKnown([{ values: [null, null, null] }], 3), undefined);
});

test("one step alone fills the axis", () => {
  assert.deepEqual(xRange({ startMs: [60_000], stepMs: 1000 }, 60, 60), [59.5, 60.5]);
  assert.deepEqual(xRange(axis, 0, 2), [0, 2]);
});
