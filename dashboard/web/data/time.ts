/**
 * Arithmetic on time ranges: presets, labels, shifting, zooming, tick steps. Pure; `nowMs` comes in.
 */
import { parseTime } from "@axonize/core/contract/time-range";
import { axisTime, clock, dateTime, day, type Zone } from "./format.ts";
import type { UrlRange } from "./url-state.ts";

export interface MsRange {
  readonly fromMs: number;
  readonly toMs: number;
}

export const presets: readonly { readonly from: string; readonly label: string }[] = [
  { from: "-5m", label: "Last 5 min" },
  { from: "-15m", label: "Last 15 min" },
  { from: "-1h", label: "Last 1 h" },
  { from: "-6h", label: "Last 6 h" },
  { from: "-24h", label: "Last 24 h" },
  { from: "-7d", label: "Last 7 d" },
  { from: "-30d", label: "Last 30 d" },
];

export function resolveRange(range: UrlRange, nowMs: number): MsRange {
  const fromMs = parseTime(range.from, nowMs) ?? nowMs - 3600e3;
  const toMs = parseTime(range.to, nowMs) ?? nowMs;
  return fromMs < toMs ? { fromMs, toMs } : { fromMs: toMs - 1, toMs };
}

/** A range that ends now moves on by itself and can be live. */
export function isRelative(range: UrlRange): boolean {
  return range.to === "now";
}

export function absolute(range: MsRange): UrlRange {
  return { from: String(Math.floor(range.fromMs)), to: String(Math.ceil(range.toMs)) };
}

export function rangeLabel(range: UrlRange, nowMs: number, zone: Zone): string {
  const preset = presets.find((p) => p.from === range.from && range.to === "now");
  if (preset) return preset.label;
  if (isRelative(range) && /^(now)?-\d+[smhdw]$/.test(range.from)) {
    return `Last ${range.from.replace(/^(now)?-/, "").replace(/(\d+)([smhdw])/, "$1 $2")}`;
  }
  return spanLabel(resolveRange(range, nowMs), zone);
}

/** 14:02:11–14:12:11, with the day where it is not obvious. */
export function spanLabel({ fromMs, toMs }: MsRange, zone: Zone): string {
  const precision = toMs - fromMs < 10 * 60e3 ? "second" : "minute";
  const sameDay = day(fromMs, zone) === day(toMs, zone);
  const start = clock(fromMs, zone, precision);
  const end = clock(toMs, zone, precision);
  return sameDay ? `${start}–${end}` : `${day(fromMs, zone)} ${start} – ${day(toMs, zone)} ${end}`;
}

/** Moves by half a window; `direction` −1 is back. */
export function shiftRange(range: UrlRange, direction: -1 | 1, nowMs: number): UrlRange {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  const step = ((toMs - fromMs) / 2) * direction;
  return absolute({ fromMs: fromMs + step, toMs: toMs + step });
}

/** Factor 2 is twice as wide, 0.5 half as wide; a range that ends now keeps ending now. */
export function scaleRange(range: UrlRange, factor: number, nowMs: number): UrlRange {
  const { fromMs, toMs } = resolveRange(range, nowMs);
  const widthMs = Math.max(1000, (toMs - fromMs) * factor);
  if (isRelative(range)) return { from: `-${Math.max(1, Math.round(widthMs / 1000))}s`, to: "now" };
  const middle = (fromMs + toMs) / 2;
  return absolute({ fromMs: middle - widthMs / 2, toMs: middle + widthMs / 2 });
}

/** What a person types or pastes: RFC 3339, epoch s/ms/µs/ns, `2026-11-25 14:02`, `14:02` today. */
export function parseHumanTime(text: string, nowMs: number, zone: Zone): number | undefined {
  const trimmed = text.trim().replace(/^["']|["'],?$/g, "");
  if (/^\d{10}(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1e3;
  if (/^\d{16}$/.test(trimmed)) return Number(trimmed) / 1e3;
  if (/^\d{19}$/.test(trimmed)) return Number(trimmed.slice(0, 13));
  const short = /^(\d{1,2}:\d\d(:\d\d)?)$/.exec(trimmed);
  const full = short
    ? `${dateTime(nowMs, zone).slice(0, 10)} ${(short[1] ?? "").padStart(5, "0")}`
    : trimmed;
  const zoneless = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?$/.test(full);
  if (zoneless && zone === "local") {
    const ms = Date.parse(full.replace(" ", "T"));
    return Number.isNaN(ms) ? undefined : ms;
  }
  return full === "" ? undefined : parseTime(full, nowMs);
}

/** A window around a pasted instant, wide enough to show what happened before. */
export function around(ms: number): UrlRange {
  return absolute({ fromMs: ms - 10 * 60e3, toMs: ms + 5 * 60e3 });
}

const stepsMs = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3,
  900e3, 1800e3, 3600e3, 7200e3, 10_800e3, 21_600e3, 43_200e3, 86_400e3, 172_800e3, 604_800e3,
  1_209_600e3,
];

export interface Tick {
  readonly ms: number;
  readonly label: string;
}

/** At most `most` ticks at round instants (round in local time, or UTC). */
export function timeTicks(range: MsRange, most: number, zone: Zone): readonly Tick[] {
  const spanMs = range.toMs - range.fromMs;
  const step = stepsMs.find((s) => spanMs / s <= most) ?? spanMs;
  const offsetMs = zone === "local" ? -new Date(range.fromMs).getTimezoneOffset() * 60e3 : 0;
  const ticks: Tick[] = [];
  const first = Math.ceil((range.fromMs + offsetMs) / step) * step - offsetMs;
  for (let ms = first; ms <= range.toMs; ms += step) {
    ticks.push({ ms, label: axisTime(ms, spanMs, zone) });
  }
  return ticks;
}
