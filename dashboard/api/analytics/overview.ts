/**
 * The overview's figures from groups per slot. Pure: no store, no clock.
 */
import type { Overview } from "@axonize/core/contract/analytics";
import type { CallGroup } from "../queries/analytics.sql.ts";
import { addSparse, createHistogram, quantile, type Histogram } from "./histogram.ts";
import type { Slot } from "./slots.ts";

export interface SlotCalls {
  groups: readonly CallGroup[];
  /** Traces that began in the slot. */
  traces: number;
}

type Totals = Overview["totals"];
type Group = Overview["byModel"][number];

interface Sum {
  calls: number;
  spans: number;
  traces: number;
  errors: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  reasoningTokens: number;
  duration: Histogram;
  ttft: Histogram;
  perToken: Histogram;
}

const createSum = (): Sum => ({
  calls: 0,
  spans: 0,
  traces: 0,
  errors: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  duration: createHistogram(),
  ttft: createHistogram(),
  perToken: createHistogram(),
});

function addGroup(sum: Sum, group: CallGroup): void {
  sum.calls += group.calls;
  sum.spans += group.spans;
  sum.traces += group.traces;
  sum.errors += group.errors;
  sum.inputTokens += group.inputTokens;
  sum.outputTokens += group.outputTokens;
  sum.cachedTokens += group.cachedTokens;
  sum.reasoningTokens += group.reasoningTokens;
  addSparse(sum.duration, group.durations);
  addSparse(sum.ttft, group.ttfts);
  addSparse(sum.perToken, group.perTokens);
}

function totalsFrom(sum: Sum, rangeMs: number): Totals {
  const ms = (histogram: Histogram, ratio: number): number | null => {
    const ns = quantile(histogram, ratio);
    return ns === null ? null : ns / 1e6;
  };
  return {
    calls: sum.calls,
    callsPerMinute: sum.calls / (rangeMs / 60_000),
    spans: sum.spans,
    traces: sum.traces,
    errors: sum.errors,
    errorRatio: sum.calls === 0 ? null : sum.errors / sum.calls,
    inputTokens: sum.inputTokens,
    outputTokens: sum.outputTokens,
    cachedTokens: sum.cachedTokens,
    reasoningTokens: sum.reasoningTokens,
    outputTokensPerSecond: sum.outputTokens / (rangeMs / 1000),
    durationP50Ms: ms(sum.duration, 0.5),
    durationP95Ms: ms(sum.duration, 0.95),
    durationP99Ms: ms(sum.duration, 0.99),
    ttftP50Ms: ms(sum.ttft, 0.5),
    ttftP95Ms: ms(sum.ttft, 0.95),
    ttftP99Ms: ms(sum.ttft, 0.99),
    perTokenP50Ms: ms(sum.perToken, 0.5),
    perTokenP95Ms: ms(sum.perToken, 0.95),
  };
}

/** Everything, over all slots. */
export function totalsOf(slots: readonly Slot<SlotCalls>[], rangeMs: number): Totals {
  const sum = createSum();
  let traces = 0;
  for (const { value } of slots) {
    traces += value.traces;
    for (const group of value.groups) addGroup(sum, group);
  }
  // Over all groups, a trace counts once, where it began.
  return totalsFrom({ ...sum, traces }, rangeMs);
}

export function seriesOf(slots: readonly Slot<SlotCalls>[]): Overview["series"] {
  const sums = slots.map(({ value }) => {
    const sum = createSum();
    for (const group of value.groups) addGroup(sum, group);
    return sum;
  });
  const ms = (pick: (sum: Sum) => Histogram, ratio: number): (number | null)[] =>
    sums.map((sum) => {
      const ns = quantile(pick(sum), ratio);
      return ns === null ? null : ns / 1e6;
    });
  return {
    startMs: slots.map((slot) => slot.startMs),
    calls: sums.map((sum) => sum.calls),
    errors: sums.map((sum) => sum.errors),
    inputTokens: sums.map((sum) => sum.inputTokens),
    outputTokens: sums.map((sum) => sum.outputTokens),
    durationP50Ms: ms((sum) => sum.duration, 0.5),
    durationP95Ms: ms((sum) => sum.duration, 0.95),
    ttftP50Ms: ms((sum) => sum.ttft, 0.5),
    ttftP95Ms: ms((sum) => sum.ttft, 0.95),
  };
}

/** Groups with calls, most calls first. A model served by two engines is two groups. */
export function groupsOf(
  slots: readonly Slot<SlotCalls>[],
  previous: readonly Slot<SlotCalls>[],
  options: { by: "model" | "service"; rangeMs: number; most: number },
): Group[] {
  const now = sumsBy(slots, options.by);
  const before = sumsBy(previous, options.by);
  return [...now.values()]
    .filter((entry) => entry.sum.calls > 0)
    .sort((a, b) => b.sum.calls - a.sum.calls || (a.key < b.key ? -1 : 1))
    .slice(0, options.most)
    .map((entry) => {
      const old = before.get(entry.key);
      return {
        value: entry.value,
        engine: entry.engine,
        totals: totalsFrom(entry.sum, options.rangeMs),
        previous:
          old === undefined || old.sum.calls === 0 ? null : totalsFrom(old.sum, options.rangeMs),
        series: entry.series,
      };
    });
}

interface Summed {
  key: string;
  value: string;
  engine: string;
  sum: Sum;
  series: number[];
}

function sumsBy(slots: readonly Slot<SlotCalls>[], by: "model" | "service"): Map<string, Summed> {
  const sums = new Map<string, Summed>();
  slots.forEach((slot, at) => {
    for (const group of slot.value.groups) {
      const value = group[by];
      if (value === "") continue;
      const engine = by === "model" ? group.engine : "";
      const key = `${value}\u0000${engine}`;
      let entry = sums.get(key);
      if (entry === undefined) {
        entry = { key, value, engine, sum: createSum(), series: slots.map(() => 0) };
        sums.set(key, entry);
      }
      addGroup(entry.sum, group);
      entry.series[at] = (entry.series[at] ?? 0) + group.calls;
    }
  });
  return sums;
}
