/**
 * Lines, areas or bars over time on uPlot, with a shared crosshair, brushing, holes where data are
 * missing, marks for events, shaded stretches, and the same numbers as a table for those who cannot
 * see it.
 */
import { useEffect, useRef, useState, type ReactNode } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import {
  axisTime,
  clock,
  dateTime,
  durationMs,
  say,
  tick,
  type Quantity,
  type Zone,
} from "../../data/format.ts";
import { theme } from "../../data/preferences.ts";
import { useStore } from "../../data/queries.ts";
import type { MsRange } from "../../data/time.ts";
import { palette } from "../../ui/palette.ts";
import { useSize } from "../../ui/use-size.ts";
import { dashAt, leastDashPx, lonePoints } from "../lone.ts";
import { lastKnown, wholeSteps, xRange } from "./steps.ts";
import styles from "./TimeChart.module.css";

export interface SeriesSpec {
  readonly label: string;
  /** A colour token's name without dashes, resolved per theme. */
  readonly color: (colors: ReturnType<typeof palette>) => string;
  readonly values: readonly (number | null)[];
  readonly look: "line" | "area" | "bars";
}

export interface TimeChartProps {
  readonly title: string;
  readonly startMs: readonly number[];
  readonly stepMs: number;
  readonly series: readonly SeriesSpec[];
  readonly height: number;
  readonly zone: Zone;
  /** Charts with one key share their crosshair. */
  readonly syncKey: string;
  readonly format: (value: number | null | undefined) => Quantity;
  /** What a step's value is of the readings in it, where it stands beside a reading. */
  readonly each?: "mean" | "highest";
  readonly max?: number | null;
  readonly marks?: readonly { readonly ms: number; readonly bad: boolean }[];
  /** Stretches that are shaded, e.g. in which the device slowed itself. */
  readonly bands?: readonly { readonly fromMs: number; readonly toMs: number }[];
  /**
   * Where the data end. A step that this cuts is not over: lines stop before it, for a sum over half a
   * step would look like a fall; a bar is drawn as far as it has grown.
   */
  readonly untilMs?: number;
  readonly axisTimes?: boolean;
  /** Bytes: ticks at powers of two. */
  readonly binary?: boolean;
  readonly onBrush?: (range: MsRange) => void;
}

export function TimeChart(props: TimeChartProps): ReactNode {
  const { title, series, zone, startMs, format } = props;
  const shade = useStore(theme);
  const [at, setAt] = useState<number | undefined>(undefined);
  const index = at ?? lastKnown(series, wholeSteps(props));
  return (
    <figure className={styles.chart}>
      <figcaption className={styles.head}>
        <span className={styles.title}>{title}</span>
        <span className={styles.legend}>
          {series.map((s) => (
            <span key={s.label} className={styles.entry}>
              <Swatch color={s.color} />
              {s.label} <b>{say(format(index === undefined ? undefined : s.values[index]))}</b>
            </span>
          ))}
        </span>
        {index === undefined ? null : (
          <StepTime ms={startMs[index] ?? 0} stepMs={props.stepMs} zone={zone} each={props.each} />
        )}
      </figcaption>
      <Plot
        key={`${series.map((s) => s.label + s.look).join("|")} ${shade} ${zone}`}
        {...props}
        onCursor={setAt}
      />
      <DataTable {...props} />
    </figure>
  );
}

/** Which step the legend's values are of: they are no totals of the range. */
function StepTime(props: {
  readonly ms: number;
  readonly stepMs: number;
  readonly zone: Zone;
  readonly each: TimeChartProps["each"];
}): ReactNode {
  const { ms, stepMs, zone, each } = props;
  const step = tick(durationMs(stepMs));
  const of = each === undefined ? "values" : each === "mean" ? "mean readings" : "highest readings";
  return (
    <span className={styles.at} title={`The ${of} of the ${step} from ${dateTime(ms, zone)}`}>
      {each === undefined ? "" : `${each} of ${step} `}at{" "}
      {clock(ms, zone, stepMs % 60e3 === 0 ? "minute" : "second")}
    </span>
  );
}

interface PlotProps extends TimeChartProps {
  readonly onCursor: (index: number | undefined) => void;
}

