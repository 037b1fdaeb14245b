/**
 * Pointer and wheel on a time band: drag a box to zoom, shift-drag or sideways wheel to pan,
 * ctrl/⌘-wheel to zoom at the pointer, click to choose. Plain wheel scrolls the rows as usual.
 */
import { useEffect, useRef, type PointerEvent as ReactPointerEvent, type RefObject } from "react";
import { fitAll, pan, zoomAt, zoomToShares } from "../../charts/timeline/viewport.ts";
import type { TimelineView } from "./view.ts";

/** Below this a drag is a click, in CSS pixels. */
const clickPx = 4;

export function useTimelinePointer(
  band: RefObject<HTMLDivElement | null>,
  box: RefObject<HTMLDivElement | null>,
  view: TimelineView,
  onClick: (event: ReactPointerEvent<HTMLDivElement>) => void,
) {
  const drag = useRef<{ readonly x: number; readonly panning: boolean; last: number } | undefined>(
    undefined,
  );
  useWheel(band, view);
  const share = (event: ReactPointerEvent<HTMLDivElement>, x = event.clientX): number => {
    const rect = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (x - rect.left) / Math.max(1, rect.width)));
  };
  const showBox = (event: ReactPointerEvent<HTMLDivElement>, from: number): void => {
    const tooSmall = Math.abs(event.clientX - from) < clickPx;
    placeBox(box.current, tooSmall ? undefined : [share(event, from), share(event)]);
  };
  const handlers = {
    onPointerDown: (event: ReactPointerEvent<HTMLDivElement>) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      event.currentTarget.setPointerCapture(event.pointerId);
      drag.current = { x: event.clientX, panning: event.shiftKey, last: event.clientX };
    },
    onPointerMove: (event: ReactPointerEvent<HTMLDivElement>) => {
      const window = view.window.get();
      view.cursor.set(window.fromUs + (window.toUs - window.fromUs) * share(event));
      const now = drag.current;
      if (!now) return;
      if (now.panning) {
        const width = event.currentTarget.getBoundingClientRect().width;
        view.window.set(pan(window, (now.last - event.clientX) / width, view.endUs));
        now.last = event.clientX;
      } else {
        showBox(event, now.x);
      }
    },
    onPointerUp: (event: ReactPointerEvent<HTMLDivElement>) => {
      const now = drag.current;
      drag.current = undefined;
      placeBox(box.current, undefined);
      if (!now || Math.abs(event.clientX - now.x) < clickPx) {
        onClick(event);
        return;
      }
      if (!now.panning) {
        view.window.set(
          zoomToShares(view.window.get(), share(event, now.x), share(event), view.endUs),
        );
      }
    },
    onPointerLeave: () => {
      view.cursor.set(undefined);
    },
    onDoubleClick: () => {
      view.window.set(fitAll(view.endUs));
    },
  };
  return handlers;
}

function placeBox(
  element: HTMLElement | null,
  shares: readonly [number, number] | undefined,
): void {
  if (!element) return;
  element.hidden = shares === undefined;
  if (!shares) return;
  element.style.left = `${Math.min(...shares) * 100}%`;
  element.style.width = `${Math.abs(shares[0] - shares[1]) * 100}%`;
}

/** Not React's onWheel: that one is passive, and the page must not zoom or swipe back. */
function useWheel(band: RefObject<HTMLDivElement | null>, view: TimelineView): void {
  useEffect(() => {
    const element = band.current;
    if (!element) return undefined;
    const onWheel = (event: WheelEvent): void => {
      const rect = element.getBoundingClientRect();
      const window = view.window.get();
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const factor = Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.006);
        view.window.set(
          zoomAt(window, factor, (event.clientX - rect.left) / rect.width, view.endUs),
        );
        return;
      }
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (Math.abs(sideways) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
      event.preventDefault();
      view.window.set(pan(window, sideways / rect.width, view.endUs));
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      element.removeEventListener("wheel", onWheel);
    };
  }, [band, view]);
}
