/**
 * The open rows of `gpu_samples` and `metrics`, one block per table and partition when taken.
 *
 * As JSONEachRow: points come in hundreds a second where spans come in tens of thousands, and the
 * text costs 5 µs a row; the trace decoder's column builders are made for the tables of spans.
 */
import type { Block } from "../write/block.ts";
import type { DeviceIdentity } from "./device-identity.ts";
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

interface OpenBlock {
  table: string;
  lines: string[];
  bytes: number;
}

export function createPointRows() {
  // One per table and partition: some days × some retention classes.
  let open = new Map<string, OpenBlock>();
  let rows = 0;
  let bytes = 0;
  const put = (table: string, partition: string, line: string): void => {
    const key = `${table}:${partition}`;
    let block = open.get(key);
    if (block === undefined) {
      block = { table, lines: [], bytes: 0 };
      open.set(key, block);
    }
    block.lines.push(line);
    rows += 1;
    bytes += line.length;
  };
  return {
    openRows: () => rows,
    openBytes: () => bytes,
    add: (samples: Iterable<SampleRow>, metrics: Iterable<MetricRow>): void => {
      for (const row of samples) put("gpu_samples", day(row.timeMs), sampleLine(row));
      for (const row of metrics) {
        const partition = `${day(Number(row.timeNs / 1_000_000n))}:${row.retention}`;
        put("metrics", partition, metricLine(row));
      }
    },
    take: (): Block[] => {
      const blocks = [...open.values()].map((block) => ({
        table: block.table,
        rows: block.lines.length,
        format: "JSONEachRow" as const,
        bytes: Buffer.from(block.lines.join("\n")),
      }));
      open = new Map();
      rows = 0;
      bytes = 0;
      return blocks;
    },
  };
}

const day = (ms: number): string => String(Math.floor(ms / 86_400_000));

function sampleLine(row: SampleRow): string {
  const { values, timeMs, ...identity } = row;
  const integers = new Set([
    "memory_used",
    "memory_total",
    "energy_mj",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "pcie_rx_bytes",
    "pcie_tx_bytes",
    "ecc_corrected",
    "ecc_uncorrected",
  ]);
  const readings = [...values].map(([column, value]) => [
    column,
    integers.has(column) ? Math.round(value) : value,
  ]);
  return JSON.stringify({
    ...identity,
    device_index: identity.device_index ?? null,
    time: new Date(timeMs).toISOString(),
    ...Object.fromEntries(readings),
  });
}

/** 64-bit integers travel as text: JSON's numbers end at 2^53. */
function metricLine(row: MetricRow): string {
  return JSON.stringify({
    tenant_id: row.tenantNum,
    retention: row.retention,
    name: row.name,
    unit: row.unit,
    kind: row.kind,
    temporality: row.temporality,
    monotonic: row.monotonic,
    series_fp: String(row.seriesFp),
    time: nanoText(row.timeNs),
    start_time: nanoText(row.startNs),
    service: row.service,
    resource_fp: String(row.resourceFp),
    attrs: Object.fromEntries(row.attributes),
    value: row.value ?? null,
    count: String(row.count),
    sum: row.sum ?? null,
    min: row.min ?? null,
    max: row.max ?? null,
    bounds: row.bounds,
    bucket_counts: row.bucketCounts.map(String),
    received: new Date(row.receivedMs).toISOString(),
  });
}

/** RFC 3339 with nanoseconds. */
function nanoText(ns: bigint): string {
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(ns % 1_000_000_000n).padStart(9, "0")}Z`;
}
