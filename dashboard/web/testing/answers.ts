/**
 * Answers of the fixture API computed from made-up calls: filtered lists, facets, overview, heat map.
 *
 * Plain and slow on purpose; it only has to be right enough that pages behave as with the real API.
 */
import type { Heatmap, Overview } from "@axonize/core/contract/analytics";
import type { FacetList } from "@axonize/core/contract/trace";
import type { Call } from "./calls.ts";

export interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

const multiKeys = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "namespace",
  "pod",
  "node",
  "session",
  "user",
] as const;

export function filterCalls(
  calls: readonly Call[],
  search: URLSearchParams,
  range: Range,
): readonly Call[] {
  const min = (key: string): number => Number(search.get(key) ?? Number.NaN);
  const inside = (value: number | null, low: number, high: number): boolean =>
    (Number.isNaN(low) || (value ?? -1) >= low) &&
    (Number.isNaN(high) || (value ?? Infinity) <= high);
  const q = (search.get("q") ?? "").toLowerCase();
  const status = search.get("status");
  return calls.filter(
    (call) =>
      call.startMs >= range.fromMs &&
      call.startMs < range.toMs &&
      (status === null || call.status === status) &&
      (q === "" || call.name.toLowerCase().includes(q)) &&
      inside(call.durationNs / 1e6, min("minDurationMs"), min("maxDurationMs")) &&
      inside(call.ttftMs, min("minTtftMs"), min("maxTtftMs")) &&
      inside(
        (call.inputTokens ?? 0) + (call.outputTokens ?? 0),
        min("minTokens"),
        min("maxTokens"),
      ) &&
      matchesAny(search.getAll("gpu"), (wanted) => call.gpus.includes(wanted)) &&
      multiKeys.every((key) => matchesAny(search.getAll(key), (wanted) => same(call[key], wanted))),
  );
}

function matchesAny(values: readonly string[], is: (value: string) => boolean): boolean {
  const wanted = values.filter((v) => !v.startsWith("!"));
  return (
    (wanted.length === 0 || wanted.some(is)) &&
    values.every((v) => !v.startsWith("!") || !is(v.slice(1)))
  );
}
function same(value: string, wanted: string): boolean {
  return wanted.endsWith("*") ? value.startsWith(wanted.slice(0, -1)) : value === wanted;
}

export function facets(calls: readonly Call[], search: URLSearchParams): FacetList {
  const keys = [
    "status",
    "model",
    "service",
    "engine",
    "operation",
    "provider",
    "environment",
    "namespace",
    "pod",
    "node",
    "gpu",
  ] as const;
  const wanted = search.getAll("key");
  const prefix = (search.get("prefix") ?? "").toLowerCase();
  return {
    items: keys
      .filter((key) => wanted.length === 0 || wanted.includes(key))
      .map((key) => {
        const counts = new Map<string, number>();
        for (const call of calls) {
          for (const value of key === "gpu" ? call.gpus : [call[key]]) {
            if (value !== "" && value.toLowerCase().startsWith(prefix))
              counts.set(value, (counts.get(value) ?? 0) + 1);
          }
        }
        const values = [...counts]
          .map(([value, count]) => ({ value, count }))
          .sort((a, b) => b.count - a.count);
        return { key, values: values.slice(0, 20), otherCount: Math.max(0, values.length - 20) };
      }),
    nextCursor: null,
  };
}

export function quantile(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? null;
}

const present = (values: readonly (number | null)[]): number[] => values.filter((v) => v !== null);
const sum = (values: readonly (number | null)[]): number =>
  present(values).reduce((a, b) => a + b, 0);

type Totals = Overview["totals"];

function totals(calls: readonly Call[], range: Range): Totals {
  const minutes = (range.toMs - range.fromMs) / 60e3;
  const durations = calls.map((c) => c.durationNs / 1e6);
  const ttfts = present(calls.map((c) => c.ttftMs));
  const perToken = present(calls.map((c) => c.perTokenMs));
  const errors = calls.filter((c) => c.status === "error").length;
  return {
    calls: calls.length,
    callsPerMinute: calls.length / minutes,
    spans: sum(calls.map((c) => c.spanCount)),
    traces: calls.length,
    errors,
    errorRatio: calls.length === 0 ? null : errors / calls.length,
    inputTokens: sum(calls.map((c) => c.inputTokens)),
    outputTokens: sum(calls.map((c) => c.outputTokens)),
    cachedTokens: sum(calls.map((c) => c.cachedTokens)),
    reasoningTokens: 0,
    outputTokensPerSecond: sum(calls.map((c) => c.outputTokens)) / minutes / 60,
    durationP50Ms: quantile(durations, 0.5),
    durationP95Ms: quantile(durations, 0.95),
    durationP99Ms: quantile(durations, 0.99),
    ttftP50Ms: quantile(ttfts, 0.5),
    ttftP95Ms: quantile(ttfts, 0.95),
    ttftP99Ms: quantile(ttfts, 0.99),
    perTokenP50Ms: quantile(perToken, 0.5),
    perTokenP95Ms: quantile(perToken, 0.95),
  };
}

