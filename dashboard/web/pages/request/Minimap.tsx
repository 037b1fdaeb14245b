/**
 * The whole trace in one strip, with the window that the waterfall shows; drag to choose another.
 */
import { useEffect, useMemo, useRef, type PointerEvent, type ReactNode } from "react";
import { drawMinimap } from "../../charts/timeline/draw.ts";
import { buildLanes } from "../../charts/timeline/merge.ts";
import type { TraceModel } from "../../charts/timeline/model.ts";
import { clamp, fitAll, isAll } from "../../charts/timeline/viewport.ts";
import { palette } from "../../ui/palette.ts";
import styles from "./Minimap.module.css";
import { useCanvas } from "../../ui/use-canvas.ts";
import type { TimelineView } from "./view.ts";

/** More depth than this shares the last lane: below one pixel nothing can be told apart. */
const maxLanes = 48;

export function Minimap({
  model,
  view,
}: {
  readonly model: TraceModel;
  readonly view: TimelineView;
}): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const lanes = useMemo(() => buildLanes(model.tree.depth, maxLanes), [model]);
  useCanvas(
    canvas,
    box,
    (context, size) => drawMinimap(context, model, lanes, size, palette()),
    [],
  );
  useEffect(() => {
    const place = (): void => {
      const now = view.window.get();
      if (!frame.current) return;
      frame.current.hidden = isAll(now, view.endUs);
      frame.current.style.left = `${(now.fromUs / view.endUs) * 100}%`;
      frame.current.style.width = `${((now.toUs - now.fromUs) / view.endUs) * 100}%`;
    };
    place();
    return view.window.subscribe(place);
  }, [view]);
  const drag = useMinimapDrag(view);
  return (
    <div className={styles.minimap} ref={box} aria-hidden="true" {...drag}>
      <canvas ref={canvas} className={styles.canvas} />
      <div ref={frame} className={styles.frame} hidden />
    </div>
  );
}

/** A drag chooses a window; a click moves the window there; a double click shows all. */
function useMinimapDrag(view: TimelineView) {
  const from = useRef<number | undefined>(undefined);
  const at = (event: PointerEvent<HTMLElement>): number => {
    const rect = event.currentTarget.getBoundingClientRect();
    return ((event.clientX - rect.left) / rect.width) * view.endUs;
  };
  return {
    onPointerDown: (event: PointerEvent<HTMLElement>) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      from.current = at(event);
    },
    onPointerMove: (event: PointerEvent<HTMLElement>) => {
      if (from.current === undefined) return;
      const to = at(event);
      const [a, b] = [Math.min(from.current, to), Math.max(from.current, to)];
      if ((b - a) / view.endUs > 0.004) view.window.set(clamp({ fromUs: a, toUs: b }, view.endUs));
    },
    onPointerUp: (event: PointerEvent<HTMLElement>) => {
      const to = at(event);
      const start = from.current ?? to;
      from.current = undefined;
      if (Math.abs(to - start) / view.endUs > 0.004) return;
      const { fromUs, toUs } = view.window.get();
      const half = (toUs - fromUs) / 2;
      view.window.set(clamp({ fromUs: to - half, toUs: to + half }, view.endUs));
    },
    onDoubleClick: () => {
      view.window.set(fitAll(view.endUs));
    },
  };
}
