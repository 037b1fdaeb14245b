/**
 * The open rows of `gpu_samples` and `metrics`, one Native block per table and partition when taken.
 *
 * Rows are kept as they come and turned into columns at the end: points come in hundreds a second where
 * spans come in tens of thousands.
 */
import { sampleFields } from "@axonize/core/contract/agent";
import type { Block } from "../write/block.ts";
import type { DeviceIdentity } from "./device-identity.ts";
import { nativeRows, type Cell, type RowColumn } from "./native.ts";
import type { Attributes, MetricKind, Temporality } from "./otlp.ts";

export interface SampleRow extends DeviceIdentity {
  timeMs: number;
  /** Column → value; a column that is not in it is NULL. */
  values: Map<string, number>;
}

export interface MetricRow {
  tenantNum: number;
  retention: number;
  name: string;
  unit: string;
  kind: Exclude<MetricKind, "summary">;
  temporality: Temporality;
  monotonic: boolean;
  seriesFp: bigint;
  timeNs: bigint;
  startNs: bigint;
  service: string;
  resourceFp: bigint;
  attributes: Attributes;
  value: number | undefined;
  count: bigint;
  sum: number | undefined;
  min: number | undefined;
  max: number | undefined;
  bounds: readonly number[];
  bucketCounts: readonly bigint[];
  receivedMs: number;
}

/** A row takes about this much while it is open, and in its block. */
const sampleBytes = 400;
const metricBytes = 600;

export function createPointRows() {
  // One per partition: some days × some retention classes.
  let samples = new Map<string, SampleRow[]>();
  let metrics = new Map<string, MetricRow[]>();
  let rows = 0;
  let bytes = 0;
  return {
    openRows: () => rows,
    openBytes: () => bytes,
    add: (fresh: { samples: Iterable<SampleRow>; metrics: Iterable<MetricRow> }): void => {
      for (const row of fresh.samples) {
        push(samples, day(row.timeMs), row);
        rows += 1;
        bytes += sampleBytes;
      }
      for (const row of fresh.metrics) {
        push(metrics, `${day(Number(row.timeNs / 1_000_000n))}:${row.retention}`, row);
        rows += 1;
        bytes += metricBytes + 16 * row.bounds.length;
      }
    },
    take: (): Block[] => {
      const blocks = [
        ...[...samples.values()].map((list) => block("gpu_samples", list, sampleColumns(list))),
        ...[...metrics.values()].map((list) => block("metrics", list, metricColumns(list))),
      ];
      samples = new Map();
      metrics = new Map();
      rows = 0;
      bytes = 0;
      return blocks;
    },
  };
}

function push<T>(partitions: Map<string, T[]>, partition: string, row: T): void {
  const list = partitions.get(partition);
  if (list === undefined) partitions.set(partition, [row]);
  else list.push(row);
}

const day = (ms: number): string => String(Math.floor(ms / 86_400_000));

const block = (table: string, list: readonly unknown[], columns: readonly RowColumn[]): Block => ({
  table,
  rows: list.length,
  bytes: nativeRows(columns),
});

const label = "LowCardinality(String)";

function sampleColumns(rows: readonly SampleRow[]): RowColumn[] {
  const of = (name: string, type: string, cell: (row: SampleRow) => Cell): RowColumn => ({
    name,
    type,
    cells: rows.map(cell),
  });
  const used = sampleFields.filter(({ column }) => rows.some(({ values }) => values.has(column)));
  return [
    of("cluster", label, (row) => row.cluster),
    of("device", label, (row) => row.device),
    of("time", "DateTime64(3, 'UTC')", (row) => row.timeMs),
    of("parent", label, (row) => row.parent),
    of("name", label, (row) => row.name),
    of("vendor", label, (row) => row.vendor),
    of("driver_version", label, (row) => row.driver_version),
    of("node", label, (row) => row.node),
    of("device_index", "Nullable(UInt16)", (row) => row.device_index),
    of("mig_profile", label, (row) => row.mig_profile),
    of("namespace", label, (row) => row.namespace),
    of("pod", label, (row) => row.pod),
    of("container", label, (row) => row.container),
    ...used.map(({ column, type }) =>
      of(column, `Nullable(${type})`, ({ values }) => {
        const value = values.get(column);
        return value !== undefined && type !== "Float32" ? Math.round(value) : value;
      }),
    ),
  ];
}

const kinds = { gauge: 1, sum: 2, histogram: 3 } as const;
const temporalities = { unspecified: 0, delta: 1, cumulative: 2 } as const;
const enumType = (values: Readonly<Record<string, number>>): string =>
  `Enum8(${Object.entries(values)
    .map(([name, value]) => `'${name}' = ${value}`)
    .join(", ")})`;
const kindType = enumType(kinds);
const temporalityType = enumType(temporalities);
const nanoseconds = "DateTime64(9, 'UTC')";

function metricColumns(rows: readonly MetricRow[]): RowColumn[] {
  const of = (name: string, type: string, cell: (row: MetricRow) => Cell): RowColumn => ({
    name,
    type,
    cells: rows.map(cell),
  });
  return [
    of("tenant_id", "UInt32", (row) => row.tenantNum),
    of("retention", "UInt16", (row) => row.retention),
    of("name", label, (row) => row.name),
    of("unit", label, (row) => row.unit),
    of("kind", kindType, (row) => kinds[row.kind]),
    of("temporality", temporalityType, (row) => temporalities[row.temporality]),
    of("monotonic", "Bool", (row) => (row.monotonic ? 1 : 0)),
    of("series_fp", "UInt64", (row) => row.seriesFp),
    of("time", nanoseconds, (row) => row.timeNs),
    of("start_time", nanoseconds, (row) => row.startNs),
    of("service", label, (row) => row.service),
    of("resource_fp", "UInt64", (row) => row.resourceFp),
    of("attrs", "Map(LowCardinality(String), String)", (row) => row.attributes),
    of("value", "Nullable(Float64)", (row) => row.value),
    of("count", "UInt64", (row) => row.count),
    of("sum", "Nullable(Float64)", (row) => row.sum),
    of("min", "Nullable(Float64)", (row) => row.min),
    of("max", "Nullable(Float64)", (row) => row.max),
    of("bounds", "Array(Float64)", (row) => row.bounds),
    of("bucket_counts", "Array(UInt64)", (row) => row.bucketCounts),
    of("received", "DateTime64(3, 'UTC')", (row) => row.receivedMs),
  ];
}
