/**
 * Overview and heat map: what happened in a range, and what changed against the range before.
 *
 * Both count model calls (spans with an operation or a model; tools and agents are none), not every
 * span, unless the tenant has none in the range; `basis` says which. Tokens that a client and its
 * engine both tell count once.
 */
import * as z from "zod";
import { TraceFilter } from "./trace.ts";
import { Timestamp } from "./common.ts";

const nullableNumber = z.number().nullable();

const Totals = z.object({
  calls: z.number().int(),
  callsPerMinute: z.number(),
  spans: z.number().int(),
  traces: z.number().int(),
  errors: z.number().int(),
  errorRatio: nullableNumber,
  inputTokens: z.number(),
  outputTokens: z.number(),
  cachedTokens: z.number(),
  reasoningTokens: z.number(),
  outputTokensPerSecond: z.number(),
  durationP50Ms: nullableNumber,
  durationP95Ms: nullableNumber,
  durationP99Ms: nullableNumber,
  ttftP50Ms: nullableNumber,
  ttftP95Ms: nullableNumber,
  ttftP99Ms: nullableNumber,
  perTokenP50Ms: nullableNumber,
  perTokenP95Ms: nullableNumber,
});

const Group = z.object({
  value: z.string(),
  engine: z.string(),
  totals: Totals,
  previous: Totals.nullable(),
  series: z.array(z.number()).describe("Calls per bucket, for a sparkline."),
});

export const OverviewQuery = z.object({
  ...TraceFilter.shape,
  buckets: z.coerce.number().int().min(10).max(1500).default(120),
});

export const Overview = z
  .object({
    from: Timestamp,
    to: Timestamp,
    basis: z.enum(["calls", "spans"]),
    stepMs: z.number(),
    totals: Totals,
    previous: Totals.nullable().describe(
      "The equally long range before; null when it has no data.",
    ),
    series: z.object({
      startMs: z.array(z.number()).describe("Epoch milliseconds of each bucket's start."),
      calls: z.array(z.number()),
      errors: z.array(z.number()),
      inputTokens: z.array(z.number()),
      outputTokens: z.array(z.number()),
      durationP50Ms: z.array(nullableNumber),
      durationP95Ms: z.array(nullableNumber),
      ttftP50Ms: z.array(nullableNumber),
      ttftP95Ms: z.array(nullableNumber),
    }),
    byModel: z.array(Group),
    byService: z.array(Group),
    gpu: z
      .object({ devices: z.number().int(), utilizationRatio: nullableNumber })
      .nullable()
      .describe("Null when no GPU has reported."),
    query: z.object({ durationMs: z.number(), rowsRead: z.number() }),
  })
  .meta({ id: "Overview" });
export type Overview = z.infer<typeof Overview>;

export const heatmapMetrics = [
  "duration",
  "ttft",
  "perToken",
  "queue",
  "prefill",
  "decode",
  "outputTokens",
] as const;
export const HeatmapQuery = z.object({
  ...TraceFilter.shape,
  metric: z.enum(heatmapMetrics).default("ttft"),
  buckets: z.coerce.number().int().min(10).max(600).default(120),
});

/** Log-scaled: row r covers [yMin·ratio^r, yMin·ratio^(r+1)). Milliseconds, or tokens. */
export const Heatmap = z
  .object({
    from: Timestamp,
    to: Timestamp,
    metric: z.enum(heatmapMetrics),
    unit: z.enum(["ms", "tokens"]),
    stepMs: z.number(),
    columns: z.number().int(),
    rows: z.number().int(),
    yMin: z.number(),
    yRatio: z.number(),
    counts: z
      .array(z.number().int())
      .describe("columns × rows, column by column, lowest row first."),
    p50: z.array(nullableNumber),
    p95: z.array(nullableNumber),
    p99: z.array(nullableNumber),
    errors: z.array(z.number().int()).describe("Failed calls per column."),
    total: z.number().int(),
    query: z.object({ durationMs: z.number(), rowsRead: z.number() }),
  })
  .meta({ id: "Heatmap" });
export type Heatmap = z.infer<typeof Heatmap>;
