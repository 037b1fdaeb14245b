// The slot memory: read once, read again when spans came since, bounded.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createSlotCache, lastRun, slotsOf, stepFor, visibleWithinMs } from "./slots.ts";

function rig(maxBytes = 1e6) {
  const cache = createSlotCache<number>({ maxBytes });
  const received = new Map<number, number>();
  const asked: number[][] = [];
  const read = async (slots: number[], nowMs: number, isWhole = (_slot: number) => true) => {
    const answer = await cache.read({
      key: "k",
      slots,
      nowMs,
      isWhole,
      dirtySince: async (sinceMs) =>
        new Set([...received].filter(([, at]) => at >= sinceMs).map(([slot]) => slot)),
      compute: async (missing) => {
        asked.push([...missing]);
        return new Map(missing.map((slot) => [slot, received.get(slot) ?? 0]));
      },
      empty: 0,
      weigh: () => 800,
    });
    return answer.map(({ value }) => value);
  };
  return { cache, received, asked, read };
}

const minute = 60_000;

test("a slot without news is computed once", async () => {
  const { asked, read, received } = rig();
  received.set(1, 5);
  assert.deepEqual(await read([1, 2, 3], 10 * minute), [5, 0, 0]);
  assert.deepEqual(await read([1, 2, 3], 11 * minute), [5, 0, 0]);
  assert.deepEqual(await read([2, 3, 4], 12 * minute), [0, 0, 0]);
  assert.deepEqual(asked, [[1, 2, 3], [4]]);
});

test("a span that was received since, or may have been under way, makes its slot new", async () => {
  const { asked, read, received } = rig();
  await read([1, 2], 10 * minute);
  received.set(2, 10 * minute - visibleWithinMs / 2);
  assert.deepEqual(await read([1, 2], 20 * minute), [0, received.get(2)]);
  assert.deepEqual(asked, [[1, 2], [2]]);
});

test("a slot that the range cuts is computed each time and never kept", async () => {
  const { asked, read, cache } = rig();
  await read([1], minute, () => false);
  await read([1], minute, () => false);
  assert.deepEqual(asked, [[1], [1]]);
  assert.equal(cache.bytes(), 0);
});

test("memory stays within its bound, the longest unused goes first", async () => {
  const { asked, read, cache } = rig(3_000);
  await read([1, 2, 3], 10 * minute);
  await read([1], 10 * minute);
  await read([4], 10 * minute);
  assert.ok(cache.bytes() <= 3_000);
  await read([1], 10 * minute);
  await read([2], 10 * minute);
  assert.deepEqual(asked, [[1, 2, 3], [4], [2]]);
});

test("steps are round and give at most as many slots as asked, and one for the ragged edge", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2e12 }),
      fc.integer({ min: 1, max: 400 * 86_400_000 }),
      fc.integer({ min: 10, max: 1500 }),
      (fromMs, lengthMs, buckets) => {
        const range = { fromMs, toMs: fromMs + lengthMs };
        const stepMs = stepFor(range, buckets);
        const slots = slotsOf(range, stepMs);
        assert.ok(slots.length <= buckets + 1);
        assert.ok((slots[0] ?? 0) <= fromMs && (slots.at(-1) ?? 0) + stepMs >= range.toMs);
        const run = lastRun(slots, { stepMs, mostMs: 10 * stepMs });
        assert.equal(run.slots, Math.min(10, slots.length));
        assert.equal(run.toMs - run.fromMs, run.slots * stepMs);
      },
    ),
  );
});

test("a run ends at a gap, and is one slot even where a slot is longer than it may be", () => {
  assert.deepEqual(lastRun([0, 10, 30, 40], { stepMs: 10, mostMs: 1000 }), {
    fromMs: 30,
    toMs: 50,
    slots: 2,
  });
  assert.deepEqual(lastRun([0, 10], { stepMs: 10, mostMs: 5 }), { fromMs: 10, toMs: 20, slots: 1 });
});
