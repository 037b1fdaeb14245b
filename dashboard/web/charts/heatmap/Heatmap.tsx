/**
 * Latency over time as a heat map with percentile lines. Drag chooses a box of whole cells; the
 * keyboard moves a cell and extends it with shift. What to do with a box is the caller's.
 */
import { useRef, useState, type KeyboardEvent, type PointerEvent, type ReactNode } from "react";
import { clock, count, plural, say, tick, type Quantity, type Zone } from "../../data/format.ts";
import { timeTicks } from "../../data/time.ts";
import { palette } from "../../ui/palette.ts";
import { useCanvas } from "../../ui/use-canvas.ts";
import { useSize } from "../../ui/use-size.ts";
import { drawCells, drawErrors, drawPercentiles, type HeatmapData } from "./draw.ts";
import {
  boxOfCells,
  cellAt,
  countInBox,
  pixelsOfBox,
  valueOfRow,
  valueTicks,
  xOfMs,
  yOfValue,
  type Cell,
  type ValueBox,
} from "./geometry.ts";
import styles from "./Heatmap.module.css";

export interface HeatmapProps {
  readonly data: HeatmapData;
  readonly label: string;
  readonly zone: Zone;
  readonly formatValue: (value: number) => Quantity;
  readonly box: ValueBox | undefined;
  readonly onBox: (box: ValueBox | undefined) => void;
  /** Shown at the box: what can be done with it. */
  readonly actions: ReactNode;
}

export function Heatmap(props: HeatmapProps): ReactNode {
  const { data, zone, formatValue, box } = props;
  const plot = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const errorBox = useRef<HTMLDivElement>(null);
  const errorCanvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(plot);
  const [hover, setHover] = useState<Cell | undefined>(undefined);
  const [drag, setDrag] = useState<{ readonly from: Cell; readonly to: Cell } | undefined>(
    undefined,
  );
  const [cursor, setCursor] = useState<{ readonly at: Cell; readonly from: Cell } | undefined>(
    undefined,
  );
  useCanvas(
    canvas,
    plot,
    (context, area) => {
      drawCells(context, data, area, palette());
      drawPercentiles(context, data, area, palette());
    },
    [],
  );
  useCanvas(
    errorCanvas,
    errorBox,
    (context, area) => {
      drawErrors(context, data, area, palette());
    },
    [],
  );
  const at = (event: PointerEvent<HTMLElement>): Cell => {
    const rect = event.currentTarget.getBoundingClientRect();
    return cellAt(data, size, event.clientX - rect.left, event.clientY - rect.top);
  };
  const shownBox = drag ? boxOfCells(data, drag.from, drag.to) : box;
  const pixels = shownBox && size.width > 0 ? pixelsOfBox(data, size, shownBox) : undefined;
  const spanMs = data.stepMs * data.columns;
  return (
    <div className={styles.heatmap}>
      <div className={styles.yAxis} aria-hidden="true">
        {size.height > 0
          ? valueTicks(data, size, 26).map((value) => (
              <span
                key={value}
                className={styles.yTick}
                style={{ top: yOfValue(data, size, value) }}
              >
                {tick(formatValue(value))}
              </span>
            ))
          : null}
      </div>
      {/* The arrow keys move a cell; a live region says it. */}
      <div
        ref={plot}
        className={styles.plot}
        role="application"
        aria-roledescription="heat map"
        aria-label={`${props.label}. Arrow keys move, shift extends, Escape clears.`}
        tabIndex={0}
        onPointerDown={(event) => {
          if (event.button !== 0 || event.target !== event.currentTarget) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: at(event), to: at(event) });
        }}
        onPointerMove={(event) => {
          const cell = at(event);
          setHover(cell);
          if (drag) setDrag({ from: drag.from, to: cell });
        }}
        onPointerUp={() => {
          if (!drag) return;
          setDrag(undefined);
          const moved = drag.from.column !== drag.to.column || drag.from.row !== drag.to.row;
          props.onBox(moved ? boxOfCells(data, drag.from, drag.to) : undefined);
        }}
        onPointerLeave={() => {
          setHover(undefined);
        }}
        onKeyDown={(event) => {
          const next = moveCursor(event, data, cursor);
          if (!next) return;
          event.preventDefault();
          event.stopPropagation();
          setCursor(next.cursor);
          props.onBox(next.cursor ? boxOfCells(data, next.cursor.from, next.cursor.at) : undefined);
        }}
      >
        <canvas ref={canvas} className={styles.canvas} aria-hidden="true" />
        {pixels && pixels.width > 0 ? (
          <div
            className={styles.box}
            style={{ left: pixels.x, top: pixels.y, width: pixels.width, height: pixels.height }}
          />
        ) : null}
        {pixels && shownBox && !drag && pixels.width > 0 ? (
          <div className={styles.actions} style={actionsPlace(pixels, size)}>
            <span className={styles.boxCount}>
              {plural(countInBox(data, data.counts, shownBox), "call")}
            </span>
            {props.actions}
          </div>
        ) : null}
        {hover && !drag && !box ? (
          <HoverNote
            data={data}
            cell={hover}
            zone={zone}
            formatValue={formatValue}
            width={size.width}
          />
        ) : null}
      </div>
      <div className={styles.errors} ref={errorBox} title="Errors">
        <canvas ref={errorCanvas} className={styles.canvas} aria-hidden="true" />
      </div>
      <div className={styles.xAxis} aria-hidden="true">
        {size.width > 0
          ? timeTicks(
              { fromMs: data.fromMs, toMs: data.fromMs + spanMs },
              Math.max(2, Math.floor(size.width / 120)),
              zone,
            ).map((tick) => (
              <span
                key={tick.ms}
                className={styles.xTick}
                style={{ left: xOfMs(data, size, tick.ms) }}
              >
                {tick.label}
              </span>
            ))
          : null}
      </div>
      <div className="visually-hidden" aria-live="polite">
        {cursor ? cellText(data, cursor.at, zone, formatValue) : ""}
      </div>
    </div>
  );
}