/** The canvas. Made anew for another shape, theme or zone; data and size are handed on. */
function Plot(props: PlotProps): ReactNode {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  const { width } = useSize(box);
  const { height } = props;
  useEffect(() => {
    latest.current = props;
    chart.current?.setData(dataOf(props), true);
  });
  useEffect(() => {
    if (!box.current || width === 0) return;
    if (chart.current) chart.current.setSize({ width, height });
    else chart.current = new uPlot(optionsFor(latest, width), dataOf(latest.current), box.current);
  }, [width, height]);
  useEffect(
    () => () => {
      chart.current?.destroy();
      chart.current = undefined;
    },
    [],
  );
  return <div ref={box} style={{ height }} className={styles.plot} aria-hidden="true" />;
}

function Swatch({ color }: { readonly color: SeriesSpec["color"] }): ReactNode {
  useStore(theme);
  return (
    <span className={styles.swatch} style={{ background: color(palette()) }} aria-hidden="true" />
  );
}

function dataOf(props: TimeChartProps): uPlot.AlignedData {
  const whole = wholeSteps(props);
  return [
    props.startMs.map((ms) => ms / 1e3),
    ...props.series.map(({ look, values }) =>
      look === "bars" ? [...values] : values.map((value, at) => (at < whole ? value : null)),
    ),
  ];
}

function optionsFor(latest: { readonly current: PlotProps }, width: number): uPlot.Options {
  const { series, height, zone, syncKey, format, axisTimes = true } = latest.current;
  const colors = palette();
  const font = `11px ${colors.font}`;
  const grid = { stroke: colors.line, width: 1 };
  return {
    width,
    height,
    padding: [8, rightPad, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: syncKey },
      points: { size: 5 },
      drag: { x: true, y: false, setScale: false },
    },
    scales: {
      x: { time: true, range: (_, low, high) => xRange(latest.current, low, high) },
      y: { range: (_, __, high) => [0, yMax(latest.current, high)] },
    },
    axes: [
      {
        stroke: colors.muted,
        font,
        grid,
        ticks: { show: false },
        size: axisTimes ? 22 : 4,
        values: (u, splits) => {
          if (!axisTimes) return splits.map(() => "");
          const [low = 0, high = 0] = [u.scales["x"]?.min, u.scales["x"]?.max];
          const widthPx = u.bbox.width / devicePixelRatio;
          return splits.map((s) => {
            const label = axisTime(s * 1e3, (high - low) * 1e3, zone);
            // One that would be cut off at the right edge is left out.
            const endPx = u.valToPos(s, "x") + (label.length * digitPx) / 2;
            return endPx > widthPx + rightPad ? "" : label;
          });
        },
        space: 84,
      },
      {
        stroke: colors.muted,
        font,
        grid,
        ticks: { show: false },
        size: axisWidth,
        space: 28,
        ...(latest.current.binary ? { incrs: binarySteps } : {}),
        values: (_, splits) => splits.map((s) => tick(format(s))),
      },
    ],
    series: [{}, ...series.map((s) => seriesFor(s, colors))],
    hooks: {
      setCursor: [
        (u) => {
          latest.current.onCursor(u.cursor.idx ?? undefined);
        },
      ],
      setSelect: [
        (u) => {
          brushed(u, latest.current.onBrush);
        },
      ],
      drawSeries: [
        (u, at) => {
          drawLone(u, at, latest.current);
        },
      ],
      draw: [
        (u) => {
          drawBands(u, latest.current.bands ?? [], colors.crit);
          drawMarks(u, latest.current.marks ?? [], colors.crit, colors.accent);
        },
      ],
    },
  };
}

/** Left and right of the plot, for what stands on the same axis below it. */
export const axisWidth = 62;
export const rightPad = 4;
/** Mean width of a character in the axes' 11 px. */
const digitPx = 6;

/** 1 KiB to 512 TiB: enough for any memory. */
const binarySteps = Array.from({ length: 40 }, (_, i) => 2 ** (i + 10));

function yMax({ max }: TimeChartProps, high: number | null): number {
  if (typeof max === "number" && max > 0) return max;
  return (high ?? 0) <= 0 ? 1 : (high ?? 0) * 1.12;
}

