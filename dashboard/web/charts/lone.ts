/**
 * Values without a neighbour: a line draws nothing there, so each is drawn as a short dash, as wide as
 * the step it holds for and never too small to see. Pure.
 */
type Values = ArrayLike<number | null | undefined>;

const isKnown = (value: number | null | undefined): value is number =>
  value !== null && value !== undefined;

export function lonePoints(values: Values): number[] {
  const known = (at: number): boolean => isKnown(values[at]);
  return Array.from({ length: values.length }, (_, at) => at).filter(
    (at) => known(at) && !known(at - 1) && !known(at + 1),
  );
}

/** In CSS pixels: twice a cursor's dot, so that it reads as a mark and not as a speck. */
export const leastDashPx = 10;

export interface Extent {
  readonly low: number;
  readonly high: number;
}

/** Both ends of the dash around `middle`; at an edge it is moved inside, not cut. */
export function dashAt(
  middle: number,
  width: { readonly stepPx: number; readonly leastPx: number },
  { low, high }: Extent,
): readonly [from: number, to: number] {
  const px = Math.min(Math.max(width.stepPx, width.leastPx), high - low);
  const from = Math.max(low, Math.min(high - px, middle - px / 2));
  return [from, from + px];
}

export type Point = readonly [x: number, y: number];

export interface Place {
  /** Of the middle of a step. */
  readonly x: (at: number) => number;
  readonly y: (value: number) => number;
  readonly stepPx: number;
  readonly leastPx?: number;
  readonly within: Extent;
}

/** A line with holes as strokes from left to right: its runs, and a dash for what stands alone. */
export function strokesOf(values: Values, place: Place): readonly (readonly Point[])[] {
  const { x, y, stepPx, leastPx = leastDashPx, within } = place;
  const strokes: Point[][] = [];
  let run: Point[] = [];
  for (let at = 0; at <= values.length; at += 1) {
    const value = at < values.length ? values[at] : undefined;
    if (isKnown(value)) {
      run.push([x(at), y(value)]);
      continue;
    }
    const [first, second] = run;
    if (first !== undefined && second === undefined) {
      const [from, to] = dashAt(first[0], { stepPx, leastPx }, within);
      run = [
        [from, first[1]],
        [to, first[1]],
      ];
    }
    if (run.length > 0) strokes.push(run);
    run = [];
  }
  return strokes;
}