function cellText(
  data: HeatmapData,
  cell: Cell,
  zone: Zone,
  formatValue: (value: number) => Quantity,
): string {
  const calls = data.counts[cell.column * data.rows + cell.row] ?? 0;
  const ms = data.fromMs + cell.column * data.stepMs;
  const low = say(formatValue(valueOfRow(data, cell.row)));
  const high = say(formatValue(valueOfRow(data, cell.row + 1)));
  return `${clock(ms, zone)}, ${low} to ${high}, ${plural(calls, "call")}`;
}

function HoverNote(props: {
  readonly data: HeatmapData;
  readonly cell: Cell;
  readonly zone: Zone;
  readonly formatValue: (value: number) => Quantity;
  readonly width: number;
}): ReactNode {
  const { data, cell, zone, formatValue, width } = props;
  const ms = data.fromMs + cell.column * data.stepMs;
  const x = ((cell.column + 0.5) / data.columns) * width;
  const line = (values: readonly (number | null)[]): string => {
    const value = values[cell.column];
    return value === null || value === undefined ? "–" : say(formatValue(value));
  };
  const calls = data.counts[cell.column * data.rows + cell.row] ?? 0;
  const errors = data.errors[cell.column] ?? 0;
  return (
    <>
      <div className={styles.hairline} style={{ left: x }} />
      <div
        className={styles.note}
        style={x > width - 230 ? { right: width - x + 10 } : { left: x + 10 }}
        aria-hidden="true"
      >
        <b>{clock(ms, zone)}</b>
        <span>
          {say(formatValue(valueOfRow(data, cell.row)))}–
          {say(formatValue(valueOfRow(data, cell.row + 1)))}: {say(count(calls))}
        </span>
        <span className={styles.noteLines}>
          p50 {line(data.p50)} · p95 {line(data.p95)} · p99 {line(data.p99)}
          {errors > 0 ? ` · ${plural(errors, "error")}` : ""}
        </span>
      </div>
    </>
  );
}

/** Above the box where there is room, else inside at its top. */
function actionsPlace(
  pixels: { readonly x: number; readonly y: number; readonly width: number },
  size: { readonly width: number },
) {
  const top = pixels.y > 38 ? pixels.y - 36 : pixels.y + 6;
  return pixels.x + 320 > size.width
    ? { top, right: Math.max(0, size.width - pixels.x - pixels.width) }
    : { top, left: pixels.x };
}

interface Cursor {
  readonly at: Cell;
  readonly from: Cell;
}

function moveCursor(
  event: KeyboardEvent,
  data: HeatmapData,
  cursor: Cursor | undefined,
): { readonly cursor: Cursor | undefined } | undefined {
  if (event.key === "Escape") return { cursor: undefined };
  const steps: Readonly<Record<string, readonly [number, number]>> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, 1],
    ArrowDown: [0, -1],
  };
  const step = steps[event.key];
  if (!step) return undefined;
  const start = cursor?.at ?? { column: data.columns - 1, row: Math.floor(data.rows / 2) };
  const at = {
    column: Math.max(0, Math.min(data.columns - 1, start.column + step[0])),
    row: Math.max(0, Math.min(data.rows - 1, start.row + step[1])),
  };
  return { cursor: { at, from: event.shiftKey && cursor ? cursor.from : at } };
}
