/**
 * Calls beside a request as thin bars, packed into as few rows as they need. Pure but for painting.
 */
import type { TraceGpuLanes } from "@axonize/core/contract/gpu";
import { timeMs } from "../../data/format.ts";
import type { Palette } from "../../ui/palette.ts";
import { xOf, type LaneScale } from "./strip.ts";

export type Neighbour = TraceGpuLanes["lanes"][number]["neighbours"][number];

export interface Packed {
  readonly call: Neighbour;
  readonly fromMs: number;
  readonly toMs: number;
  readonly row: number;
}

/** Each call in the first row that is free when it starts. Input is sorted by start. */
export function packCalls(calls: readonly Neighbour[]): readonly Packed[] {
  const freeAt: number[] = [];
  return calls.map((call) => {
    const fromMs = timeMs(call.startTime);
    const toMs = fromMs + call.durationNs / 1e6;
    const found = freeAt.findIndex((ms) => ms <= fromMs);
    const row = found < 0 ? freeAt.length : found;
    freeAt[row] = toMs;
    return { call, fromMs, toMs, row };
  });
}

export const rowPx = 6;
/** Rows below this would push the page; their calls are counted, not drawn. */
export const mostRows = 16;

export function rowCount(packed: readonly Packed[]): number {
  return Math.min(
    mostRows,
    packed.reduce((most, { row }) => Math.max(most, row + 1), 0),
  );
}

/** Phases in their own colours, the rest of a call in the neutral one. */
export function drawNeighbours(scale: LaneScale, packed: readonly Packed[], colors: Palette): void {
  const { context } = scale;
  for (const { call, fromMs, toMs, row } of packed) {
    if (row >= mostRows || toMs < scale.fromMs || fromMs > scale.toMs) continue;
    const y = 3 + row * rowPx;
    const bar = (from: number, to: number, color: string): void => {
      const left = Math.max(0, xOf(scale, from));
      const right = Math.min(scale.width, xOf(scale, to));
      if (right <= 0 || left >= scale.width) return;
      context.fillStyle = color;
      context.fillRect(left, y, Math.max(1, right - left), rowPx - 2);
    };
    bar(fromMs, toMs, colors.phase.other);
    let at = fromMs;
    for (const [ms, color] of [
      [call.queueMs, colors.phase.queue],
      [call.prefillMs, colors.phase.prefill],
      [call.decodeMs, colors.phase.decode],
    ] as const) {
      if (ms === null) continue;
      bar(at, Math.min(at + ms, toMs), color);
      at += ms;
    }
  }
}

/** The call under a place of the canvas. */
export function callAt(
  scale: Pick<LaneScale, "width" | "fromMs" | "toMs">,
  packed: readonly Packed[],
  x: number,
  y: number,
): Neighbour | undefined {
  const row = Math.floor((y - 3) / rowPx);
  const ms = scale.fromMs + (x / scale.width) * (scale.toMs - scale.fromMs);
  return packed.find((one) => one.row === row && one.fromMs <= ms && ms <= one.toMs)?.call;
}
