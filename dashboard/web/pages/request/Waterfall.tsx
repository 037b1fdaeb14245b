/**
 * The waterfall: rows as a DOM treegrid (names, levels, keyboard) beside bars on one canvas.
 *
 * Only the rows on screen exist. Scrolling, zooming and panning repaint the canvas directly; React
 * renders when the first row on screen changes.
 */
import {
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  type ReactNode,
  type RefObject,
} from "react";
import { drawBars } from "../../charts/timeline/draw.ts";
import { errorStatus, type TraceModel } from "../../charts/timeline/model.ts";
import { ticks, tickStep } from "../../charts/timeline/viewport.ts";
import { duration, durationMs, plural, say } from "../../data/format.ts";
import { palette } from "../../ui/palette.ts";
import { useSize } from "../../ui/use-size.ts";
import { useCanvas } from "../../ui/use-canvas.ts";
import { useTimelinePointer } from "./use-timeline-pointer.ts";
import type { TimelineView } from "./view.ts";
import styles from "./Waterfall.module.css";

export const rowHeight = 26;
/** Room right of the time axis, the same in every band. */
export const rightPad = 16;
const overscan = 6;

export interface WaterfallProps {
  readonly model: TraceModel;
  readonly rows: Int32Array;
  readonly view: TimelineView;
  readonly collapsed: ReadonlySet<number>;
  readonly matches: ReadonlySet<number> | undefined;
  readonly selected: number;
  readonly gutter: number;
  readonly onSelect: (row: number) => void;
  readonly onToggle: (row: number) => void;
}

export function Waterfall(props: WaterfallProps): ReactNode {
  const { model, rows, view, gutter } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const band = useRef<HTMLDivElement>(null);
  const dragBox = useRef<HTMLDivElement>(null);
  const size = useSize(scroller);
  const [first, setFirst] = useState(0);
  const shown = Math.ceil(size.height / rowHeight) + 1;
  const repaint = useCanvas(
    canvas,
    band,
    (context, { width, height }) => {
      const top = scroller.current?.scrollTop ?? 0;
      const firstIndex = Math.floor(top / rowHeight);
      const window = view.window.get();
      drawBars(
        context,
        {
          model,
          rows,
          firstIndex,
          lastIndex: Math.min(rows.length, firstIndex + Math.ceil(height / rowHeight) + 1),
          offsetY: firstIndex * rowHeight - top,
          rowHeight,
          collapsed: props.collapsed,
          matches: props.matches,
          view: window,
          width,
          ticks: ticks(window, Math.max(2, Math.floor(width / 90))),
        },
        palette(),
      );
    },
    [view.window],
  );
  const onScroll = useCallback(() => {
    setFirst(Math.max(0, Math.floor((scroller.current?.scrollTop ?? 0) / rowHeight)));
    repaint();
  }, [repaint]);
  useKeepSelectedVisible(scroller, rows, props.selected, size.height);
  const rowAt = (clientY: number): number => {
    const box = scroller.current?.getBoundingClientRect();
    if (!box) return -1;
    return (
      rows[Math.floor((clientY - box.top + (scroller.current?.scrollTop ?? 0)) / rowHeight)] ?? -1
    );
  };
  const drag = useTimelinePointer(band, dragBox, view, (event) => {
    const row = rowAt(event.clientY);
    if (row >= 0) props.onSelect(row);
  });
  const start = Math.max(0, first - overscan);
  const end = Math.min(rows.length, first + shown + overscan);
  const visible = useMemo(() => Array.from(rows.subarray(start, end)), [rows, start, end]);
  return (
    <div
      ref={scroller}
      className={styles.scroller}
      // As tall as its rows, up to the room there is: what the GPU did follows directly.
      // With none yet it takes all the room, so that its size is known before they come.
      style={{ height: rows.length === 0 ? "100%" : rows.length * rowHeight + 10 }}
      role="treegrid"
      aria-label={`Spans, ${plural(model.count, "span")}`}
      aria-rowcount={rows.length}
      aria-busy={rows.length === 0}
      aria-activedescendant={props.selected >= 0 ? `span-${props.selected}` : undefined}
      tabIndex={0}
      onScroll={onScroll}
    >
      <div className={styles.sticky} role="presentation">
        <div
          ref={band}
          className={styles.band}
          style={{ left: gutter, right: rightPad }}
          role="presentation"
          {...drag}
        >
          <canvas ref={canvas} className={styles.canvas} aria-hidden="true" />
          <div ref={dragBox} className={styles.box} hidden />
          <Cursor view={view} />
        </div>
      </div>
      <div style={{ height: rows.length * rowHeight }} role="presentation" />
      {visible.map((row, i) => (
        <SpanRow
          key={row}
          model={model}
          row={row}
          index={start + i}
          gutter={gutter}
          selected={row === props.selected}
          collapsed={props.collapsed.has(row)}
          dim={props.matches !== undefined && !props.matches.has(row)}
          onSelect={props.onSelect}
          onToggle={props.onToggle}
        />
      ))}
    </div>
  );
}

interface SpanRowProps {
  readonly model: TraceModel;
  readonly row: number;
  readonly index: number;
  readonly gutter: number;
  readonly selected: boolean;
  readonly collapsed: boolean;
  readonly dim: boolean;
  readonly onSelect: (row: number) => void;
  readonly onToggle: (row: number) => void;
}

/** Indent per level, and the deepest indent: deeper levels keep it, the name must stay readable. */
const indentPx = 13;
const maxIndentPx = 120;