function bucketize(calls: readonly Call[], range: Range, buckets: number): readonly Call[][] {
  const out: Call[][] = Array.from({ length: buckets }, () => []);
  const step = (range.toMs - range.fromMs) / buckets;
  for (const call of calls)
    out[Math.min(buckets - 1, Math.floor((call.startMs - range.fromMs) / step))]?.push(call);
  return out;
}

export function overview(
  all: readonly Call[],
  search: URLSearchParams,
  range: Range,
  gpuCount: number,
): Overview {
  const calls = filterCalls(all, search, range);
  const before: Range = { fromMs: range.fromMs * 2 - range.toMs, toMs: range.fromMs };
  const previous = filterCalls(all, search, before);
  const buckets = Number(search.get("buckets") ?? 120);
  const parts = bucketize(calls, range, buckets);
  const stepMs = (range.toMs - range.fromMs) / buckets;
  const group = (key: "model" | "service") => {
    const values = [...new Set([...calls, ...previous].map((c) => c[key]))].filter((v) => v !== "");
    return values.map((value) => {
      const mine = calls.filter((c) => c[key] === value);
      const theirs = previous.filter((c) => c[key] === value);
      return {
        value,
        engine: mine[0]?.engine ?? theirs[0]?.engine ?? "",
        totals: totals(mine, range),
        previous: theirs.length === 0 ? null : totals(theirs, before),
        series: bucketize(mine, range, 60).map((part) => part.length),
      };
    });
  };
  return {
    from: new Date(range.fromMs).toISOString(),
    to: new Date(range.toMs).toISOString(),
    basis: "calls",
    stepMs,
    totals: totals(calls, range),
    previous: previous.length === 0 ? null : totals(previous, before),
    series: {
      startMs: parts.map((_, i) => range.fromMs + i * stepMs),
      calls: parts.map((part) => part.length),
      errors: parts.map((part) => part.filter((c) => c.status === "error").length),
      inputTokens: parts.map((part) => sum(part.map((c) => c.inputTokens))),
      outputTokens: parts.map((part) => sum(part.map((c) => c.outputTokens))),
      durationP50Ms: parts.map((part) =>
        quantile(
          part.map((c) => c.durationNs / 1e6),
          0.5,
        ),
      ),
      durationP95Ms: parts.map((part) =>
        quantile(
          part.map((c) => c.durationNs / 1e6),
          0.95,
        ),
      ),
      ttftP50Ms: parts.map((part) => quantile(present(part.map((c) => c.ttftMs)), 0.5)),
      ttftP95Ms: parts.map((part) => quantile(present(part.map((c) => c.ttftMs)), 0.95)),
    },
    byModel: group("model"),
    byService: group("service"),
    gpu: gpuCount === 0 ? null : { devices: gpuCount, utilizationRatio: 0.41 },
    query: { durationMs: 38, rowsRead: calls.length * 6 },
  };
}

export function heatmap(all: readonly Call[], search: URLSearchParams, range: Range): Heatmap {
  const metrics = [
    "duration",
    "ttft",
    "perToken",
    "queue",
    "prefill",
    "decode",
    "outputTokens",
  ] as const;
  const metric = metrics.find((m) => m === search.get("metric")) ?? "ttft";
  const read = (call: Call): number | null =>
    ({
      duration: call.durationNs / 1e6,
      ttft: call.ttftMs,
      perToken: call.perTokenMs,
      queue: call.queueMs,
      prefill: call.prefillMs,
      decode: call.decodeMs,
      outputTokens: call.outputTokens,
    })[metric];
  const calls = filterCalls(all, search, range);
  const columns = Number(search.get("buckets") ?? 120);
  const values = present(calls.map(read)).filter((v) => v > 0);
  const yRatio = 1.2589;
  const low = Math.max(0.01, quantile(values, 0.001) ?? 1);
  const high = Math.max(low * 2, quantile(values, 1) ?? 1000);
  const rows = Math.min(64, Math.ceil(Math.log(high / low) / Math.log(yRatio)) + 1);
  const counts = Array.from({ length: columns * rows }, () => 0);
  const parts = bucketize(calls, range, columns);
  parts.forEach((part, column) => {
    for (const call of part) {
      const value = read(call);
      if (value === null || value <= 0) continue;
      const row = Math.max(
        0,
        Math.min(rows - 1, Math.floor(Math.log(value / low) / Math.log(yRatio))),
      );
      counts[column * rows + row] = (counts[column * rows + row] ?? 0) + 1;
    }
  });
  const line = (q: number) => parts.map((part) => quantile(present(part.map(read)), q));
  return {
    from: new Date(range.fromMs).toISOString(),
    to: new Date(range.toMs).toISOString(),
    metric,
    unit: metric === "outputTokens" ? "tokens" : "ms",
    stepMs: (range.toMs - range.fromMs) / columns,
    columns,
    rows,
    yMin: low,
    yRatio,
    counts,
    p50: line(0.5),
    p95: line(0.95),
    p99: line(0.99),
    errors: parts.map((part) => part.filter((c) => c.status === "error").length),
    total: values.length,
    query: { durationMs: 41, rowsRead: calls.length * 6 },
  };
}
