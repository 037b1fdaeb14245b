/**
 * The time window of the timeline in microseconds, and how it moves: pan, zoom, clamp. Pure.
 */

export interface Viewport {
  readonly fromUs: number;
  readonly toUs: number;
}

/** Narrowest window: one microsecond across the screen is as far as the data can tell. */
const narrowestUs = 1;

export function fitAll(endUs: number): Viewport {
  return { fromUs: 0, toUs: Math.max(endUs, narrowestUs) };
}

/** Keeps the width where it can and the window inside 0…endUs. */
export function clamp(view: Viewport, endUs: number): Viewport {
  const end = Math.max(endUs, narrowestUs);
  const width = Math.min(Math.max(view.toUs - view.fromUs, narrowestUs), end);
  const fromUs = Math.min(Math.max(view.fromUs, 0), end - width);
  return { fromUs, toUs: fromUs + width };
}

/** `share` of the window's width; negative is back in time. */
export function pan(view: Viewport, share: number, endUs: number): Viewport {
  const by = (view.toUs - view.fromUs) * share;
  return clamp({ fromUs: view.fromUs + by, toUs: view.toUs + by }, endUs);
}

/** Factor below 1 zooms in; the instant under `atShare` (0–1 of the window) stays where it is. */
export function zoomAt(view: Viewport, factor: number, atShare: number, endUs: number): Viewport {
  const width = view.toUs - view.fromUs;
  const next = Math.min(Math.max(width * factor, narrowestUs), Math.max(endUs, narrowestUs));
  const anchor = view.fromUs + width * atShare;
  return clamp({ fromUs: anchor - next * atShare, toUs: anchor + next * (1 - atShare) }, endUs);
}

/** A window around an interval, with a margin of a tenth on each side. */
export function focusOn(startUs: number, durationUs: number, endUs: number): Viewport {
  const width = Math.max(durationUs, narrowestUs);
  return clamp({ fromUs: startUs - width * 0.1, toUs: startUs + width * 1.1 }, endUs);
}

/** Between two places of the window (0–1), in either order. */
export function zoomToShares(view: Viewport, a: number, b: number, endUs: number): Viewport {
  const width = view.toUs - view.fromUs;
  return clamp(
    { fromUs: view.fromUs + width * Math.min(a, b), toUs: view.fromUs + width * Math.max(a, b) },
    endUs,
  );
}

/** Moves no more than needed to have the interval's start on screen. */
export function ensureVisible(
  view: Viewport,
  startUs: number,
  durationUs: number,
  endUs: number,
): Viewport {
  const end = startUs + durationUs;
  if (end >= view.fromUs && startUs <= view.toUs) return view;
  const width = view.toUs - view.fromUs;
  return clamp({ fromUs: startUs - width * 0.2, toUs: startUs + width * 0.8 }, endUs);
}

export function isAll(view: Viewport, endUs: number): boolean {
  return view.fromUs <= 0 && view.toUs >= endUs;
}

/** Round instants, at most `most` of them: 1, 2, 5 × 10ⁿ microseconds. */
export function ticks(view: Viewport, most: number): readonly number[] {
  const width = view.toUs - view.fromUs;
  const raw = width / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? power * 10;
  const out: number[] = [];
  for (let i = Math.ceil(view.fromUs / step); i * step <= view.toUs; i += 1) out.push(i * step);
  return out;
}

export function tickStep(all: readonly number[]): number {
  return all.length < 2 ? 1 : (all[1] ?? 1) - (all[0] ?? 0);
}
