/**
 * Traces and requests as the API answers them.
 *
 * A list row stands for one trace. Its model, TTFT, phases and tokens are those of the trace's
 * principal call: the engine's own request span where there is one, else the first model call.
 */
import * as z from "zod";
import { Multi, PageQuery, SpanId, TimeRangeQuery, Timestamp, TraceId, page } from "./common.ts";

export const Status = z.enum(["unset", "ok", "error"]);
export const SpanKind = z.enum([
  "unspecified",
  "internal",
  "server",
  "client",
  "producer",
  "consumer",
]);
/** Where time to first token was measured. `none` where it is unknown. */
export const TtftBasis = z.enum(["none", "client", "gateway", "engine"]);

/** What is odd about a span or trace; stored as a bit mask, bit = index in this list. */
export const markNames = [
  "endBeforeStart",
  "clockSkew",
  "timeOutOfRange",
  "truncated",
  "contentDropped",
  "contentRedacted",
  "duplicateAttributes",
  "invalidUtf8",
  "unfinished",
  "foreignNamespace",
] as const;
export const Mark = z.enum([...markNames, "missingRoot", "missingParent"]);

const nullableNumber = z.number().nullable();

/** Latency phases of one model call, in milliseconds; null where the source does not tell. */
export const Phases = z.object({
  ttftMs: nullableNumber.describe("Time to first token."),
  ttftBasis: TtftBasis,
  perTokenMs: nullableNumber.describe("Mean time per output token after the first (TPOT, ITL)."),
  queueMs: nullableNumber,
  prefillMs: nullableNumber,
  decodeMs: nullableNumber,
  tokensPerSecond: nullableNumber.describe(
    "Output tokens after the first ÷ their time; where that is unknown, output tokens ÷ duration.",
  ),
});

export const Tokens = z.object({
  inputTokens: nullableNumber,
  outputTokens: nullableNumber,
  cachedTokens: nullableNumber.describe("Subset of input tokens."),
  reasoningTokens: nullableNumber.describe("Subset of output tokens."),
});

export const TraceRow = z
  .object({
    traceId: z.string(),
    name: z.string().describe("Name of the root span, else of the earliest."),
    startTime: Timestamp,
    durationNs: z.number(),
    status: Status,
    spanCount: z.number().int(),
    errorCount: z.number().int(),
    service: z.string(),
    environment: z.string(),
    model: z.string(),
    provider: z.string(),
    engine: z.string(),
    operation: z.string(),
    ...Phases.shape,
    ...Tokens.shape,
    finishReason: z.string(),
    session: z.string(),
    user: z.string(),
    namespace: z.string(),
    pod: z.string(),
    node: z.string(),
    gpus: z.array(z.string()).describe("Device keys (`GPU-…`, `MIG-…`), empty where unknown."),
    gpuLevel: z.string().describe("Attribution level, `unattributed` where nothing is known."),
    marks: z.array(Mark),
  })
  .meta({ id: "TraceRow" });
export type TraceRow = z.infer<typeof TraceRow>;

export const sortKeys = ["startTime", "duration", "ttft", "outputTokens", "inputTokens"] as const;

/** Filters that lists, facets and analytics share. A trace matches when one of its spans matches all of them. */
export const TraceFilter = z.object({
  ...TimeRangeQuery.shape,
  q: z.string().max(256).optional().describe("Text in a span's name, any case."),
  service: Multi.optional(),
  environment: Multi.optional(),
  model: Multi.optional(),
  provider: Multi.optional(),
  engine: Multi.optional(),
  operation: Multi.optional(),
  status: z.enum(["ok", "error", "unset"]).optional(),
  gpu: Multi.optional().describe("Device key (`GPU-…` or `MIG-…`)."),
  pod: Multi.optional(),
  namespace: Multi.optional(),
  node: Multi.optional(),
  session: Multi.optional(),
  user: Multi.optional(),
  minDurationMs: z.coerce.number().min(0).optional(),
  maxDurationMs: z.coerce.number().min(0).optional(),
  minTtftMs: z.coerce.number().min(0).optional(),
  maxTtftMs: z.coerce.number().min(0).optional(),
  minTokens: z.coerce.number().min(0).optional().describe("Input + output tokens of the call."),
  maxTokens: z.coerce.number().min(0).optional(),
  minPerTokenMs: z.coerce.number().min(0).optional().describe("Time per output token."),
  maxPerTokenMs: z.coerce.number().min(0).optional(),
  minQueueMs: z.coerce.number().min(0).optional(),
  maxQueueMs: z.coerce.number().min(0).optional(),
  minPrefillMs: z.coerce.number().min(0).optional(),
  maxPrefillMs: z.coerce.number().min(0).optional(),
  minDecodeMs: z.coerce.number().min(0).optional(),
  maxDecodeMs: z.coerce.number().min(0).optional(),
  calls: z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .optional()
    .describe("`true`: only traces with a model call."),
});
export type TraceFilter = z.infer<typeof TraceFilter>;

export const TraceListQuery = z.object({
  ...TraceFilter.shape,
  ...PageQuery.shape,
  sort: z.enum(sortKeys).default("startTime"),
  order: z.enum(["desc", "asc"]).default("desc"),
});
export const TraceList = page(TraceRow).meta({ id: "TraceList" });

