/**
 * The SVG path of a sparkline. Pure. The scale starts at zero unless the values hardly differ from
 * their mean, so that noise does not look like an event.
 */
import { strokesOf } from "../lone.ts";

export function sparkPath(
  values: readonly (number | null)[],
  width: number,
  height: number,
): string {
  const known = values.filter((v) => v !== null);
  if (known.length === 0) return "";
  const high = Math.max(...known);
  const low = Math.min(0, ...known);
  const span = high - low || 1;
  const pad = 1.5;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const strokes = strokesOf(values, {
    x: (at) => at * step,
    y: (value) => height - pad - ((value - low) / span) * (height - pad * 2),
    stepPx: step,
    leastPx: 8,
    within: { low: 0, high: width },
  });
  return strokes
    .map((points) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`)
    .join("");
}

/** Means over equal parts, at most `most` of them: a sparkline needs no more points than pixels. */
export function thin(values: readonly (number | null)[], most: number): readonly (number | null)[] {
  if (values.length <= most) return values;
  const size = values.length / most;
  return Array.from({ length: most }, (_, i) => {
    const part = values.slice(
      Math.floor(i * size),
      Math.max(Math.floor(i * size) + 1, Math.floor((i + 1) * size)),
    );
    const known = part.filter((v) => v !== null);
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0) / known.length;
  });
}
