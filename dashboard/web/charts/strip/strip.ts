/**
 * Strips of one device over time: a heat strip for a ratio, lines and areas for quantities, and
 * event marks. Paints into a given box; unknown stays unpainted, never 0.
 */
import { strokesOf } from "../lone.ts";
import type { Palette } from "../../ui/palette.ts";
import { rampStep } from "../../ui/palette.ts";

export interface LaneScale {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  readonly fromMs: number;
  readonly toMs: number;
}

type Values = readonly (number | null)[];

export function xOf(scale: LaneScale, ms: number): number {
  return ((ms - scale.fromMs) / (scale.toMs - scale.fromMs)) * scale.width;
}

export function drawHeatStrip(
  scale: LaneScale,
  startMs: readonly number[],
  stepMs: number,
  ratios: Values,
  colors: Palette,
): void {
  const { context, height } = scale;
  const pad = 5;
  for (let i = 0; i < startMs.length; i += 1) {
    const ratio = ratios[i];
    const ms = startMs[i] ?? 0;
    if (ratio === null || ratio === undefined || ms + stepMs < scale.fromMs || ms > scale.toMs)
      continue;
    const left = Math.floor(xOf(scale, ms));
    const right = Math.ceil(xOf(scale, ms + stepMs));
    context.fillStyle = colors.use[rampStep(ratio)] ?? colors.span;
    context.fillRect(left, pad, Math.max(1, right - left), height - pad * 2);
  }
}

/** Times in which the device slowed itself: hatched, behind everything else. */
export function drawThrottles(
  scale: LaneScale,
  stretches: readonly { readonly from: string; readonly to: string }[],
  colors: Palette,
): void {
  const { context, height } = scale;
  for (const { from, to } of stretches) {
    const left = Math.max(0, xOf(scale, Date.parse(from)));
    const right = Math.min(scale.width, xOf(scale, Date.parse(to)));
    if (right <= left) continue;
    context.save();
    context.beginPath();
    context.rect(left, 0, Math.max(1, right - left), height);
    context.clip();
    context.fillStyle = colors.critTint;
    context.fillRect(left, 0, right - left + 1, height);
    context.strokeStyle = colors.crit;
    context.lineWidth = 1;
    context.globalAlpha = 0.45;
    context.beginPath();
    for (let x = left - height; x < right; x += 7) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.restore();
  }
}

export interface LineSpec {
  readonly values: Values;
  /** Top of the scale; the data's own maximum when unknown. */
  readonly max: number | null;
  readonly color: string;
  readonly fill: boolean;
}

export interface EventMark {
  readonly time: string;
  readonly kind: string;
}

export function drawLines(
  scale: LaneScale,
  startMs: readonly number[],
  stepMs: number,
  lines: readonly LineSpec[],
  events: readonly EventMark[],
  colors: Palette,
): void {
  drawEvents(scale, events, colors);
  for (const line of lines) drawLine(scale, startMs, stepMs, line);
}

function drawLine(
  scale: LaneScale,
  startMs: readonly number[],
  stepMs: number,
  line: LineSpec,
): void {
  const { context, height } = scale;
  const top = line.max ?? Math.max(1, ...line.values.map((v) => v ?? 0)) * 1.15;
  const pad = 4;
  const y = (value: number): number =>
    height - pad - (Math.min(value, top) / top) * (height - pad * 2);
  context.strokeStyle = line.color;
  context.fillStyle = line.color;
  context.lineWidth = 1.5;
  const strokes = strokesOf(line.values, {
    x: (at) => xOf(scale, (startMs[at] ?? 0) + stepMs / 2),
    y,
    stepPx: (stepMs / (scale.toMs - scale.fromMs)) * scale.width,
    within: { low: -Infinity, high: Infinity },
  });
  for (const stroke of strokes) {
    context.beginPath();
    for (const [x, value] of stroke) context.lineTo(x, value);
    context.stroke();
    if (!line.fill) continue;
    context.lineTo(stroke.at(-1)?.[0] ?? 0, height);
    context.lineTo(stroke[0]?.[0] ?? 0, height);
    context.globalAlpha = 0.22;
    context.fill();
    context.globalAlpha = 1;
  }
}

function drawEvents(scale: LaneScale, events: readonly EventMark[], colors: Palette): void {
  const { context, height } = scale;
  for (const event of events) {
    const x = xOf(scale, Date.parse(event.time));
    if (x < -2 || x > scale.width + 2) continue;
    context.fillStyle = event.kind === "mig" ? colors.accent : colors.crit;
    context.fillRect(Math.round(x), 0, 1.5, height);
  }
}
