/**
 * Painting of the timeline: bars of the rows on screen, and the minimap of the whole trace.
 *
 * Takes a 2D context and numbers; knows no DOM, no React, no data fetching. Errors and the selection
 * are painted last, so that merging never hides them.
 */
import { duration, say } from "../../data/format.ts";
import type { Palette } from "../../ui/palette.ts";
import { coverage, mergeLane, type Lanes } from "./merge.ts";
import { errorStatus, spanTone, type TraceModel } from "./model.ts";
import type { Viewport } from "./viewport.ts";

export interface BarScene {
  readonly model: TraceModel;
  /** Rows in screen order; `firstIndex` is drawn at `offsetY`. */
  readonly rows: Int32Array;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly offsetY: number;
  readonly rowHeight: number;
  readonly collapsed: ReadonlySet<number>;
  readonly matches: ReadonlySet<number> | undefined;
  readonly view: Viewport;
  readonly width: number;
  readonly ticks: readonly number[];
}

const barHeight = 13;

export function drawBars(
  context: CanvasRenderingContext2D,
  scene: BarScene,
  colors: Palette,
): void {
  const { view, width, rowHeight, firstIndex, lastIndex } = scene;
  const scale = width / (view.toUs - view.fromUs);
  const height = scene.offsetY + (lastIndex - firstIndex) * rowHeight;
  context.fillStyle = colors.line;
  for (const tick of scene.ticks) {
    context.fillRect(
      Math.round((tick - view.fromUs) * scale),
      0,
      1,
      Math.max(height, context.canvas.height),
    );
  }
  context.font = `11px ${colors.font}`;
  context.textBaseline = "middle";
  for (let index = firstIndex; index < lastIndex; index += 1) {
    const row = scene.rows[index];
    if (row === undefined) break;
    const y = scene.offsetY + (index - firstIndex) * rowHeight + (rowHeight - barHeight) / 2;
    context.globalAlpha = scene.matches && !scene.matches.has(row) ? 0.32 : 1;
    drawRow(context, scene, colors, row, y, scale);
  }
  context.globalAlpha = 1;
}

function drawRow(
  context: CanvasRenderingContext2D,
  scene: BarScene,
  colors: Palette,
  row: number,
  y: number,
  scale: number,
): void {
  const { model, view, width } = scene;
  const start = model.startUs[row] ?? 0;
  const us = model.durationUs[row] ?? 0;
  const x0 = (start - view.fromUs) * scale;
  const x1 = x0 + us * scale;
  if (scene.collapsed.has(row)) drawCollapsed(context, scene, colors, row, y);
  if (x1 < -1 || x0 > width + 1) {
    drawOffscreenArrow(context, colors, x1 < 0 ? 4 : width - 4, y, x1 < 0);
    return;
  }
  const left = Math.max(x0, -4);
  const right = Math.max(Math.min(x1, width + 4), left + 2);
  const failed = model.status[row] === errorStatus;
  const tone = spanTone(model, row);
  const phased = drawPhases(context, model, colors, row, { y, x0, scale, width });
  if (!phased) {
    context.fillStyle = failed ? colors.crit : toneColor(colors, tone);
    fillBar(context, left, y, right - left, barHeight);
  } else if (failed) {
    context.fillStyle = colors.crit;
    context.fillRect(left, y + barHeight - 2, right - left, 2);
  }
  const neutral = !phased && (tone === "plain" || tone === "network");
  drawLabel(context, colors, say(duration(us * 1e3)), {
    left: x0,
    right: x1,
    y: y + barHeight / 2 + 0.5,
    width,
    failed,
    inside: failed && !phased ? colors.bg : neutral ? colors.text : colors.onPhase,
  });
}

function toneColor(colors: Palette, tone: ReturnType<typeof spanTone>): string {
  if (tone === "tool") return colors.phase.tool;
  if (tone === "retrieval") return colors.phase.retrieval;
  return tone === "call" ? (colors.use[4] ?? colors.span) : colors.span;
}

/** queue | prefill | decode | the rest, where the span tells; false when it tells none. */
function drawPhases(
  context: CanvasRenderingContext2D,
  model: TraceModel,
  colors: Palette,
  row: number,
  place: {
    readonly y: number;
    readonly x0: number;
    readonly scale: number;
    readonly width: number;
  },
): boolean {
  const { y, x0, scale, width } = place;
  const phases = [
    [model.queueUs[row] ?? Number.NaN, colors.phase.queue],
    [model.prefillUs[row] ?? Number.NaN, colors.phase.prefill],
    [model.decodeUs[row] ?? Number.NaN, colors.phase.decode],
  ] as const;
  if (phases.every(([us]) => !(us > 0))) return false;
  const total = model.durationUs[row] ?? 0;
  const known = phases.reduce((sum, [us]) => sum + (us > 0 ? us : 0), 0);
  context.fillStyle = colors.phase.other;
  fillBar(
    context,
    Math.max(x0, -4),
    y,
    Math.max(2, Math.min(x0 + total * scale, width + 4) - Math.max(x0, -4)),
    barHeight,
  );
  // What an engine tells may add up to a little more than the span: scaled into it.
  const fit = known > total && known > 0 ? total / known : 1;
  let x = x0;
  for (const [us, color] of phases) {
    if (!(us > 0)) continue;
    const next = x + us * fit * scale;
    context.fillStyle = color;
    if (next > 0 && x < width)
      context.fillRect(
        Math.max(x, 0),
        y,
        Math.max(1, Math.min(next, width) - Math.max(x, 0)),
        barHeight,
      );
    x = next;
  }
  return true;
}

