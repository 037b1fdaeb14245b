/**
 * Nanoseconds since the epoch, as ClickHouse sends them (decimal text, beyond 2^53), to RFC 3339.
 */

/** `2026-11-25T12:00:00.123456789Z`; the fraction keeps its nanoseconds. */
export function rfc3339FromNs(ns: string | bigint): string {
  const total = BigInt(ns);
  const seconds = total / 1_000_000_000n;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const fraction = String(total % 1_000_000_000n).padStart(9, "0");
  return `${whole}.${fraction}Z`;
}

export const rfc3339FromMs = (ms: number): string => new Date(ms).toISOString();

/** Whole milliseconds, rounded down. */
export const msFromNs = (ns: string | bigint): number => Number(BigInt(ns) / 1_000_000n);

export const toMs = (ns: number | null): number | null => (ns === null ? null : ns / 1e6);

/** Of two such texts, as sort compares. */
export function compareNs(a: string, b: string): number {
  // Texts of one length compare as numbers do; all times of our days have 19 digits.
  if (a.length === b.length) return a < b ? -1 : Number(a > b);
  return BigInt(a) < BigInt(b) ? -1 : 1;
}
