/**
 * What the bands of a request share: the time window, the crosshair, the width of the name column.
 *
 * Lives outside React: canvases and lines follow it directly, so that panning repaints no component.
 */
import { createStore, type Store } from "../../data/store.ts";
import { fitAll, type Viewport } from "../../charts/timeline/viewport.ts";

export interface TimelineView {
  readonly endUs: number;
  readonly window: Store<Viewport>;
  /** Instant under the pointer, in microseconds from the trace's start. */
  readonly cursor: Store<number | undefined>;
}

export function createTimelineView(
  endUs: number,
  zoom: readonly [number, number] | undefined,
): TimelineView {
  const all = fitAll(endUs);
  const start = zoom ? { fromUs: Math.max(0, zoom[0]), toUs: Math.min(all.toUs, zoom[1]) } : all;
  return {
    endUs,
    window: createStore<Viewport>(start.toUs - start.fromUs >= 1 ? start : all),
    cursor: createStore<number | undefined>(undefined),
  };
}