function drawCollapsed(
  context: CanvasRenderingContext2D,
  scene: BarScene,
  colors: Palette,
  row: number,
  y: number,
): void {
  const { tree } = scene.model;
  const at = tree.position[row] ?? 0;
  const runs = coverage(
    scene.model,
    tree.order,
    at + 1,
    at + (tree.size[row] ?? 1),
    scene.view,
    scene.width,
  );
  context.fillStyle = colors.faint;
  for (let i = 0; i < runs.length; i += 2) {
    context.fillRect(runs[i] ?? 0, y + barHeight + 1, Math.max(1, runs[i + 1] ?? 1), 3);
  }
}

function fillBar(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  w: number,
  h: number,
): void {
  if (w < 5) {
    context.fillRect(x, y, Math.max(w, 1.5), h);
    return;
  }
  context.beginPath();
  context.roundRect(x, y, w, h, 2);
  context.fill();
}

function drawOffscreenArrow(
  context: CanvasRenderingContext2D,
  colors: Palette,
  x: number,
  y: number,
  left: boolean,
): void {
  context.fillStyle = colors.faint;
  context.textAlign = left ? "left" : "right";
  context.fillText(left ? "‹" : "›", x, y + barHeight / 2);
}

/** Right of the bar, else left of it, else inside at its visible end. */
function drawLabel(
  context: CanvasRenderingContext2D,
  colors: Palette,
  text: string,
  bar: {
    readonly left: number;
    readonly right: number;
    readonly y: number;
    readonly width: number;
    readonly failed: boolean;
    /** Colour of the label where it stands on the bar. */
    readonly inside: string;
  },
): void {
  const label = bar.failed ? `✕ ${text}` : text;
  const needed = context.measureText(label).width + 12;
  context.fillStyle = bar.failed ? colors.crit : colors.muted;
  if (bar.right + needed < bar.width) {
    context.textAlign = "left";
    context.fillText(label, bar.right + 6, bar.y);
  } else if (bar.left - needed > 0) {
    context.textAlign = "right";
    context.fillText(label, bar.left - 6, bar.y);
  } else {
    context.textAlign = "right";
    context.fillStyle = bar.inside;
    context.fillText(label, Math.min(bar.right, bar.width) - 6, bar.y);
  }
}

/** Lanes by depth over the whole trace; errors on top. */
export function drawMinimap(
  context: CanvasRenderingContext2D,
  model: TraceModel,
  lanes: Lanes,
  size: { readonly width: number; readonly height: number },
  colors: Palette,
): number {
  const laneCount = lanes.offset.length - 1;
  const used = Math.min(laneCount, model.tree.maxDepth + 1);
  const laneHeight = Math.min(5, size.height / Math.max(1, used));
  const all = { fromUs: 0, toUs: model.endUs };
  let painted = 0;
  for (let lane = 0; lane < used; lane += 1) {
    const y = lane * laneHeight;
    const h = Math.max(1, laneHeight - (laneHeight > 2.5 ? 1 : 0));
    painted += mergeLane(model, lanes, lane, all, size.width, (x, w, row) => {
      context.fillStyle = minimapColor(model, colors, row);
      context.fillRect(x, y, w, h);
    });
  }
  const scale = size.width / model.endUs;
  context.fillStyle = colors.crit;
  for (const row of model.errors) {
    const lane = Math.min(model.tree.depth[row] ?? 0, laneCount - 1);
    const x = (model.startUs[row] ?? 0) * scale;
    // A mark where it ended, not its whole length: one long failed parent would hide the rest.
    const end = x + (model.durationUs[row] ?? 0) * scale;
    context.fillRect(Math.max(x, end - 2), lane * laneHeight, 2, Math.max(2, laneHeight));
  }
  return painted;
}

function minimapColor(model: TraceModel, colors: Palette, row: number): string {
  if ((model.decodeUs[row] ?? Number.NaN) > 0) return colors.phase.decode;
  if ((model.prefillUs[row] ?? Number.NaN) > 0) return colors.phase.prefill;
  return toneColor(colors, spanTone(model, row));
}
