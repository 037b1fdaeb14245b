/** The levels and the rule for whole allocations, as both sides of the agents' stream use them. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { attributionLevels, levelRank, wholeSet } from "./attribution.ts";

const uuids = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 6 });

test("a whole allocation is exact.single of one device and exact.set of more, without repetition", () => {
  fc.assert(
    fc.property(uuids, uuids, (allocated, visible) => {
      const given = wholeSet(allocated, (uuid) => visible.some((each) => each === uuid));
      if (allocated.length === 0) return assert.equal(given, undefined);
      const both = new Set<string>(allocated.filter((uuid) => visible.includes(uuid)));
      // What can be opened decides, unless nothing of it can: then nobody could look.
      const expected = both.size > 0 ? both : new Set<string>(allocated);
      assert.deepEqual(new Set(given?.uuids), expected);
      assert.equal(given?.uuids.length, expected.size);
      assert.equal(given?.level, expected.size === 1 ? "exact.single" : "exact.set");
    }),
  );
});

test("levels go from unsure to sure, and a word that is none is less sure than any", () => {
  assert.ok(levelRank("exact.sdk") > levelRank("exact.single"));
  assert.ok(levelRank("exact.set") > levelRank("derived.uuidlist"));
  assert.ok(levelRank("likely.homogeneous") > levelRank("ambiguous"));
  for (const level of attributionLevels) assert.ok(levelRank(level) > levelRank("nonsense"));
});
