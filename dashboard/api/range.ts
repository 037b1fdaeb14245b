/**
 * The time range of a query: `from` and `to` as the contract takes them, in epoch milliseconds.
 */
import { parseTime, type TimeRange } from "@axonize/core/contract/time-range";
import { AxonizeError } from "@axonize/core/runtime/error";

export function rangeFrom(query: { from: string; to: string }, nowMs: number): TimeRange {
  const fromMs = parseTime(query.from, nowMs);
  const toMs = parseTime(query.to, nowMs);
  const errors = [
    ...(fromMs === undefined ? [{ path: "query.from", message: "is not a time" }] : []),
    ...(toMs === undefined ? [{ path: "query.to", message: "is not a time" }] : []),
  ];
  if (fromMs !== undefined && toMs !== undefined) {
    if (fromMs < toMs) return { fromMs: Math.floor(fromMs), toMs: Math.ceil(toMs) };
    errors.push({ path: "query.from", message: "must be before `to`" });
  }
  throw new AxonizeError(
    "invalid-request",
    `The time range is not valid: ${errors.map(({ path, message }) => `${path} ${message}`).join("; ")}. Times are RFC 3339, epoch milliseconds, or relative such as -1h.`,
    { errors },
  );
}