export const SpanRow = z
  .object({
    spanId: z.string(),
    parentSpanId: z.string().describe("Empty for a root."),
    name: z.string(),
    kind: SpanKind,
    status: Status,
    service: z.string(),
    startTime: Timestamp,
    durationNs: z.number(),
    model: z.string(),
    modelSource: z.enum(["none", "span", "trace", "instance"]),
    provider: z.string(),
    engine: z.string(),
    operation: z.string(),
    ...Phases.shape,
    ...Tokens.shape,
    finishReason: z.string(),
    pod: z.string(),
    namespace: z.string(),
    node: z.string(),
    gpus: z.array(z.string()),
    gpuOrdinals: z.array(z.number().int()),
    gpuLevel: z.string(),
    marks: z.array(Mark),
  })
  .meta({ id: "SpanRow" });
export type SpanRow = z.infer<typeof SpanRow>;

/**
 * The spans of a trace as parallel arrays, sorted by start, then depth first is the client's work.
 * `strings` is the dictionary that the `*Index` columns point into. Times are microseconds from `startTime`.
 */
export const SpanColumns = z
  .object({
    strings: z.array(z.string()),
    spanId: z.array(z.string()),
    parent: z.array(z.number().int()).describe("Row of the parent, -1 for roots and orphans."),
    orphan: z.array(z.number().int()).describe("Rows whose parent is named but not here."),
    nameIndex: z.array(z.number().int()),
    serviceIndex: z.array(z.number().int()),
    modelIndex: z.array(z.number().int()),
    engineIndex: z.array(z.number().int()),
    operationIndex: z.array(z.number().int()),
    kind: z.array(z.number().int()).describe("Position in SpanKind."),
    status: z.array(z.number().int()).describe("Position in Status."),
    startUs: z.array(z.number()),
    durationUs: z.array(z.number()),
    ttftUs: z.array(nullableNumber),
    queueUs: z.array(nullableNumber),
    prefillUs: z.array(nullableNumber),
    decodeUs: z.array(nullableNumber),
    inputTokens: z.array(nullableNumber),
    outputTokens: z.array(nullableNumber),
    marks: z.array(z.number().int()).describe("Bit mask over markNames."),
  })
  .meta({ id: "SpanColumns" });
export type SpanColumns = z.infer<typeof SpanColumns>;

/** A device this trace ran on, with how that is known. */
export const TraceGpu = z.object({
  uuid: z.string(),
  name: z.string(),
  node: z.string(),
  level: z.string(),
  evidence: z.array(z.string()),
});

export const Trace = z
  .object({
    ...TraceRow.shape,
    shownSpanCount: z
      .number()
      .int()
      .describe("Spans in this answer; fewer than spanCount when sampled."),
    /** The span whose model, phases and tokens the trace shows; null when it has no model call. */
    principalSpanId: z.string().nullable(),
    peers: z
      .object({
        durationMs: z.number().describe("Of the principal call, which may be less than the trace."),
        percentile: z.number(),
        medianMs: z.number(),
        count: z.number().int(),
      })
      .nullable()
      .describe(
        "The principal call's duration among the same model's calls of the hour before it.",
      ),
    resourceGpus: z.array(TraceGpu),
    spans: z.array(SpanRow).optional().describe("With `format=rows`."),
    columns: SpanColumns.optional().describe("With `format=columns`."),
  })
  .meta({ id: "Trace" });
export type Trace = z.infer<typeof Trace>;

export const TraceParams = z.object({ traceId: TraceId });
export const TraceQuery = z.object({
  format: z
    .enum(["auto", "rows", "columns"])
    .default("auto")
    .describe("`auto` answers rows up to 5,000 spans, columns above."),
});
export const SpanParams = z.object({ traceId: TraceId, spanId: SpanId });

/** Attribute values keep their OTLP type; arrays, maps and bytes are JSON. */
export const AttributeValue: z.ZodType = z
  .unknown()
  .describe("string | number | boolean | array | object");
const Attributes = z.record(z.string(), AttributeValue);

export const SpanDetail = z
  .object({
    ...SpanRow.shape,
    traceId: z.string(),
    statusMessage: z.string(),
    traceState: z.string(),
    scope: z.object({ name: z.string(), version: z.string() }),
    attributes: Attributes,
    resource: Attributes,
    content: z
      .record(z.string(), z.string())
      .describe("Prompts, completions, tool arguments, where captured."),
    capture: z.enum(["None", "Redacted", "Full"]),
    events: z.array(z.object({ time: Timestamp, name: z.string(), attributes: Attributes })),
    links: z.array(z.object({ traceId: z.string(), spanId: z.string(), attributes: Attributes })),
    payloadExpired: z.boolean().describe("True when the payload's shorter retention has passed."),
  })
  .meta({ id: "SpanDetail" });
export type SpanDetail = z.infer<typeof SpanDetail>;

export const facetKeys = [
  "service",
  "environment",
  "model",
  "provider",
  "engine",
  "operation",
  "status",
  "namespace",
  "pod",
  "node",
  "gpu",
] as const;
export const FacetQuery = z.object({
  ...TraceFilter.shape,
  key: z
    .union([z.enum(facetKeys), z.array(z.enum(facetKeys))])
    .optional()
    .describe("Which facets; all when left out."),
  prefix: z.string().max(256).optional().describe("Only values that start with this, any case."),
  limit: z.coerce.number().int().min(1).max(200).default(20),
});
export const FacetList = z
  .object({
    items: z.array(
      z.object({
        key: z.enum(facetKeys),
        values: z.array(
          z.object({ value: z.string(), count: z.number().int().describe("Matching spans.") }),
        ),
        otherCount: z.number().int().describe("Values left off."),
      }),
    ),
    nextCursor: z.null(),
  })
  .meta({ id: "FacetList" });
export type FacetList = z.infer<typeof FacetList>;
