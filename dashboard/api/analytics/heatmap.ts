/**
 * The heat map's matrix from histograms per slot: fine log buckets folded into rows. Pure.
 */
import type { Heatmap } from "@axonize/core/contract/analytics";
import type { HeatColumn } from "../queries/analytics.sql.ts";
import {
  addSparse,
  bucketCount,
  createHistogram,
  lowerEdge,
  quantile,
  type Histogram,
} from "./histogram.ts";
import type { Slot } from "./slots.ts";

export type Matrix = Pick<
  Heatmap,
  "columns" | "rows" | "yMin" | "yRatio" | "counts" | "p50" | "p95" | "p99" | "errors" | "total"
>;

/** `divisor` turns stored units into shown ones: 1e6 for ns → ms. */
export function matrixOf(
  slots: readonly Slot<HeatColumn | undefined>[],
  options: { divisor: number; mostRows: number },
): Matrix {
  const histograms = slots.map(({ value }) => {
    const histogram = createHistogram();
    if (value) addSparse(histogram, value.values);
    return histogram;
  });
  const scale = scaleOf(histograms, options.mostRows);
  const counts = histograms.flatMap((histogram) => columnOf(histogram, scale));
  const shown = (ratio: number): (number | null)[] =>
    histograms.map((histogram) => {
      const value = quantile(histogram, ratio);
      return value === null ? null : value / options.divisor;
    });
  return {
    columns: slots.length,
    rows: scale.rows,
    // Bucket edges are 2^(b/32) − 1; for a log axis the − 1 (one nanosecond) is left out, except
    // where values are small counts and row 0 must begin at them.
    yMin: Math.max(lowerEdge(scale.first), 1) / options.divisor,
    yRatio: 2 ** (scale.perRow / bucketsPerDoubling),
    counts,
    p50: shown(0.5),
    p95: shown(0.95),
    p99: shown(0.99),
    errors: slots.map(({ value }) => value?.errors ?? 0),
    total: histograms.reduce((sum, histogram) => sum + histogram.total, 0),
  };
}

const bucketsPerDoubling = 32;

interface Scale {
  /** Fine bucket at which row 0 begins. */
  first: number;
  /** Fine buckets per row. */
  perRow: number;
  rows: number;
}

/** A factor of 4: values close together are a band then, not one cell as high as the plot. */
const leastSpan = 2 * bucketsPerDoubling;

/** Rows that cover what is there and `leastSpan` around it, at most `mostRows`. */
function scaleOf(histograms: readonly Histogram[], mostRows: number): Scale {
  let [lowest, highest] = [bucketCount, -1];
  for (const { counts } of histograms) {
    for (let bucket = 0; bucket < bucketCount; bucket += 1) {
      if ((counts[bucket] ?? 0) === 0) continue;
      if (bucket < lowest) lowest = bucket;
      if (bucket > highest) highest = bucket;
    }
  }
  if (highest < 0) return { first: 0, perRow: bucketsPerDoubling, rows: 1 };
  const spare = Math.max(0, leastSpan - (highest - lowest + 1));
  // No empty row below one unit, at which `yMin` ends.
  const from = Math.max(lowest - Math.floor(spare / 2), Math.min(lowest, bucketsPerDoubling));
  const to = Math.max(highest, from + leastSpan - 1);
  const perRow = Math.max(4, Math.ceil((to - from + 1) / mostRows));
  const first = Math.floor(from / perRow) * perRow;
  return { first, perRow, rows: Math.floor((to - first) / perRow) + 1 };
}

function columnOf(histogram: Histogram, scale: Scale): number[] {
  const column = Array.from({ length: scale.rows }, () => 0);
  for (let row = 0; row < scale.rows; row += 1) {
    for (let step = 0; step < scale.perRow; step += 1) {
      const bucket = scale.first + row * scale.perRow + step;
      column[row] = (column[row] ?? 0) + (histogram.counts[bucket] ?? 0);
    }
  }
  return column;
}
