// Which pods count as run without injection, and how their number is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isUninjected, roundedCount } from "./uninjected.ts";

const isCounted = (mode: string, annotations?: Record<string, string>): boolean =>
  isUninjected({ name: "pod", ...(annotations === undefined ? {} : { annotations }) }, mode);

test("a pod counts where its namespace or it itself asks for injection, and it has none", () => {
  assert.ok(isCounted("OptOut"));
  assert.ok(isCounted("OptOut", { "axonize.io/inject": "true" }));
  assert.ok(isCounted("OptIn", { "axonize.io/inject": "true" }));
  assert.ok(!isCounted("OptIn"));
  assert.ok(!isCounted("OptIn", { "axonize.io/inject": "1" }));
  assert.ok(!isCounted("OptOut", { "axonize.io/inject": "false" }));
});

test("a pod that was injected, that ends, or that mirrors a static one does not", () => {
  assert.ok(!isCounted("OptOut", { "axonize.io/injected": "01234567-3" }));
  assert.ok(!isCounted("OptOut", { "kubernetes.io/config.mirror": "abc" }));
  assert.ok(!isUninjected({ name: "pod", deletionTimestamp: "2026-01-01T00:00:00Z" }, "OptOut"));
});

test("counts are exact below ten, then their leading digit", () => {
  const told = [0, 1, 9, 10, 11, 19, 20, 99, 100, 199, 1_234, 9_999];
  assert.deepEqual(told.map(roundedCount), [0, 1, 9, 10, 10, 10, 20, 90, 100, 100, 1_000, 9_000]);
});
