/**
 * Painting of the heat map: cells in the use ramp, percentile lines over them, errors under them.
 */
import type { Palette } from "../../ui/palette.ts";
import { countStep, percentileStrokes, type HeatmapGrid, type PlotSize } from "./geometry.ts";

export interface HeatmapData extends HeatmapGrid {
  readonly counts: readonly number[];
  readonly p50: readonly (number | null)[];
  readonly p95: readonly (number | null)[];
  readonly p99: readonly (number | null)[];
  readonly errors: readonly number[];
}

export function drawCells(
  context: CanvasRenderingContext2D,
  data: HeatmapData,
  size: PlotSize,
  colors: Palette,
): void {
  const most = data.counts.reduce((a, b) => Math.max(a, b), 0);
  const w = size.width / data.columns;
  const h = size.height / data.rows;
  // A hairline between cells where they are large enough to bear it.
  const gapX = w > 4 ? 0.6 : 0;
  const gapY = h > 4 ? 0.6 : 0;
  for (let column = 0; column < data.columns; column += 1) {
    for (let row = 0; row < data.rows; row += 1) {
      const count = data.counts[column * data.rows + row] ?? 0;
      if (count === 0) continue;
      context.fillStyle = colors.use[countStep(count, most)] ?? colors.span;
      context.fillRect(
        column * w,
        size.height - (row + 1) * h,
        Math.max(1, w - gapX),
        Math.max(1, h - gapY),
      );
    }
  }
}

export function drawPercentiles(
  context: CanvasRenderingContext2D,
  data: HeatmapData,
  size: PlotSize,
  colors: Palette,
): void {
  const lines = [
    [data.p99, colors.crit],
    [data.p95, colors.warn],
    [data.p50, colors.text],
  ] as const;
  context.lineJoin = "round";
  for (const [values, color] of lines) {
    // A dark (or light) seam keeps the line apart from bright cells.
    strokeLine(context, data, size, values, colors.bg, 3.5);
    strokeLine(context, data, size, values, color, 1.5);
  }
}

function strokeLine(
  context: CanvasRenderingContext2D,
  data: HeatmapData,
  size: PlotSize,
  values: readonly (number | null)[],
  color: string,
  width: number,
): void {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.beginPath();
  for (const stroke of percentileStrokes(data, size, values)) {
    stroke.forEach(([x, y], at) => {
      if (at === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
  }
  context.stroke();
}

export function drawErrors(
  context: CanvasRenderingContext2D,
  data: HeatmapData,
  size: PlotSize,
  colors: Palette,
): void {
  const most = data.errors.reduce((a, b) => Math.max(a, b), 0);
  if (most === 0) return;
  const w = size.width / data.columns;
  context.fillStyle = colors.crit;
  data.errors.forEach((errors, i) => {
    if (errors === 0) return;
    const h = Math.max(2, (errors / most) * size.height);
    context.fillRect(i * w, size.height - h, Math.max(1, w - 0.6), h);
  });
}
