/**
 * Which steps of a chart are over, which one its legend tells, and what its axis spans. Pure.
 */
export interface Steps {
  readonly startMs: readonly number[];
  readonly stepMs: number;
  readonly untilMs?: number;
  readonly series: readonly { readonly values: readonly (number | null)[] }[];
}

/** How many steps are over. Where only the last says anything, it is shown all the same. */
export function wholeSteps({ startMs, stepMs, untilMs, series }: Steps): number {
  const before = startMs.length - 1;
  const last = startMs[before];
  const isCut = untilMs !== undefined && last !== undefined && last + stepMs > untilMs;
  // Sums of nothing are 0: a line of them alone would hide that something has just begun.
  const isQuiet = series.every(({ values }) => values.every((v, at) => at >= before || !v));
  return isCut && !isQuiet ? before : startMs.length;
}

/** The newest of these steps that has a value. */
export function lastKnown(series: Steps["series"], whole: number): number | undefined {
  const known = series.map((s) => s.values.findLastIndex((v, at) => v !== null && at < whole));
  const index = Math.max(...known);
  return index >= 0 ? index : undefined;
}

/** In seconds. One step alone fills the axis: left to itself, uPlot would show a day around it. */
export function xRange(
  { startMs, stepMs }: Pick<Steps, "startMs" | "stepMs">,
  low: number,
  high: number,
): [number, number] {
  return startMs.length === 1 ? [low - stepMs / 2e3, high + stepMs / 2e3] : [low, high];
}
