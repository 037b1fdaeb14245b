/**
 * A canvas that repaints once per frame when anything it draws from changes: size, theme, stores,
 * or the closure itself. Returns a function that asks for a repaint.
 */
import { useCallback, useEffect, useLayoutEffect, useRef, type RefObject } from "react";
import { theme } from "../data/preferences.ts";
import type { Store } from "../data/store.ts";
import { prepareCanvas, useSize, type Size } from "./use-size.ts";

export type Paint = (context: CanvasRenderingContext2D, size: Size) => void;

export function useCanvas(
  canvas: RefObject<HTMLCanvasElement | null>,
  box: RefObject<HTMLElement | null>,
  paint: Paint,
  follow: readonly Pick<Store<unknown>, "subscribe">[],
): () => void {
  const size = useSize(box);
  const latest = useRef({ paint, size });
  const frame = useRef(0);
  const paintNow = useCallback(() => {
    frame.current = 0;
    const { paint: run, size: now } = latest.current;
    if (!canvas.current || now.width === 0 || now.height === 0) return;
    const context = prepareCanvas(canvas.current, now);
    if (context) run(context, now);
  }, [canvas]);
  const repaint = useCallback(() => {
    if (frame.current === 0) frame.current = requestAnimationFrame(paintNow);
  }, [paintNow]);
  useLayoutEffect(() => {
    latest.current = { paint, size };
    // At once rather than in a frame: the first picture comes with the first layout.
    paintNow();
  });
  useEffect(() => {
    const stops = [theme.subscribe(repaint), ...follow.map((store) => store.subscribe(repaint))];
    return () => {
      for (const stop of stops) stop();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
    // oxlint-disable-next-line react/exhaustive-deps
  }, [repaint, ...follow]);
  return repaint;
}
