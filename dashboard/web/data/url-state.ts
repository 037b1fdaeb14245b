/**
 * The part of the application's state that lives in the URL: range, filter, metric, selection, zoom.
 *
 * Pure. `parseUrlState` accepts anything and keeps what it understands; `printUrlState` leaves out
 * what equals the default, so a plain page has a plain address. print∘parse is stable and
 * parse∘print is the identity (property-tested). Keys are documented here and accepted for ever.
 */
import { parseTime } from "@axonize/core/contract/time-range";

/** Instants as the API takes them: relative (`-1h`, `now`) or absolute epoch milliseconds. */
export interface UrlRange {
  readonly from: string;
  readonly to: string;
}

export interface Box {
  readonly fromMs: number;
  readonly toMs: number;
  readonly low: number;
  readonly high: number;
}

export interface UrlState {
  /** `t`: `-1h`, or `from~to`. */
  readonly range: UrlRange;
  /** `live`: present as `0` when refreshing is paused. */
  readonly live: boolean;
  /** `q`: the filter as the person typed it. */
  readonly filter: string;
  /** `g`: group by. */
  readonly group: string;
  /** `m`: metric shown. */
  readonly metric: string;
  /** `s`: sort, `-key` is descending. */
  readonly sort: string;
  /** `sel`: selected row, span, device or tenant. */
  readonly selected: string;
  /** `box`: selection in the heat map, `fromMs~toMs~low~high`. */
  readonly box: Box | undefined;
  /** `z`: window of the timeline in microseconds from the trace's start, `from~to`. */
  readonly zoom: readonly [number, number] | undefined;
  /** `tab`: open tab of a panel. */
  readonly tab: string;
  /** `show`: `calls` or `all` requests; empty is calls where there are any. */
  readonly show: string;
}

export type SearchRecord = Readonly<Record<string, string>>;

export const defaultRange: UrlRange = { from: "-1h", to: "now" };
export const defaultUrlState: UrlState = {
  range: defaultRange,
  live: true,
  filter: "",
  group: "",
  metric: "",
  sort: "",
  selected: "",
  box: undefined,
  zoom: undefined,
  tab: "",
  show: "",
};

export function parseUrlState(search: SearchRecord): UrlState {
  return {
    range: parseRange(search["t"] ?? "") ?? defaultRange,
    live: search["live"] !== "0",
    filter: search["q"] ?? "",
    group: search["g"] ?? "",
    metric: search["m"] ?? "",
    sort: search["s"] ?? "",
    selected: search["sel"] ?? "",
    box: parseBox(search["box"] ?? ""),
    zoom: parseZoom(search["z"] ?? ""),
    tab: search["tab"] ?? "",
    show: search["show"] ?? "",
  };
}

export function printUrlState(state: UrlState): SearchRecord {
  const out: Record<string, string> = {};
  const range = printRange(state.range);
  if (range !== printRange(defaultRange)) out["t"] = range;
  if (!state.live) out["live"] = "0";
  const texts: readonly (readonly [string, string])[] = [
    ["q", state.filter],
    ["g", state.group],
    ["m", state.metric],
    ["s", state.sort],
    ["sel", state.selected],
    ["tab", state.tab],
    ["show", state.show],
  ];
  for (const [key, value] of texts) if (value !== "") out[key] = value;
  if (state.box) {
    out["box"] = [state.box.fromMs, state.box.toMs, state.box.low, state.box.high].join("~");
  }
  if (state.zoom) out["z"] = state.zoom.join("~");
  return out;
}

/** `-1h`, `from~to`; undefined when either end is not a time. */
export function parseRange(text: string): UrlRange | undefined {
  if (text === "") return undefined;
  const [from = "", to = "now"] = text.split("~");
  // Validity does not depend on the instant, so any `now` will do.
  const anyNowMs = 1e12;
  const start = from === "" ? undefined : parseTime(from, anyNowMs);
  const end = to === "" ? undefined : parseTime(to, anyNowMs);
  return start === undefined || end === undefined ? undefined : { from, to };
}

export function printRange(range: UrlRange): string {
  return range.to === "now" ? range.from : `${range.from}~${range.to}`;
}

function parseBox(text: string): Box | undefined {
  const [fromMs, toMs, low, high] = numbers(text, 4);
  if (fromMs === undefined || toMs === undefined || low === undefined || high === undefined) {
    return undefined;
  }
  return fromMs < toMs && low < high ? { fromMs, toMs, low, high } : undefined;
}

function parseZoom(text: string): readonly [number, number] | undefined {
  const [from, to] = numbers(text, 2);
  return from !== undefined && to !== undefined && from < to ? [from, to] : undefined;
}

/** Exactly `count` finite numbers joined by `~`, else none. */
function numbers(text: string, count: number): readonly number[] {
  if (text === "") return [];
  const parts = text.split("~").map((part) => (part === "" ? Number.NaN : Number(part)));
  return parts.length === count && parts.every((n) => Number.isFinite(n)) ? parts : [];
}

/** The query string as flat text; the last of a repeated key wins. */
export function parseSearch(text: string): SearchRecord {
  return Object.fromEntries(new URLSearchParams(text));
}

/** Keeps `:`, `~`, `,`, `*`, `<`, `>` readable: they need no escape in a query string that we parse. */
export function stringifySearch(search: Readonly<Record<string, unknown>>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) {
    if (typeof value === "string") params.set(key, value);
  }
  const text = params
    .toString()
    .replace(/%(3A|7E|2C|3C|3E)/g, (escaped) => decodeURIComponent(escaped));
  return text === "" ? "" : `?${text}`;
}
