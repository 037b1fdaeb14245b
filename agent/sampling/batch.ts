/**
 * Rows on their way from the sampling thread to the main one: numbers in one Float64Array, so that a
 * second of a node is one transfer and not hundreds of cloned objects. NaN is "not measured".
 *
 * A row is [device's ordinal, group's number, epoch ms, values of the group]. What cannot be read is told
 * when it changes, not with every row.
 */
import {
  groups,
  reasons,
  type Group,
  type LocalMetric,
  type Metric,
  type Reason,
  type Row,
} from "../nvml/readings.ts";
import { batchNumbers } from "./limits.ts";

export const groupNames = ["fast", "gpu", "slice"] as const satisfies readonly Group[];
const headNumbers = 3;

export interface MissingChange {
  readonly device: string;
  readonly metric: Metric | LocalMetric;
  /** undefined: it can be read again, or is not asked for any more. */
  readonly reason: Reason | undefined;
}

export interface BatchWriter {
  /** The devices that rows may name, in the order of their ordinals. */
  use(devices: readonly string[]): void;
  add(device: string, group: Group, row: Row, atMs: number): void;
  /** What was gathered; the writer begins anew. */
  take(): { numbers: Float64Array<ArrayBuffer>; missing: MissingChange[]; droppedRows: number };
}

export function createBatchWriter(): BatchWriter {
  let ordinals = new Map<string, number>();
  /** By device and group: the reasons as last told. */
  let told = new Map<string, Uint8Array>();
  let numbers = new Float64Array(4096);
  let length = 0;
  let missing: MissingChange[] = [];
  let droppedRows = 0;
  return {
    use(devices) {
      ordinals = new Map(devices.map((device, at) => [device, at]));
      told = new Map([...told].filter(([key]) => ordinals.has(key.slice(0, key.indexOf(" ")))));
    },
    add(device, group, row, atMs) {
      const ordinal = ordinals.get(device);
      const needed = headNumbers + row.values.length;
      if (ordinal === undefined || length + needed > batchNumbers) {
        droppedRows += 1;
        return;
      }
      if (length + needed > numbers.length) numbers = grown(numbers);
      numbers[length] = ordinal;
      numbers[length + 1] = groupNames.indexOf(group);
      numbers[length + 2] = atMs;
      numbers.set(row.values, length + headNumbers);
      length += needed;
      tellChanges(told, missing, { device, group, row });
    },
    take() {
      const taken = { numbers: numbers.slice(0, length), missing, droppedRows };
      length = 0;
      missing = [];
      droppedRows = 0;
      return taken;
    },
  };
}

function grown(numbers: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.min(numbers.length * 2, batchNumbers));
  larger.set(numbers);
  return larger;
}

function tellChanges(
  told: Map<string, Uint8Array>,
  missing: MissingChange[],
  { device, group, row }: { device: string; group: Group; row: Row },
): void {
  const key = `${device} ${group}`;
  let before = told.get(key);
  if (!before) {
    before = new Uint8Array(row.reasons.length);
    told.set(key, before);
  }
  for (let at = 0; at < before.length; at += 1) {
    const reason = row.reasons[at] ?? 0;
    // A value that was not asked for this time changes nothing.
    if (reason === before[at] || (reason === 0 && Number.isNaN(row.values[at]))) continue;
    before[at] = reason;
    const metric = groups[group][at];
    if (metric !== undefined) missing.push({ device, metric, reason: reasons[reason - 1] });
  }
}

/** Calls `each` for every row, in order. `values` is valid only until it returns. */
export function readBatch(
  numbers: Float64Array,
  each: (ordinal: number, group: Group, atMs: number, values: Float64Array) => void,
): void {
  let at = 0;
  while (at < numbers.length) {
    const group = groupNames[numbers[at + 1] ?? -1];
    if (group === undefined) throw new Error("a batch names a group that does not exist");
    const end = at + headNumbers + groups[group].length;
    each(numbers[at] ?? -1, group, numbers[at + 2] ?? 0, numbers.subarray(at + headNumbers, end));
    at = end;
  }
}
