/**
 * Traces that a search found, before they are read: where their spans lie, and what a page's order
 * asks of them. Shared by the searches by start and by value. Pure SQL text, no query of its own.
 */
import type { TraceListQuery } from "@axonize/core/contract/trace";
import type * as z from "zod";
import * as limits from "../limits.ts";

export type Sort = z.infer<typeof TraceListQuery>["sort"];

export interface Found {
  traceId: string;
  /** cityHash64 of the id, as the tables' keys have it: decimal text, because it has 64 bits. */
  hash: string;
  startNs: string;
  maxStartNs: string;
  /** What the page is ordered by, as decimal text. */
  key: string;
}

export interface Order {
  sort: Sort;
  descending: boolean;
  /** The last row of the page before. */
  after: { key: string; traceId: string } | undefined;
}

/** Columns of a Found from a trace's first start `s` and last start `m`. */
export const foundSql = `lower(hex(trace_id)) AS traceId, toString(cityHash64(trace_id)) AS hash,
  toString(toUnixTimestamp64Nano(s)) AS startNs, toString(toUnixTimestamp64Nano(m)) AS maxStartNs`;

export const startedInWindow = `
  s >= fromUnixTimestamp64Milli({windowFromMs:Int64}, 'UTC')
  AND s < fromUnixTimestamp64Milli({windowToMs:Int64}, 'UTC')`;

export const direction = (order: Order): string => (order.descending ? "DESC" : "ASC");

export function afterSql(order: Order, key: string): string {
  if (order.after === undefined) return "1";
  return `(${key}, trace_id) ${order.descending ? "<" : ">"} ({afterKey:Int64}, toFixedString(unhex({afterId:String}), 16))`;
}

export const afterParams = (order: Order): Record<string, string> =>
  order.after === undefined ? {} : { afterKey: order.after.key, afterId: order.after.traceId };

export interface TraceSpans {
  /** What follows FROM: the spans of just these traces. Further conditions are added with AND. */
  from: string;
  params: Record<string, readonly string[]>;
  fromMs: number;
  toMs: number;
}

/** Where these traces' spans lie. */
export function spansOf(found: readonly Omit<Found, "key">[]): TraceSpans {
  const places: string[] = [];
  let [fromMs, toMs] = [Number.POSITIVE_INFINITY, 0];
  for (const trace of found) {
    const first = Number(BigInt(trace.startNs) / 1_000_000n);
    const last = Number(BigInt(trace.maxStartNs) / 1_000_000n) + 1;
    fromMs = Math.min(fromMs, first);
    toMs = Math.max(toMs, last);
    for (let at = Math.floor(first / 60_000); at * 60_000 < last; at += 1) {
      if (places.length > limits.pagePlaces) break;
      places.push(`(${at * 60},${trace.hash})`);
    }
  }
  const traceIds = found.map((trace) => trace.traceId);
  // The primary key holds minutes and hashes: naming them reads the page's granules and no others.
  // Both are whole numbers of our own; as a parameter, so many would not fit the query's URL.
  return places.length <= limits.pagePlaces
    ? {
        from: `{{spans}} WHERE (toStartOfMinute(start), cityHash64(trace_id)) IN (${places.join(",")})`,
        params: {},
        fromMs,
        toMs,
      }
    : { from: "{{spansOfTraces}} WHERE 1", params: { traceIds }, fromMs, toMs };
}
