/**
 * Rows of `trace_index` from rows of `spans`: for each trace when its spans start at the earliest and
 * latest, and when the last of them ends (`trace-index.ts`).
 */
import * as layout from "./layout";

/** Takes in the rows of `spans` from `first` on; in `table` and `slots` is room for all of them. */
export function indexTraces(
  spans: usize,
  first: u32,
  table: usize,
  slots: usize,
  mask: u32,
  seed: u32,
  day: u32,
  retention: u32,
): void {
  const rows = load<u32>(spans, 4);
  let span: usize = <usize>load<u32>(spans) + <usize>first * layout.span_bytes;
  for (let i = first; i < rows; i += 1, span += layout.span_bytes) {
    const tenant = load<u32>(span, layout.span_tenant_id);
    const id = span + layout.span_trace_id;
    const slot = find(table, slots, mask, hashOf(id, tenant ^ seed), id, tenant);
    const start = load<u64>(span, layout.span_start);
    const end = start + load<u64>(span, layout.span_duration_ns);
    const row = load<u32>(slot);
    if (row == 0) append(table, slot, id, tenant, day, retention, start, end);
    else extend(rowAt(table, row - 1), start, end);
  }
}

/** Puts all rows of the table into slots that are free. */
export function findTraces(table: usize, slots: usize, mask: u32, seed: u32): void {
  const rows = load<u32>(table, 4);
  for (let i: u32 = 0; i < rows; i += 1) {
    const row = rowAt(table, i);
    const tenant = load<u32>(row, layout.index_tenant_id);
    let slot = hashOf(row + layout.index_trace_id, tenant ^ seed) & mask;
    while (load<u32>(slots + ((<usize>slot) << 2)) != 0) slot = (slot + 1) & mask;
    store<u32>(slots + ((<usize>slot) << 2), i + 1);
  }
}

function rowAt(table: usize, index: u32): usize {
  return <usize>load<u32>(table) + <usize>index * layout.index_bytes;
}

/** The slot of a trace, or the free one where it belongs. */
function find(table: usize, slots: usize, mask: u32, hash: u32, id: usize, tenant: u32): usize {
  let slot = hash & mask;
  let place = slots + ((<usize>slot) << 2);
  for (let row = load<u32>(place); row != 0; row = load<u32>(place)) {
    const known = rowAt(table, row - 1);
    const other = known + layout.index_trace_id;
    const differs = (load<u64>(other) ^ load<u64>(id)) | (load<u64>(other, 8) ^ load<u64>(id, 8));
    if (differs == 0 && load<u32>(known, layout.index_tenant_id) == tenant) break;
    slot = (slot + 1) & mask;
    place = slots + ((<usize>slot) << 2);
  }
  return place;
}

function append(
  table: usize,
  slot: usize,
  id: usize,
  tenant: u32,
  day: u32,
  retention: u32,
  start: u64,
  end: u64,
): void {
  const index = load<u32>(table, 4);
  store<u32>(table, index + 1, 4);
  store<u32>(slot, index + 1);
  const row = rowAt(table, index);
  memory.fill(row, 0, layout.index_bytes);
  store<u32>(row, tenant, layout.index_tenant_id);
  store<u64>(row, load<u64>(id), layout.index_trace_id);
  store<u64>(row, load<u64>(id, 8), layout.index_trace_id + 8);
  store<u32>(row, day, layout.index_day);
  store<u32>(row, retention, layout.index_retention);
  store<u64>(row, start, layout.index_min_start);
  store<u64>(row, start, layout.index_max_start);
  store<u64>(row, end, layout.index_max_end);
}

function extend(row: usize, start: u64, end: u64): void {
  if (start < load<u64>(row, layout.index_min_start)) {
    store<u64>(row, start, layout.index_min_start);
  }
  if (start > load<u64>(row, layout.index_max_start)) {
    store<u64>(row, start, layout.index_max_start);
  }
  if (end > load<u64>(row, layout.index_max_end)) store<u64>(row, end, layout.index_max_end);
}

/** Trace ids are random; one round over their words is enough, also against half-zero ids. */
function hashOf(id: usize, salt: u32): u32 {
  let hash = (salt ^ load<u32>(id)) * 0x9e3779b9;
  hash = (hash ^ (hash >> 15) ^ load<u32>(id, 4)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13) ^ load<u32>(id, 8)) * 0xc2b2ae35;
  hash = (hash ^ (hash >> 16) ^ load<u32>(id, 12)) * 0x9e3779b9;
  return hash ^ (hash >> 15);
}
