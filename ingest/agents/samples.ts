/**
 * A batch's columns of samples back into rows (format: `core/contract/agent.proto`). Everything in it is
 * checked against the bytes that are there: counts cannot make it allocate more than the batch holds.
 */
import { inflateRawSync } from "node:zlib";
import { sampleFields } from "@axonize/core/contract/agent";
import { MalformedError } from "../points/wire.ts";
import * as limits from "./limits.ts";

export interface SampleRows {
  /** By row. */
  readonly device: readonly number[];
  readonly timeMs: readonly number[];
  /** By column of `gpu_samples`: a value per row, undefined where none was measured. */
  readonly values: ReadonlyMap<string, readonly (number | undefined)[]>;
  /** Values in the batch, and of those the ones outside of their field's range, which are left out. */
  readonly points: number;
  readonly refused: number;
}

/** Throws MalformedError. */
export function decodeSamples(deflated: Buffer): SampleRows {
  const reader = new NumberReader(inflated(deflated));
  const { device, timeMs } = readRows(reader);
  const values = new Map<string, (number | undefined)[]>();
  let points = 0;
  let refused = 0;
  for (let left = reader.count(sampleFields.length); left > 0; left -= 1) {
    const head = reader.unsigned();
    const field = sampleFields[Math.floor(head / 2)];
    const has = head % 2 === 1 ? reader.bitmap(device.length) : undefined;
    const column: (number | undefined)[] = [];
    let value = 0;
    for (let row = 0; row < device.length; row += 1) {
      if (has !== undefined && has[row] !== true) {
        column.push(undefined);
        continue;
      }
      value += reader.signed();
      points += 1;
      const told = field === undefined ? Number.NaN : value / field.scale;
      const isReading = field !== undefined && told >= field.least && told <= field.most;
      column.push(isReading ? told : undefined);
      if (!isReading) refused += 1;
    }
    if (field !== undefined) values.set(field.column, column);
  }
  if (!reader.atEnd()) throw new MalformedError("bytes behind the last field");
  return { device, timeMs, values, points, refused };
}

/** A batch's content. Throws MalformedError. */
export function inflated(deflated: Buffer): Buffer {
  try {
    return inflateRawSync(deflated, { maxOutputLength: limits.contentBytes });
  } catch {
    throw new MalformedError("the content cannot be inflated"); // broken or a bomb: the same answer
  }
}

function readRows(reader: NumberReader): { device: number[]; timeMs: number[] } {
  const device: number[] = [];
  const timeMs: number[] = [];
  let time = reader.unsigned();
  for (let left = reader.count(limits.devices); left > 0; left -= 1) {
    const number = reader.unsigned();
    for (let rows = reader.count(limits.rows - device.length); rows > 0; rows -= 1) {
      time += reader.signed();
      device.push(number);
      timeMs.push(time);
    }
  }
  return { device, timeMs };
}

class NumberReader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  unsigned(): number {
    let value = 0;
    let factor = 1;
    for (let length = 0; length < 8; length += 1) {
      const byte = this.bytes[this.at];
      if (byte === undefined) throw new MalformedError("the content is cut off");
      this.at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw new MalformedError("a number is too long");
  }
  signed(): number {
    const zigzag = this.unsigned();
    return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
  }
  /** A count of things that take at least a byte each. */
  count(most: number): number {
    const count = this.unsigned();
    if (count > most) throw new MalformedError(`a count of ${count}, at most ${most}`);
    return count;
  }
  bitmap(length: number): boolean[] {
    const end = this.at + Math.ceil(length / 8);
    if (end > this.bytes.length) throw new MalformedError("the content is cut off");
    const start = this.at;
    this.at = end;
    return Array.from(
      { length },
      (_, bit) => ((this.bytes[start + (bit >> 3)] ?? 0) & (1 << (bit & 7))) !== 0,
    );
  }
  atEnd(): boolean {
    return this.at === this.bytes.length;
  }
}
