/**
 * Per-pixel merging: many intervals become the few rectangles that differ on screen. Pure.
 *
 * Lanes group the spans of one depth, sorted by start. Within a lane a span that ends in a pixel
 * already painted is skipped: at 100 k spans a full view paints a few thousand rectangles.
 */
import type { Viewport } from "./viewport.ts";

export interface Lanes {
  /** Rows lane by lane, each lane sorted by start. */
  readonly rows: Int32Array;
  /** Lane d is rows[offset[d] … offset[d+1]). */
  readonly offset: Int32Array;
}

/** Counting sort by depth; rows are sorted by start already, so each lane is, too. */
export function buildLanes(depth: Uint16Array, maxLanes: number): Lanes {
  const offset = new Int32Array(maxLanes + 1);
  const laneOf = (row: number): number => Math.min(depth[row] ?? 0, maxLanes - 1);
  for (let row = 0; row < depth.length; row += 1) {
    const lane = laneOf(row);
    offset[lane + 1] = (offset[lane + 1] ?? 0) + 1;
  }
  for (let lane = 0; lane < maxLanes; lane += 1) {
    offset[lane + 1] = (offset[lane + 1] ?? 0) + (offset[lane] ?? 0);
  }
  const next = offset.slice();
  const rows = new Int32Array(depth.length);
  for (let row = 0; row < depth.length; row += 1) {
    const lane = laneOf(row);
    const at = next[lane] ?? 0;
    rows[at] = row;
    next[lane] = at + 1;
  }
  return { rows, offset };
}

export interface Intervals {
  readonly startUs: Float64Array;
  readonly durationUs: Float64Array;
}

/** Calls `paint(x, width, row)` for each rectangle of a lane; returns how many. */
export function mergeLane(
  spans: Intervals,
  lanes: Lanes,
  lane: number,
  view: Viewport,
  widthPx: number,
  paint: (x: number, width: number, row: number) => void,
): number {
  const scale = widthPx / (view.toUs - view.fromUs);
  const end = lanes.offset[lane + 1] ?? 0;
  let painted = 0;
  let filledTo = -1;
  for (let at = lanes.offset[lane] ?? 0; at < end; at += 1) {
    const row = lanes.rows[at] ?? 0;
    const start = spans.startUs[row] ?? 0;
    if (start > view.toUs) break;
    const right = Math.ceil((start + (spans.durationUs[row] ?? 0) - view.fromUs) * scale);
    if (right <= filledTo || right < 0) continue;
    const left = Math.max(Math.floor((start - view.fromUs) * scale), filledTo, 0);
    const width = Math.max(1, Math.min(right, widthPx) - left);
    paint(left, width, row);
    filledTo = left + width;
    painted += 1;
  }
  return painted;
}

/** Pixel columns that any of the rows order[from…to) covers, as runs [x, width, …]. */
export function coverage(
  spans: Intervals,
  order: Int32Array,
  from: number,
  to: number,
  view: Viewport,
  widthPx: number,
): number[] {
  const width = Math.max(1, Math.ceil(widthPx));
  // How many spans begin minus how many end at each column: one pass, whatever their lengths.
  const edges = new Int32Array(width + 1);
  const scale = widthPx / (view.toUs - view.fromUs);
  for (let at = from; at < to; at += 1) {
    const row = order[at] ?? 0;
    const start = spans.startUs[row] ?? 0;
    const left = Math.max(0, Math.floor((start - view.fromUs) * scale));
    const right = Math.ceil((start + (spans.durationUs[row] ?? 0) - view.fromUs) * scale);
    if (left >= width || right < 0) continue;
    const end = Math.min(width, Math.max(right, left + 1));
    edges[left] = (edges[left] ?? 0) + 1;
    edges[end] = (edges[end] ?? 0) - 1;
  }
  return runsOf(edges, width);
}

function runsOf(edges: Int32Array, width: number): number[] {
  const runs: number[] = [];
  let open = -1;
  let depth = 0;
  for (let x = 0; x <= width; x += 1) {
    depth += edges[x] ?? 0;
    const on = x < width && depth > 0;
    if (on && open < 0) open = x;
    else if (!on && open >= 0) {
      runs.push(open, x - open);
      open = -1;
    }
  }
  return runs;
}
