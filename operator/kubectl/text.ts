/**
 * Text for terminals: tables whose columns line up, ages, marks. Pure.
 */

/** Columns two spaces apart, the last one unpadded; no lines where there are no rows. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? "").length)));
  return all
    .map((row) =>
      row
        .map((cell, at) => (at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** `42s`, `7m`, `3h`, `12d`, as kubectl writes ages. */
export function age(fromMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - fromMs) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

export const ago = (time: string | undefined, nowMs: number): string =>
  time === undefined || Number.isNaN(Date.parse(time))
    ? "never"
    : `${age(Date.parse(time), nowMs)} ago`;

/** Of a time that a status knows to its UTC day only: `today`, the day, or `none known`, for it lags. */
export const onDay = (time: string | undefined, nowMs: number): string => {
  if (time === undefined || Number.isNaN(Date.parse(time))) return "none known";
  const day = time.slice(0, 10);
  return day === new Date(nowMs).toISOString().slice(0, 10) ? "today" : day;
};

/** 1.5 → `1.5`, null → `–`. */
export const figure = (value: number | null | undefined, unit = "", scale = 1): string =>
  value === null || value === undefined ? "–" : `${Math.round(value * scale)}${unit}`;
