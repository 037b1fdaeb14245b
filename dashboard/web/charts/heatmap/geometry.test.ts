/** The heat map's geometry: cells and pixels agree, boxes hold what they show. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  boxOfCells,
  cellAt,
  countInBox,
  countStep,
  percentileStrokes,
  pixelsOfBox,
  valueTicks,
  xOfMs,
  yOfValue,
} from "./geometry.ts";

const grid = { fromMs: 1000, stepMs: 10, columns: 20, rows: 10, yMin: 1, yRatio: 2 };
const size = { width: 200, height: 100 };

test("a point is in the cell that is drawn there", () => {
  assert.deepEqual(cellAt(grid, size, 5, 95), { column: 0, row: 0 });
  assert.deepEqual(cellAt(grid, size, 199, 1), { column: 19, row: 9 });
  assert.deepEqual(cellAt(grid, size, -50, 500), { column: 0, row: 0 });
  assert.equal(xOfMs(grid, size, 1100), 100);
  assert.equal(yOfValue(grid, size, 1), 100);
  assert.ok(Math.abs(yOfValue(grid, size, 1024)) < 1e-9);
});

test("a percentile of one column is a dash that reaches out of it, and of several a line through their middles", () => {
  const columns = (known: Record<number, number>) =>
    Array.from({ length: 20 }, (_, column) => known[column] ?? null);
  assert.deepEqual(percentileStrokes(grid, size, columns({ 4: 1 })), [
    [
      [36, 100],
      [54, 100],
    ],
  ]);
  assert.deepEqual(percentileStrokes(grid, size, columns({ 1: 1, 2: 1, 7: 0 })), [
    [
      [15, 100],
      [25, 100],
    ],
  ]);
});

test("a box of cells covers exactly their pixels and their calls", () => {
  const box = boxOfCells(grid, { column: 5, row: 7 }, { column: 3, row: 2 });
  assert.deepEqual(box, { fromMs: 1030, toMs: 1060, low: 4, high: 256 });
  const pixels = pixelsOfBox(grid, size, box);
  assert.deepEqual(
    [pixels.x, Math.round(pixels.y), pixels.width, Math.round(pixels.height)],
    [30, 20, 30, 60],
  );
  const counts = Array.from({ length: 200 }, (_, i) =>
    Math.floor(i / 10) === 4 && i % 10 === 3 ? 7 : i === 0 ? 100 : 0,
  );
  assert.equal(countInBox(grid, counts, box), 7);
});

test("one call is the first step, the most the last, on a log scale", () => {
  assert.equal(countStep(1, 1000), 0);
  assert.equal(countStep(1000, 1000), 8);
  assert.ok(countStep(30, 1000) >= 4);
  assert.equal(countStep(1, 1), 4);
});

test("value ticks are round and apart", () => {
  assert.deepEqual([...valueTicks(grid, size, 20)], [1, 10, 100, 1000]);
});

test("a short axis has finer value ticks, two at least", () => {
  const tall = { width: 200, height: 300 };
  const short = (yMin: number, factor: number): readonly number[] =>
    valueTicks({ ...grid, yMin, yRatio: factor ** (1 / grid.rows) }, tall, 26);
  assert.deepEqual([...short(1.2, 5)], [2, 5]);
  assert.deepEqual([...short(320, 4)], [500, 1000]);
  assert.deepEqual([...short(5.5, 1.3)], [6, 7]);
  for (const yMin of [1.01, 17, 330, 4100, 9.9])
    assert.ok(short(yMin, 1.25).length >= 2, `from ${yMin}`);
});
