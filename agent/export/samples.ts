/**
 * Samples as deflated columns (format: `core/contract/agent.proto`): per field the differences of
 * integers, so that a value that stays costs a byte before deflation and almost none after.
 *
 * What cannot be a reading (not finite, outside of the field's range) is left out and counted; the
 * rest of its sample stays.
 */
import { deflateRawSync } from "node:zlib";
import { sampleFields } from "@axonize/core/contract/agent";
import type { Sample } from "../report.ts";

export interface EncodedSamples {
  readonly bytes: Buffer;
  readonly rows: number;
  /** Values written. */
  readonly points: number;
  /** Values that were no readings. */
  readonly refused: number;
}

interface Row {
  readonly device: number;
  readonly timeMs: number;
  /** By field number; scaled. */
  readonly values: Map<number, number>;
}

/** `numberOf`: the device's number in this epoch. Samples of one device and millisecond become one row. */
export function encodeSamples(
  samples: readonly Sample[],
  numberOf: (sample: Sample) => number,
): EncodedSamples {
  const { rows, refused } = rowsOf(samples, numberOf);
  const out = new NumberWriter();
  writeRows(out, rows);
  let points = 0;
  const used = sampleFields
    .map((_, field) => field)
    .filter((field) => rows.some(({ values }) => values.has(field)));
  out.unsigned(used.length);
  for (const field of used) points += writeField(out, field, rows);
  return { bytes: deflateRawSync(out.finish()), rows: rows.length, points, refused };
}

function rowsOf(
  samples: readonly Sample[],
  numberOf: (sample: Sample) => number,
): { rows: Row[]; refused: number } {
  const byKey = new Map<string, Row>();
  let refused = 0;
  for (const sample of samples) {
    const device = numberOf(sample);
    const timeMs = Math.round(sample.atMs);
    const key = `${device}:${timeMs}`;
    const row = byKey.get(key) ?? { device, timeMs, values: new Map<number, number>() };
    byKey.set(key, row);
    for (const [field, { name, scale, least, most }] of sampleFields.entries()) {
      const value = sample.values[name];
      if (value === undefined) continue;
      if (value >= least && value <= most) row.values.set(field, Math.round(value * scale));
      else refused += 1;
    }
  }
  const rows = [...byKey.values()].sort((a, b) => a.device - b.device || a.timeMs - b.timeMs);
  return { rows, refused };
}

function writeRows(out: NumberWriter, rows: readonly Row[]): void {
  const base = rows[0]?.timeMs ?? 0;
  out.unsigned(base);
  out.unsigned(new Set(rows.map(({ device }) => device)).size);
  let before = base;
  for (let at = 0; at < rows.length;) {
    const device = rows[at]?.device ?? 0;
    let end = at;
    while (rows[end]?.device === device) end += 1;
    out.unsigned(device);
    out.unsigned(end - at);
    for (const { timeMs } of rows.slice(at, end)) {
      out.signed(timeMs - before);
      before = timeMs;
    }
    at = end;
  }
}

/** Answers how many rows have it. */
function writeField(out: NumberWriter, field: number, rows: readonly Row[]): number {
  const having = rows.filter(({ values }) => values.has(field));
  const isPartial = having.length < rows.length;
  out.unsigned(field * 2 + (isPartial ? 1 : 0));
  if (isPartial) {
    for (let at = 0; at < rows.length; at += 8) {
      out.byte(
        rows
          .slice(at, at + 8)
          .reduce((bits, { values }, bit) => (values.has(field) ? bits | (1 << bit) : bits), 0),
      );
    }
  }
  let before = 0;
  for (const { values } of having) {
    const value = values.get(field) ?? 0;
    out.signed(value - before);
    before = value;
  }
  return having.length;
}

class NumberWriter {
  private bytes = Buffer.allocUnsafe(4096);
  private length = 0;

  byte(value: number): void {
    if (this.length === this.bytes.length) {
      this.bytes = Buffer.concat([this.bytes, Buffer.allocUnsafe(this.bytes.length)]);
    }
    this.bytes[this.length++] = value;
  }
  unsigned(value: number): void {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.byte((rest % 128) + 128);
    this.byte(rest);
  }
  signed(value: number): void {
    this.unsigned(value < 0 ? -value * 2 - 1 : value * 2);
  }
  finish(): Buffer {
    return this.bytes.subarray(0, this.length);
  }
}
