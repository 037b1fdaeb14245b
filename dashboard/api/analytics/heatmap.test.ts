/** The heat map's scale: as many rows as the values need, and room around values close together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matrixOf } from "./heatmap.ts";
import { bucketOf } from "./histogram.ts";

function matrixOfValues(...values: readonly number[]) {
  const buckets = values.map(bucketOf);
  const slot = { slotMs: 0, values: { buckets, counts: buckets.map(() => 1) }, errors: 0 };
  return matrixOf([{ startMs: 0, value: slot }], { divisor: 1, mostRows: 60 });
}

test("one value is one row of an axis over a factor of 4, with room above and below", () => {
  const matrix = matrixOfValues(400e6);
  const factor = matrix.yRatio ** matrix.rows;
  assert.ok(factor >= 4 && factor < 5, `${factor}`);
  const row = matrix.counts.indexOf(1);
  assert.ok(row > matrix.rows / 4 && row < (matrix.rows * 3) / 4, `row ${row} of ${matrix.rows}`);
  assert.equal(matrix.counts.filter(Boolean).length, 1);
  assert.ok(matrix.yMin * matrix.yRatio ** row <= 400e6 * 1.001);
  assert.ok(matrix.yMin * matrix.yRatio ** (row + 1) >= 400e6);
});

test("an axis of small counts begins at one", () => {
  assert.equal(matrixOfValues(1).yMin, 1);
  assert.equal(matrixOfValues(1).counts[0], 1);
});

test("values far apart are counted, and no row is added to them", () => {
  const matrix = matrixOfValues(1e6, 1e9);
  assert.equal(matrix.counts.at(0), 1);
  assert.equal(matrix.counts.at(-1), 1);
});
