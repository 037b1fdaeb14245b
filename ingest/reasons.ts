/**
 * Why parts of a request were not kept, in the words that the sender reads in the partial success.
 */
import type { RejectReason } from "./decode/decoder.ts";
import type { PointReason } from "./points/decoder.ts";
import type { Signal } from "./receive/outcome.ts";

const words: Readonly<Record<RejectReason | PointReason, string>> = {
  invalid_trace_id: "the trace id is not 16 bytes, or all zero",
  invalid_span_id: "the span id is not 8 bytes, or all zero",
  time_out_of_range: "the time lies too far in the past or in the future to be kept",
  too_many_days: "the request spans too many days",
  over_limit: "the tenant is over its limit, so that only a part of its traces is kept, each whole",
  device_not_allowed:
    "GPU metrics are taken only from this machine or with the admin key, because devices belong to no tenant",
  device_unnamed: "the point names no device (hw.id)",
  metric_not_kept: "only hw.* metrics of GPUs and gen_ai.* metrics are kept",
  no_tenant: "the admin key has no tenant for this metric; name one in x-axonize-tenant",
  summary_not_kept: "summaries are not kept; send histograms",
  too_many_spans: "the request has too many spans; send smaller batches",
  too_many_points: "the request has too many points; send smaller batches",
  unknown_unit: "the unit is not one that the metric may have",
  value_out_of_range: "the value is not a number, or not plausible",
};

export type Reason = keyof typeof words;

/** One sentence; empty when everything was kept. */
export function describeRejects(
  signal: Signal,
  rejected: number,
  reasons: ReadonlyMap<Reason, number>,
): string {
  if (rejected === 0) return "";
  const what = signal === "traces" ? "spans" : "data points";
  const each = [...reasons].map(([reason, count]) => `${count} because ${words[reason]}`);
  return `${rejected} ${what} were not kept: ${each.join("; ")}.`;
}
