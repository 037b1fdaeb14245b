// Marks of how sure a device is: one per word, told apart without colour.
import assert from "node:assert/strict";
import { test } from "node:test";
import { levelMarks, levelWords } from "./level.ts";

test("levels that differ in sureness differ in their mark", () => {
  const marks = ["exact.single", "derived.pci", "likely.homogeneous", "ambiguous"]
    .concat("identity.conflict", "unattributed")
    .map((level) => levelWords(level).mark);
  assert.equal(new Set(marks).size, marks.length, marks.join(" "));
  assert.equal(levelWords("exact.set").mark, levelWords("exact.sdk").mark);
  assert.match(levelMarks, /^= exact, = exact set, ≈ derived, ~ likely, /);
});

test("a level of a newer agent is shown as it is called", () => {
  const words = levelWords("exact.tomorrow");
  assert.equal(words.short, "exact.tomorrow");
  assert.notEqual(words.mark, "");
});
