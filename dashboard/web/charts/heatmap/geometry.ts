/**
 * Where things are in the heat map: cells, pixels, instants and values. Pure.
 *
 * Columns are time steps, rows are log-scaled values, lowest at the bottom.
 */
import { strokesOf, type Point } from "../lone.ts";

export interface HeatmapGrid {
  readonly fromMs: number;
  readonly stepMs: number;
  readonly columns: number;
  readonly rows: number;
  readonly yMin: number;
  readonly yRatio: number;
}

export interface PlotSize {
  readonly width: number;
  readonly height: number;
}

export interface Cell {
  readonly column: number;
  readonly row: number;
}

/** A selection: instants, and values from low (inclusive) to high. */
export interface ValueBox {
  readonly fromMs: number;
  readonly toMs: number;
  readonly low: number;
  readonly high: number;
}

export function xOfMs(grid: HeatmapGrid, size: PlotSize, ms: number): number {
  return ((ms - grid.fromMs) / (grid.stepMs * grid.columns)) * size.width;
}

export function yOfValue(grid: HeatmapGrid, size: PlotSize, value: number): number {
  const row = Math.log(Math.max(value, 1e-9) / grid.yMin) / Math.log(grid.yRatio);
  return size.height - (row / grid.rows) * size.height;
}

/** How far a dash reaches out of its column, so that it is not lost among cells of its colour. */
const overhangPx = 4;

/** A percentile line: through the middle of its columns, a dash across one where it stands alone. */
export function percentileStrokes(
  grid: HeatmapGrid,
  size: PlotSize,
  values: readonly (number | null)[],
): readonly (readonly Point[])[] {
  const known = values.map((value) => (value !== null && value > 0 ? value : null));
  const columnPx = size.width / grid.columns;
  return strokesOf(known, {
    x: (column) => xOfMs(grid, size, grid.fromMs + (column + 0.5) * grid.stepMs),
    y: (value) => yOfValue(grid, size, value),
    stepPx: columnPx + 2 * overhangPx,
    within: { low: 0, high: size.width },
  });
}

export function valueOfRow(grid: HeatmapGrid, row: number): number {
  return grid.yMin * grid.yRatio ** row;
}

export function cellAt(grid: HeatmapGrid, size: PlotSize, x: number, y: number): Cell {
  const within = (value: number, count: number): number =>
    Math.max(0, Math.min(count - 1, Math.floor(value)));
  return {
    column: within((x / size.width) * grid.columns, grid.columns),
    row: within(((size.height - y) / size.height) * grid.rows, grid.rows),
  };
}

/** Whole cells: what is drawn is what is chosen. */
export function boxOfCells(grid: HeatmapGrid, a: Cell, b: Cell): ValueBox {
  const left = Math.min(a.column, b.column);
  const right = Math.max(a.column, b.column) + 1;
  const bottom = Math.min(a.row, b.row);
  const top = Math.max(a.row, b.row) + 1;
  return {
    fromMs: grid.fromMs + left * grid.stepMs,
    toMs: grid.fromMs + right * grid.stepMs,
    low: valueOfRow(grid, bottom),
    high: valueOfRow(grid, top),
  };
}

export interface PixelBox {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function pixelsOfBox(grid: HeatmapGrid, size: PlotSize, box: ValueBox): PixelBox {
  const x = Math.max(0, xOfMs(grid, size, box.fromMs));
  const right = Math.min(size.width, xOfMs(grid, size, box.toMs));
  const y = Math.max(0, yOfValue(grid, size, box.high));
  const bottom = Math.min(size.height, yOfValue(grid, size, box.low));
  return { x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y) };
}

/** Calls inside a box, from the cells that it covers. */
export function countInBox(grid: HeatmapGrid, counts: readonly number[], box: ValueBox): number {
  const first = Math.max(0, Math.round((box.fromMs - grid.fromMs) / grid.stepMs));
  const last = Math.min(grid.columns, Math.round((box.toMs - grid.fromMs) / grid.stepMs));
  const rowOf = (value: number): number =>
    Math.round(Math.log(value / grid.yMin) / Math.log(grid.yRatio));
  const low = Math.max(0, rowOf(box.low));
  const high = Math.min(grid.rows, rowOf(box.high));
  let sum = 0;
  for (let column = first; column < last; column += 1) {
    for (let row = low; row < high; row += 1) sum += counts[column * grid.rows + row] ?? 0;
  }
  return sum;
}

/** Step 0–8 of the ramp; counts are skewed, so the scale is logarithmic. 0 calls has no step. */
export function countStep(count: number, most: number): number {
  if (most <= 1) return 4;
  return Math.min(8, Math.floor((Math.log(count) / Math.log(most)) * 8.999));
}

/** What is marked in each decade: the coarsest of these that marks an axis at two places or more. */
const decades: readonly (readonly number[])[] = [
  [1, 3],
  [1, 2, 5],
  [1, 2, 3, 4, 5, 6, 7, 8, 9],
  Array.from({ length: 90 }, (_, i) => (10 + i) / 10),
];

/** Round values with room between them: 1, 3, 10, 30 …, or closer where the axis is short. */
export function valueTicks(grid: HeatmapGrid, size: PlotSize, apartPx: number): readonly number[] {
  let ticks: readonly number[] = [];
  for (const steps of decades) {
    const finer = ticksOf(steps, grid, size, apartPx);
    if (finer.length > ticks.length) ticks = finer;
    if (ticks.length >= 2) break;
  }
  return ticks;
}

function ticksOf(
  steps: readonly number[],
  grid: HeatmapGrid,
  size: PlotSize,
  apartPx: number,
): readonly number[] {
  const low = grid.yMin;
  const high = valueOfRow(grid, grid.rows);
  const all: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    all.push(...steps.map((step) => step * 10 ** power));
  }
  const inside = all.filter((value) => value >= low && value <= high);
  const out: number[] = [];
  for (const value of inside) {
    const before = out.at(-1);
    if (
      before === undefined ||
      yOfValue(grid, size, before) - yOfValue(grid, size, value) >= apartPx
    )
      out.push(value);
  }
  return out;
}
