/**
 * RFC 6902 as far as injection uses it: `add`, to an object or to the end of a list.
 */
import assert from "node:assert/strict";
import type { JsonPatchOperation } from "../../kube/types.ts";

export function patched<T>(object: T, patch: readonly JsonPatchOperation[]): T {
  const copy = structuredClone(object);
  for (const { op, path, value } of patch) {
    assert.equal(op, "add");
    const steps = path
      .slice(1)
      .split("/")
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    const last = steps.pop() ?? "";
    // Each step of a patch of ours names an object or a list that is there.
    const parent = steps.reduce<unknown>(
      (at, step) => (at as Record<string, unknown>)[step],
      copy,
    ) as Record<string, unknown> | unknown[];
    if (Array.isArray(parent)) {
      assert.equal(last, "-");
      parent.push(structuredClone(value));
    } else parent[last] = structuredClone(value);
  }
  return copy;
}
