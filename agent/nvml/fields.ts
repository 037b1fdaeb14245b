/**
 * Many values in one call: nvmlDeviceGetFieldValues with its requests laid out once. The common request
 * goes with every long tick, the rare one adds the row remapping counters. Each entry has its own code,
 * so one that a card lacks takes nothing from the others.
 */
import type { Functions } from "./functions.ts";
import { allLinks, fieldIds, fieldReturned, fieldValue, forgetField, sizes } from "./layouts.ts";
import { outBuffer, type NativeCall, type OutBuffer } from "./library.ts";
import { code, groups, put, type ReadSets, type Row } from "./readings.ts";
import type { Work } from "./work.ts";

interface Field {
  readonly id: number;
  readonly scope: number;
  /** Position in a GPU's row. */
  readonly at: number;
  readonly scale: number;
}

interface Request {
  readonly fields: readonly Field[];
  readonly buffer: OutBuffer;
}

export interface FieldReads {
  readonly call: NativeCall;
  /** By the sets that are on; there are few combinations in a life. */
  readonly requests: Map<string, Request>;
}

export function createFieldReads(functions: Functions): FieldReads {
  return { call: functions.native("fieldValues"), requests: new Map() };
}

/** Puts the fields of the sets that are on into a GPU's row. */
export function* readFields(
  reads: FieldReads,
  row: Row,
  handle: number,
  sets: ReadSets,
  rare: boolean,
): Work<void> {
  const { fields, buffer } = requestFor(reads, sets, rare);
  if (fields.length === 0) return;
  const { view } = buffer;
  for (let at = 0; at < fields.length; at += 1) forgetField(view, at * sizes.fieldValue);
  yield "fieldValues";
  const returned = reads.call(handle, fields.length, buffer.at);
  let offset = 0;
  for (const field of fields) {
    const each = returned === code.success ? fieldReturned(view, offset) : returned;
    put(row, field.at, each, each === code.success ? fieldValue(view, offset) * field.scale : 0);
    offset += sizes.fieldValue;
  }
}

function requestFor(reads: FieldReads, sets: ReadSets, rare: boolean): Request {
  const wanted = [sets.power, sets.nvlink, sets.pcie, sets.errors && rare];
  const key = wanted.join();
  const known = reads.requests.get(key);
  if (known) return known;
  const [power, nvlink, pcie, errors] = wanted;
  const fields = [
    ...(power === true ? [field(fieldIds.energyMillijoules, "energyMillijoules")] : []),
    ...(nvlink === true
      ? [
          field(fieldIds.nvlinkTxKib, "nvlinkTxBytes", allLinks, 1024),
          field(fieldIds.nvlinkRxKib, "nvlinkRxBytes", allLinks, 1024),
        ]
      : []),
    ...(pcie === true
      ? [field(fieldIds.pcieTxBytes, "pcieTxBytes"), field(fieldIds.pcieRxBytes, "pcieRxBytes")]
      : []),
    ...(errors === true
      ? [
          field(fieldIds.remappedCorrected, "remappedRowsCorrected"),
          field(fieldIds.remappedUncorrected, "remappedRowsUncorrected"),
          field(fieldIds.remapPending, "remapPending"),
          field(fieldIds.remapFailed, "remapFailed"),
        ]
      : []),
  ];
  const request = { fields, buffer: layOut(fields) };
  reads.requests.set(key, request);
  return request;
}

function field(
  id: number,
  metric: (typeof groups.gpu)[number],
  scope: number = 0,
  scale: number = 1,
): Field {
  return { id, scope, scale, at: groups.gpu.indexOf(metric) };
}

/** The driver fills the rest of each entry and leaves these two alone. */
function layOut(fields: readonly Field[]): OutBuffer {
  const buffer = outBuffer(Math.max(1, fields.length) * sizes.fieldValue);
  for (const [index, { id, scope }] of fields.entries()) {
    buffer.view.setUint32(index * sizes.fieldValue, id, true);
    buffer.view.setUint32(index * sizes.fieldValue + 4, scope, true);
  }
  return buffer;
}
