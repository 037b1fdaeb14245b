/** Planned ticks: no drift, missed ones counted and left out, a changed period without an extra tick. */
import assert from "node:assert/strict";
import test from "node:test";
import { createGrid } from "./grid.ts";

test("a late tick does not shift the ones after it", () => {
  const grid = createGrid(1000, 100);
  assert.equal(grid.isDue(999), false);
  assert.deepEqual(grid.take(1030), { lateMs: 30, missed: 0 });
  assert.equal(grid.nextMs(), 1100);
});

test("ticks that were missed are counted and never made up for", () => {
  const grid = createGrid(1000, 100);
  assert.deepEqual(grid.take(1350), { lateMs: 50, missed: 3 });
  assert.equal(grid.isDue(1351), false);
  assert.equal(grid.nextMs(), 1400);
});

test("a thousand late ticks end on the plan", () => {
  const grid = createGrid(0, 100);
  let now = 0;
  let taken = 0;
  for (let tick = 0; tick < 1000; tick += 1) {
    now = grid.nextMs() + (tick % 40);
    taken += 1 + grid.take(now).missed;
  }
  assert.equal(taken, 1000);
  assert.equal(grid.nextMs(), 100_000);
});

test("a changed period counts from the last planned tick", () => {
  const grid = createGrid(0, 100);
  grid.take(0);
  grid.setPeriod(400);
  assert.equal(grid.nextMs(), 400);
  grid.take(400);
  grid.setPeriod(100);
  assert.equal(grid.nextMs(), 500);
});

test("bringing a tick forward never puts one off", () => {
  const grid = createGrid(1000, 1000);
  grid.bring(300);
  assert.equal(grid.nextMs(), 300);
  grid.bring(900);
  assert.equal(grid.nextMs(), 300);
  grid.take(310);
  assert.equal(grid.nextMs(), 1300);
});
