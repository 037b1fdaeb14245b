/**
 * Numbers, durations, sizes and times as people read them: three significant digits, the unit apart
 * so that it can be drawn lighter. Pure; null and undefined become an en dash, never 0.
 */

export interface Quantity {
  readonly value: string;
  readonly unit: string;
}

export const noValue: Quantity = { value: "–", unit: "" };
const thin = "\u2009";

/** Three significant digits without exponent: 7.20, 51.0, 812, 1,284. Whole numbers stay whole. */
export function digits(n: number, significant = 3): string {
  if (n === 0) return "0";
  const size = Math.abs(n);
  if (size >= 1000) return Math.round(n).toLocaleString("en-US");
  if (Number.isInteger(n) && significant >= 3) return String(n);
  // Of the rounded number: 0.9999 has as many decimals as 1.
  const rounded = Number(size.toPrecision(significant));
  const decimals = Math.max(0, significant - 1 - Math.floor(Math.log10(rounded)));
  return n.toFixed(Math.min(decimals, 6));
}

/** For axes, where every label is round: 10.0 s → 10 s. */
export function tick(q: Quantity): string {
  return say({ ...q, value: q.value.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "") });
}

export function duration(ns: number | null | undefined): Quantity {
  return ns === null || ns === undefined ? noValue : durationMs(ns / 1e6);
}

export function durationMs(ms: number | null | undefined): Quantity {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return noValue;
  const size = Math.abs(ms);
  if (size === 0) return { value: "0", unit: "ms" };
  if (size < 0.001) return { value: digits(ms * 1e6), unit: "ns" };
  if (size < 0.9995) return { value: digits(ms * 1e3), unit: "µs" };
  if (size < 999.5) return { value: digits(ms), unit: "ms" };
  if (size < 59_950) return { value: (ms / 1e3).toFixed(size < 9_995 ? 2 : 1), unit: "s" };
  if (size < 3_594_000) return { value: digits(ms / 60e3), unit: "min" };
  if (size < 172_800_000) return { value: digits(ms / 3600e3), unit: "h" };
  return { value: digits(ms / 86_400e3), unit: "d" };
}

/** 412, 1,284, 77.1 k, 4.1 M. */
export function count(n: number | null | undefined): Quantity {
  if (n === null || n === undefined || !Number.isFinite(n)) return noValue;
  const size = Math.abs(n);
  if (size < 9_999.5) return { value: digits(n, size >= 100 ? 3 : 3), unit: "" };
  if (size < 999_500) return { value: digits(n / 1e3), unit: "k" };
  if (size < 999_500_000) return { value: digits(n / 1e6), unit: "M" };
  return { value: digits(n / 1e9), unit: "G" };
}

export function bytes(n: number | null | undefined): Quantity {
  if (n === null || n === undefined) return noValue;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = n;
  let step = 0;
  while (Math.abs(size) >= 1000 && step < units.length - 1) {
    size /= 1024;
    step += 1;
  }
  return { value: digits(size), unit: units[step] ?? "B" };
}

/** A ratio 0–1 as percent. */
export function percent(ratio: number | null | undefined): Quantity {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return noValue;
  const p = ratio * 100;
  return { value: p !== 0 && Math.abs(p) < 10 ? digits(p, 2) : String(Math.round(p)), unit: "%" };
}

export function plain(n: number | null | undefined, unit: string): Quantity {
  return n === null || n === undefined ? noValue : { value: digits(n), unit };
}

/** One string, for titles, labels of canvases and tests. */
export function say(q: Quantity): string {
  return q.unit === "" ? q.value : `${q.value}${thin}${q.unit}`;
}

export interface Change {
  readonly text: string;
  /** Which way it went; whether that is good is the caller's knowledge. */
  readonly direction: "up" | "down" | "same";
  /** Size of the change, for sorting: relative, 0.38 = +38 %. */
  readonly ratio: number;
}

/** +38 %, ×3.4, −2 %; undefined when there is nothing to compare with. */
export function change(
  now: number | null | undefined,
  before: number | null | undefined,
): Change | undefined {
  if (typeof now !== "number" || typeof before !== "number" || before === 0) return undefined;
  const ratio = now / before - 1;
  if (Math.abs(ratio) < 0.005) return { text: `±0${thin}%`, direction: "same", ratio };
  const direction = ratio > 0 ? "up" : "down";
  if (ratio >= 2) return { text: `×${digits(now / before, 2)}`, direction, ratio };
  return { text: `${sign(ratio)}${digits(Math.abs(ratio) * 100, 2)}${thin}%`, direction, ratio };
}

