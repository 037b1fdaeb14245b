/**
 * Which charts a device's series make, and what each of their values is: a mean or the highest of a
 * step's readings, where the page's head shows the last reading. Pure.
 */
import type { GpuMetrics } from "@axonize/core/contract/gpu";
import type { SeriesSpec } from "../../charts/time-chart/TimeChart.tsx";
import { bytes, noValue, percent, type Quantity } from "../../data/format.ts";

/** Whole units: a watt more or less says nothing. */
export function rounded(value: number | null | undefined, unit: string): Quantity {
  return value === null || value === undefined
    ? noValue
    : { value: Math.round(value).toLocaleString("en-US"), unit };
}

export interface ChartSpec {
  readonly title: string;
  readonly format: (value: number | null | undefined) => Quantity;
  readonly max: number | null;
  /** Of a step's readings, as the API answers it. */
  readonly each: "mean" | "highest";
  readonly series: readonly SeriesSpec[];
}

export function chartsOf({
  series: s,
  memoryTotalBytes,
  powerLimitWatts,
}: Pick<GpuMetrics, "series" | "memoryTotalBytes" | "powerLimitWatts">): readonly ChartSpec[] {
  const line = (
    label: string,
    values: readonly (number | null)[],
    color: SeriesSpec["color"],
    look: SeriesSpec["look"] = "line",
  ): SeriesSpec => ({ label, values, color, look });
  const all: readonly ChartSpec[] = [
    {
      title: "Activity",
      format: percent,
      max: 1,
      each: "mean",
      series: [
        line("SM", s.smActivityRatio, (c) => c.use[6] ?? "", "area"),
        line("tensor", s.tensorActivityRatio, (c) => c.category[0] ?? ""),
        line("bandwidth", s.dramActivityRatio, (c) => c.category[1] ?? ""),
        line("utilisation", s.utilizationRatio, (c) => c.muted),
      ],
    },
    {
      title: "Memory",
      format: bytes,
      max: memoryTotalBytes,
      each: "highest",
      series: [line("used", s.memoryUsedBytes, (c) => c.use[5] ?? "", "area")],
    },
    {
      title: "Power",
      format: (v) => rounded(v, "W"),
      max: powerLimitWatts,
      each: "mean",
      series: [line("draw", s.powerWatts, (c) => c.heat[6] ?? "")],
    },
    {
      title: "Temperature",
      format: (v) => rounded(v, "°C"),
      max: 100,
      each: "highest",
      series: [line("GPU", s.temperatureCelsius, (c) => c.crit)],
    },
    {
      title: "SM clock",
      format: (v) => rounded(v, "MHz"),
      max: null,
      each: "mean",
      series: [line("SM", s.smClockMhz, (c) => c.category[7] ?? "")],
    },
  ];
  // A reading that nobody took has no chart, rather than an empty one.
  return all
    .map((chart) => ({
      ...chart,
      series: chart.series.filter(({ values }) => values.some((v) => v !== null)),
    }))
    .filter(({ series }) => series.length > 0);
}
