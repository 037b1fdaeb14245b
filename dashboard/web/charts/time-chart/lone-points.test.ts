/** A point without a neighbour is found, wherever it stands. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { lonePoints } from "./lone-points.ts";

test("points that no line would show are told", () => {
  assert.deepEqual(lonePoints([]), []);
  assert.deepEqual(lonePoints([7]), [0]);
  assert.deepEqual(lonePoints([null, 0, null]), [1]);
  assert.deepEqual(lonePoints([1, null, 2, 3, null, 4]), [0, 5]);
  assert.deepEqual(lonePoints([1, 2, 3]), []);
});
