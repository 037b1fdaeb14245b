/**
 * Which points of a line have no neighbour: a line draws nothing there, so they are drawn as dots.
 * Pure.
 */
type Values = ArrayLike<number | null | undefined>;

export function lonePoints(values: Values): number[] {
  const known = (at: number): boolean => values[at] !== null && values[at] !== undefined;
  return Array.from({ length: values.length }, (_, at) => at).filter(
    (at) => known(at) && !known(at - 1) && !known(at + 1),
  );
}
