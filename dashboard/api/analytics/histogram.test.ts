// Histograms: percentiles within their promised error, and merging as good as counting at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addSparse,
  bucketCount,
  bucketOf,
  createHistogram,
  lowerEdge,
  quantile,
} from "./histogram.ts";

function histogramOf(values: readonly number[]) {
  const histogram = createHistogram();
  for (const value of values) addSparse(histogram, { buckets: [bucketOf(value)], counts: [1] });
  return histogram;
}

test("a percentile is within 2.2 % of the exact one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1_000, max: 1_000_000_000_000 }), {
        minLength: 1,
        maxLength: 300,
      }),
      fc.constantFrom(0.5, 0.95, 0.99),
      (values, ratio) => {
        const sorted = [...values].sort((x, y) => x - y);
        const exact = sorted[Math.max(0, Math.ceil(ratio * sorted.length) - 1)] ?? 0;
        const found = quantile(histogramOf(values), ratio) ?? 0;
        assert.ok(Math.abs(found - exact) <= exact * 0.022 + 1, `${found} for ${exact}`);
      },
    ),
  );
});

test("every value lies between the edges of its bucket", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 43 }), (value) => {
      const bucket = bucketOf(value);
      const slack = 1e-6 * (value + 1);
      assert.ok(lowerEdge(bucket) <= value + slack && value - slack < lowerEdge(bucket + 1));
    }),
  );
});

test("merged parts are the whole", () => {
  const numbers = fc.array(fc.nat(2 ** 40));
  fc.assert(
    fc.property(numbers, numbers, (one, two) => {
      const merged = histogramOf(one);
      for (const value of two) addSparse(merged, { buckets: [bucketOf(value)], counts: [1] });
      assert.deepEqual(merged, histogramOf([...one, ...two]));
    }),
  );
});

test("nothing has no percentile, and the longest values share the last bucket", () => {
  assert.equal(quantile(createHistogram(), 0.5), null);
  assert.equal(bucketOf(2 ** 60), bucketCount - 1);
  assert.equal(quantile(histogramOf([0]), 0.99), 0);
});