function SpanRow(props: SpanRowProps): ReactNode {
  const { model, row, index, selected, collapsed } = props;
  const children = model.tree.childCount[row] ?? 0;
  const depth = model.tree.depth[row] ?? 0;
  const failed = model.status[row] === errorStatus;
  const name = model.strings[model.name[row] ?? 0] ?? "";
  const service = model.strings[model.service[row] ?? 0] ?? "";
  const parent = model.parent[row] ?? -1;
  const newService = parent < 0 || model.service[parent] !== model.service[row];
  return (
    // Keyboard: the treegrid has the focus and moves aria-activedescendant (see Page.tsx).
    // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
    <div
      id={`span-${row}`}
      role="row"
      aria-rowindex={index + 1}
      aria-level={depth + 1}
      aria-expanded={children > 0 ? !collapsed : undefined}
      aria-selected={selected}
      className={selected ? styles.rowSelected : styles.row}
      style={{ top: index * rowHeight, height: rowHeight }}
      onClick={() => {
        props.onSelect(row);
      }}
    >
      <div
        role="gridcell"
        className={styles.name}
        style={{
          width: props.gutter,
          paddingLeft: 8 + Math.min(maxIndentPx, depth * indentPx),
          opacity: props.dim ? 0.5 : 1,
        }}
      >
        {children > 0 ? (
          <button
            type="button"
            tabIndex={-1}
            className={styles.twist}
            aria-label={collapsed ? "Expand" : "Collapse"}
            onClick={(event) => {
              event.stopPropagation();
              props.onToggle(row);
            }}
          >
            <span className={collapsed ? styles.closed : styles.opened} aria-hidden="true" />
          </button>
        ) : (
          <span className={styles.leaf} aria-hidden="true" />
        )}
        <span className={styles.text} title={`${service} ${name}`}>
          {newService && service !== "" ? <span className={styles.service}>{service} </span> : null}
          <span className={failed ? styles.failed : undefined}>{name}</span>
          {model.orphan.has(row) ? <span className={styles.orphan}> parent missing</span> : null}
        </span>
        {collapsed ? (
          <span className={styles.hidden}>{(model.tree.size[row] ?? 1) - 1}</span>
        ) : null}
      </div>
      <div role="gridcell" className="visually-hidden">
        {say(duration((model.durationUs[row] ?? 0) * 1e3))}, starts at{" "}
        {say(durationMs((model.startUs[row] ?? 0) / 1e3))}
        {failed ? ", error" : ""}
      </div>
    </div>
  );
}

/** The axis above the bars; follows the window without React. */
export function Axis({
  view,
  gutter,
}: {
  readonly view: TimelineView;
  readonly gutter: number;
}): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  useCanvas(
    canvas,
    box,
    (context, { width, height }) => {
      const colors = palette();
      const window = view.window.get();
      const all = ticks(window, Math.max(2, Math.floor(width / 90)));
      const step = tickStep(all);
      context.font = `11px ${colors.font}`;
      context.fillStyle = colors.muted;
      context.textBaseline = "middle";
      context.textAlign = "left";
      for (const tick of all) {
        const x = ((tick - window.fromUs) / (window.toUs - window.fromUs)) * width;
        const text = tickLabel(tick, step);
        if (x + context.measureText(text).width + 6 > width) continue;
        context.fillStyle = colors.line;
        context.fillRect(Math.round(x), 0, 1, height);
        context.fillStyle = colors.muted;
        context.fillText(text, x + 5, height / 2);
      }
    },
    [view.window],
  );
  return (
    <div
      className={styles.axis}
      style={{ marginLeft: gutter, marginRight: rightPad }}
      ref={box}
      aria-hidden="true"
    >
      <canvas ref={canvas} className={styles.canvas} />
    </div>
  );
}

/** The unit follows the step, so that neighbours differ: 1.2 s, 1.4 s, not 1 s, 1 s. */
function tickLabel(us: number, stepUs: number): string {
  if (us === 0) return "0";
  const [unit, scale] =
    us >= 1e6 || stepUs >= 1e5
      ? (["s", 1e6] as const)
      : us >= 1e3 || stepUs >= 100
        ? (["ms", 1e3] as const)
        : (["µs", 1] as const);
  const decimals = Math.max(0, Math.ceil(-Math.log10(stepUs / scale) - 1e-9));
  return `${(us / scale).toFixed(Math.min(decimals, 6))}\u2009${unit}`;
}

/** The vertical line under the pointer, shared by all bands. */
export function Cursor({ view }: { readonly view: TimelineView }): ReactNode {
  const line = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const place = (): void => {
      const element = line.current;
      if (!element) return;
      const us = view.cursor.get();
      const { fromUs, toUs } = view.window.get();
      const share = us === undefined ? -1 : (us - fromUs) / (toUs - fromUs);
      element.hidden = share < 0 || share > 1;
      if (!element.hidden) element.style.left = `${share * 100}%`;
    };
    place();
    const stops = [view.cursor.subscribe(place), view.window.subscribe(place)];
    return () => {
      for (const stop of stops) stop();
    };
  }, [view]);
  return <div ref={line} className={styles.cursor} hidden />;
}

function useKeepSelectedVisible(
  scroller: RefObject<HTMLDivElement | null>,
  rows: Int32Array,
  selected: number,
  height: number,
): void {
  useEffect(() => {
    const element = scroller.current;
    const index = selected < 0 ? -1 : rows.indexOf(selected);
    if (!element || index < 0 || height === 0) return;
    const top = index * rowHeight;
    if (top < element.scrollTop) element.scrollTo({ top: top - rowHeight });
    else if (top + rowHeight > element.scrollTop + height) {
      element.scrollTo({ top: top - height + rowHeight * 2 });
    }
  }, [scroller, rows, selected, height]);
}
