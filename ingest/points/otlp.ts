/**
 * What the two encodings of OTLP metrics have in common: resource, metric, point, and the visitor
 * that gets one point at a time, so that a large request never stands in memory as a whole.
 */

export type Attributes = ReadonlyMap<string, string>;

export type MetricKind = "gauge" | "sum" | "histogram" | "summary";
export type Temporality = "unspecified" | "delta" | "cumulative";

export interface Metric {
  name: string;
  unit: string;
  kind: MetricKind;
  temporality: Temporality;
  monotonic: boolean;
}

export interface Point {
  attributes: Attributes;
  timeNs: bigint;
  startNs: bigint;
  /** Gauges and sums. */
  value: number | undefined;
  /** Histograms. */
  count: bigint;
  sum: number | undefined;
  min: number | undefined;
  max: number | undefined;
  bounds: number[];
  bucketCounts: bigint[];
  /** The sender says that it has no value (`FLAG_NO_RECORDED_VALUE`). */
  absent: boolean;
}

export type Visit = (resource: Attributes, metric: Metric, point: Point) => void;

export const emptyPoint = (): Point => ({
  attributes: new Map(),
  timeNs: 0n,
  startNs: 0n,
  value: undefined,
  count: 0n,
  sum: undefined,
  min: undefined,
  max: undefined,
  bounds: [],
  bucketCounts: [],
  absent: false,
});

export const temporalityFrom = (number: number): Temporality =>
  number === 1 ? "delta" : number === 2 ? "cumulative" : "unspecified";
