/**
 * Parses the `from`/`to` of a query into epoch milliseconds.
 *
 * Pure: the caller passes `nowMs`. Shared by API and browser, so it imports nothing.
 */
const unitMs: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86_400e3, w: 604_800e3 };

/** Largest and smallest instants a query may name: 1970-01-01 and 2200-01-01. */
const maxMs = 7_258_118_400_000;

export interface TimeRange {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Returns epoch milliseconds, or undefined when `input` is none of the accepted forms. */
export function parseTime(input: string, nowMs: number): number | undefined {
  const text = input.trim();
  if (text === "now" || text === "") return nowMs;
  const relative = /^(?:now)?-(\d{1,9})(s|m|h|d|w)$/.exec(text);
  if (relative) {
    const ms = nowMs - Number(relative[1]) * (unitMs[relative[2] ?? "s"] ?? 0);
    return ms >= 0 ? ms : 0;
  }
  const ms = /^\d{1,16}$/.test(text) ? Number(text) : parseRfc3339(text);
  return ms >= 0 && ms <= maxMs ? ms : undefined;
}

function parseRfc3339(text: string): number {
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?$/i.test(text)) {
    return Number.NaN;
  }
  // A time without a zone is UTC here, as everywhere in the API (Date.parse would take local time).
  const zoned =
    /(Z|[+-]\d\d:?\d\d)$/i.test(text.slice(10)) || text.length === 10 ? text : `${text}Z`;
  return Date.parse(zoned);
}
