/**
 * A reading stands until the next one of its kind is due. Pure.
 *
 * An agent reads utilisation and power ten times a second and the rest once; on one axis the slow ones
 * would be dots with holes between. A value is held for one and a half of its own period, told from the
 * gaps between its readings, and never across a real hole: what was not measured stays null.
 */

/** Where there are too few readings to tell: the agent's slow tick (design §10). */
const usualMs = 1_000;
/** Held no longer than this: OpenTelemetry's collectors export once a minute. */
const longestMs = 60_000;

/** Fills `values` in place and returns it. */
export function hold(values: (number | null)[], stepMs: number): (number | null)[] {
  const most = heldSteps(values, stepMs);
  let last: number | null = null;
  let age = 0;
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at] ?? null;
    if (value !== null) {
      last = value;
      age = 0;
      continue;
    }
    age += 1;
    if (last !== null && age <= most) values[at] = last;
  }
  return values;
}

/** Steps after a reading for which it stands. */
function heldSteps(values: readonly (number | null)[], stepMs: number): number {
  const gaps: number[] = [];
  let before = -1;
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] === null) continue;
    if (before >= 0) gaps.push(at - before);
    before = at;
  }
  gaps.sort((a, b) => a - b);
  const gap = gaps.length < 2 ? usualMs / stepMs : (gaps[Math.floor(gaps.length / 2)] ?? 1);
  // A period of one step needs no holding: a missing one is a hole.
  if (gap <= 1) return 0;
  return Math.floor(Math.min(gap * 1.5, longestMs / stepMs)) - 1;
}