function seriesFor(spec: SeriesSpec, colors: ReturnType<typeof palette>): uPlot.Series {
  const color = spec.color(colors);
  const base: uPlot.Series = {
    label: spec.label,
    stroke: color,
    width: 1.5,
    // Of what has no neighbour, uPlot would draw dots: dashes are drawn instead.
    points: { show: false, filter: () => null },
    spanGaps: false,
  };
  if (spec.look === "line") return base;
  if (spec.look === "area") return { ...base, fill: translucent(color) };
  const bars = uPlot.paths.bars?.({ size: [0.82, 40] });
  return { ...base, width: 0, fill: color, ...(bars ? { paths: bars } : {}) };
}

/** Tokens are six-digit hex: two more digits are the opacity. */
function translucent(color: string): string {
  return color.length === 7 ? `${color}2e` : color;
}

/** Values that no line shows, as dashes as wide as a step. */
function drawLone(u: uPlot, at: number, { stepMs, series }: TimeChartProps): void {
  const [spec, values] = [series[at - 1], u.data[at]];
  if (spec === undefined || values === undefined || spec.look === "bars") return;
  const ratio = window.devicePixelRatio || 1;
  const { left, width } = u.bbox;
  const xOf = (seconds: number): number => u.valToPos(seconds, "x", true);
  u.ctx.fillStyle = spec.color(palette());
  for (const lone of lonePoints(values)) {
    const seconds = u.data[0][lone] ?? 0;
    const [from, to] = dashAt(
      xOf(seconds),
      { stepPx: xOf(seconds + stepMs / 1e3) - xOf(seconds), leastPx: leastDashPx * ratio },
      { low: left, high: left + width },
    );
    const y = u.valToPos(values[lone] ?? 0, "y", true);
    u.ctx.fillRect(from, y - ratio, to - from, 2 * ratio);
  }
}

function brushed(u: uPlot, onBrush: ((range: MsRange) => void) | undefined): void {
  if (u.select.width < 4) return;
  const fromMs = u.posToVal(u.select.left, "x") * 1e3;
  const toMs = u.posToVal(u.select.left + u.select.width, "x") * 1e3;
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onBrush?.({ fromMs, toMs });
}

function drawBands(u: uPlot, bands: NonNullable<TimeChartProps["bands"]>, color: string): void {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  u.ctx.fillStyle = color;
  for (const { fromMs, toMs } of bands) {
    const x = u.valToPos(fromMs / 1e3, "x", true);
    const w = Math.max(1, u.valToPos(toMs / 1e3, "x", true) - x);
    u.ctx.globalAlpha = 0.14;
    u.ctx.fillRect(x, top, w, height);
    u.ctx.globalAlpha = 1;
    u.ctx.fillRect(x, top, w, Math.max(2, window.devicePixelRatio * 2));
  }
  u.ctx.restore();
}

function drawMarks(
  u: uPlot,
  marks: NonNullable<TimeChartProps["marks"]>,
  bad: string,
  plain: string,
): void {
  const ratio = window.devicePixelRatio || 1;
  for (const mark of marks) {
    const x = u.valToPos(mark.ms / 1e3, "x", true);
    u.ctx.fillStyle = mark.bad ? bad : plain;
    u.ctx.fillRect(Math.round(x), u.bbox.top, Math.max(1, ratio), u.bbox.height);
  }
}

/** At most this many rows: a table of 1,500 buckets helps nobody. */
const tableRows = 24;

function DataTable({ title, startMs, series, zone, format }: TimeChartProps): ReactNode {
  const step = Math.max(1, Math.ceil(startMs.length / tableRows));
  const picked = startMs.flatMap((ms, i) => (i % step === 0 ? [{ ms, i }] : []));
  return (
    <table className="visually-hidden">
      <caption>{title}</caption>
      <thead>
        <tr>
          <th scope="col">Time</th>
          {series.map((s) => (
            <th key={s.label} scope="col">
              {s.label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {picked.map(({ ms, i }) => (
          <tr key={ms}>
            <th scope="row">{clock(ms, zone)}</th>
            {series.map((s) => (
              <td key={s.label}>{say(format(s.values[i]))}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