/** Change of a ratio in percentage points: +0.2 pt. */
export function changePoints(
  now: number | null | undefined,
  before: number | null | undefined,
): Change | undefined {
  if (typeof now !== "number" || typeof before !== "number") return undefined;
  const points = (now - before) * 100;
  if (Math.abs(points) < 0.005) return { text: `±0${thin}pt`, direction: "same", ratio: 0 };
  return {
    text: `${sign(points)}${Math.abs(points).toFixed(Math.abs(points) < 1 ? 2 : 1)}${thin}pt`,
    direction: points > 0 ? "up" : "down",
    ratio: points / 100,
  };
}

function sign(n: number): string {
  return n > 0 ? "+" : "−";
}

export type Zone = "local" | "utc";

const pad = (n: number, width = 2): string => String(n).padStart(width, "0");

function parts(
  ms: number,
  zone: Zone,
): { y: number; mo: number; d: number; h: number; mi: number; s: number; ms: number } {
  const date = new Date(ms);
  return zone === "utc"
    ? {
        y: date.getUTCFullYear(),
        mo: date.getUTCMonth(),
        d: date.getUTCDate(),
        h: date.getUTCHours(),
        mi: date.getUTCMinutes(),
        s: date.getUTCSeconds(),
        ms: date.getUTCMilliseconds(),
      }
    : {
        y: date.getFullYear(),
        mo: date.getMonth(),
        d: date.getDate(),
        h: date.getHours(),
        mi: date.getMinutes(),
        s: date.getSeconds(),
        ms: date.getMilliseconds(),
      };
}

const monthNames = [
  "Jan",
  "Feb",
  "Mar",
  "Apr",
  "May",
  "Jun",
  "Jul",
  "Aug",
  "Sep",
  "Oct",
  "Nov",
  "Dec",
];

export function clock(
  ms: number,
  zone: Zone,
  precision: "minute" | "second" | "ms" = "second",
): string {
  const p = parts(ms, zone);
  const minutes = `${pad(p.h)}:${pad(p.mi)}`;
  if (precision === "minute") return minutes;
  return precision === "second"
    ? `${minutes}:${pad(p.s)}`
    : `${minutes}:${pad(p.s)}.${pad(p.ms, 3)}`;
}

export function day(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${p.d} ${monthNames[p.mo] ?? ""}`;
}

/** 2026-11-25 14:02:11, the form that the absolute fields take. */
export function dateTime(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${p.y}-${pad(p.mo + 1)}-${pad(p.d)} ${pad(p.h)}:${pad(p.mi)}:${pad(p.s)}`;
}

/** Label of an instant on an axis that is `spanMs` wide. */
export function axisTime(ms: number, spanMs: number, zone: Zone): string {
  if (spanMs > 3 * 86_400e3) return day(ms, zone);
  if (spanMs > 86_400e3) return `${day(ms, zone)} ${clock(ms, zone, "minute")}`;
  return clock(ms, zone, spanMs < 10 * 60e3 ? "second" : "minute");
}

/** "3 s ago", "2 min ago"; "now" below a second. */
export function ago(ms: number, nowMs: number): string {
  const elapsed = nowMs - ms;
  return elapsed < 1000 ? "now" : `${say(roundUnit(elapsed))} ago`;
}

function roundUnit(ms: number): Quantity {
  if (ms < 59_500) return { value: String(Math.round(ms / 1e3)), unit: "s" };
  if (ms < 3_570_000) return { value: String(Math.round(ms / 60e3)), unit: "min" };
  if (ms < 172_800_000) return { value: String(Math.round(ms / 3600e3)), unit: "h" };
  return { value: String(Math.round(ms / 86_400e3)), unit: "d" };
}

/** Milliseconds of an RFC 3339 time, fractions of a millisecond kept. */
export function timeMs(rfc3339: string): number {
  const base = Date.parse(rfc3339);
  const fraction = /\.(\d{3})(\d{1,6})/.exec(rfc3339);
  return fraction ? base + Number(`0.${fraction[2] ?? "0"}`) : base;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${say(count(n))} ${n === 1 ? one : many}`;
}
