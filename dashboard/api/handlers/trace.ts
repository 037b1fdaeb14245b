/**
 * One trace and one of its spans.
 */
import { AxonizeError } from "@axonize/core/runtime/error";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { SpanColumns, SpanDetail, SpanRow } from "@axonize/core/contract/trace";
import * as limits from "../limits.ts";
import type { Context, Handlers } from "../mount.ts";
import type { Queries, TenantScope } from "../queries/query.ts";
import { inheritInColumns, inheritInRows, isUnnamedCall } from "../queries/inherit-model.ts";
import { spanRowFrom, spanRowsFrom } from "../queries/span-record.ts";
import type { TraceRecord } from "../queries/trace-record.ts";
import {
  readInheritedModel,
  readTraceRecords,
  readTraceSpans,
  recordsFrom,
  traceRowFrom,
} from "../queries/trace-row.sql.ts";
import {
  locateTrace,
  readPayload,
  readPeers,
  readResource,
  readSpan,
  readSpanColumns,
  readSpanRows,
  type PayloadRecord,
} from "../queries/trace.sql.ts";
import { spansOf, type Found, type TraceSpans } from "../queries/found.ts";
import { msFromNs, rfc3339FromNs } from "../time-text.ts";
import { devicesOfTrace } from "./trace-devices.ts";

/** The peers of a call are those of the hour before it. */
const peerMs = 3_600_000;
/** Later than any span: a trace by id is looked for in the whole retention. */
const foreverMs = 7_258_118_400_000;

export function createTraceDetailHandlers(
  deps: { queries: Queries; sql: Sql },
  config: { mode: "standalone" | "cluster" },
): Pick<Handlers, "getTrace" | "getSpan"> {
  const { queries } = deps;
  return {
    getTrace: async ({ params, query }, context) => {
      const located = await requireTrace(queries, context, params.traceId);
      const { head, rows, columns } = await readWhole(queries, located, query.format);
      const [peers, ran] = await Promise.all([
        peersOf(queries, located.scope, head),
        devicesOfTrace(deps, context, { located, head, mode: config.mode }),
      ]);
      return {
        ...traceRowFrom(head),
        gpus: ran.devices.map(({ uuid }) => uuid),
        gpuLevel: ran.level,
        shownSpanCount: rows?.length ?? columns?.spanId.length ?? 0,
        principalSpanId: head.isCall ? head.principalSpanId : null,
        peers,
        resourceGpus: ran.devices,
        ...(rows === undefined ? {} : { spans: inheritInRows(rows) }),
        ...(columns === undefined ? {} : { columns: inheritInColumns(columns) }),
      };
    },

    getSpan: async ({ params }, context) => {
      const { scope, spans } = await requireTrace(queries, context, params.traceId);
      const [record, payload] = await Promise.all([
        readSpan(queries, scope, params),
        readPayload(queries, scope, params),
      ]);
      if (record === undefined) {
        throw new AxonizeError("not-found", `The trace has no span ${params.spanId}.`);
      }
      const [resource, model] = await Promise.all([
        readResource(queries, scope, record.resourceFp),
        isUnnamedCall(record) ? readInheritedModel(queries, scope, spans, params.spanId) : "",
      ]);
      return {
        ...spanRowFrom(record, undefined),
        ...(model === "" ? {} : { model, modelSource: "trace" as const }),
        traceId: params.traceId,
        ...detailFrom(payload),
        resource: objectFrom(resource),
        capture: scope.tenant.capture,
        payloadExpired: payload === undefined,
      };
    },
  };
}

export interface LocatedTrace {
  found: Found;
  scope: TenantScope;
  spans: TraceSpans;
}

/** Where a trace's spans lie; another tenant's trace is as unknown as one that never was. */
export async function requireTrace(
  queries: Queries,
  context: Context,
  traceId: string,
): Promise<LocatedTrace> {
  const base = { tenant: context.tenant(), signal: context.signal };
  const found = await locateTrace(queries, { ...base, fromMs: 0, toMs: foreverMs }, traceId);
  if (found === undefined) throw noTrace(traceId);
  const spans = spansOf([found]);
  return { found, spans, scope: { ...base, fromMs: spans.fromMs, toMs: spans.toMs } };
}

export async function readHead(
  queries: Queries,
  located: LocatedTrace,
  traceId: string,
): Promise<TraceRecord> {
  const { from, params } = located.spans;
  const request = { from, params, matches: "1" };
  const [head] = await readTraceRecords(queries, located.scope, request);
  if (head === undefined) throw noTrace(traceId);
  return head;
}

interface WholeTrace {
  head: TraceRecord;
  rows?: SpanRow[];
  columns?: SpanColumns;
}

/** A trace of usual size is read once; a larger one's head is aggregated beside its rows or columns. */
async function readWhole(
  queries: Queries,
  located: LocatedTrace,
  format: "auto" | "rows" | "columns",
): Promise<WholeTrace> {
  const { scope, spans, found } = located;
  if (format !== "columns") {
    const all = await readTraceSpans(queries, scope, { ...spans, matches: "1" });
    const [head] = recordsFrom(all ?? []);
    if (all !== undefined && head === undefined) throw noTrace(found.traceId);
    if (all !== undefined && head !== undefined) return { head, rows: spanRowsFrom(all) };
  }
  const [head, rows, columns] = await Promise.all([
    readHead(queries, located, found.traceId),
    format === "rows"
      ? readSpanRows(queries, scope, { ...spans, most: limits.traceSpans })
      : undefined,
    format === "rows"
      ? undefined
      : readSpanColumns(queries, scope, { ...spans, startNs: found.startNs }),
  ]);
  return { head, ...(rows ? { rows } : {}), ...(columns ? { columns } : {}) };
}

const noTrace = (traceId: string): AxonizeError =>
  new AxonizeError(
    "not-found",
    `There is no trace ${traceId}, or it is older than the tenant's retention.`,
  );

async function peersOf(queries: Queries, scope: TenantScope, head: TraceRecord) {
  const model = head.ownModel || head.inheritedModel;
  if (!head.isCall || model === "") return null;
  const startMs = msFromNs(head.startNs);
  const peers = await readPeers(
    queries,
    { ...scope, fromMs: startMs - peerMs, toMs: startMs },
    {
      model,
      isInherited: head.ownModel === "",
      engine: head.engine,
      operation: head.operation,
      durationNs: head.callDurationNs,
    },
  );
  if (peers === undefined || peers.count === 0 || peers.medianNs === null) return null;
  // The percentile rank: of calls that took as long, one half counts as faster.
  const below = peers.faster + peers.equal / 2;
  return {
    durationMs: head.callDurationNs / 1e6,
    percentile: Math.round((1000 * below) / peers.count) / 10,
    medianMs: peers.medianNs / 1e6,
    count: peers.count,
  };
}

function detailFrom(
  payload: PayloadRecord | undefined,
): Pick<
  SpanDetail,
  "statusMessage" | "traceState" | "scope" | "attributes" | "content" | "events" | "links"
> {
  return {
    statusMessage: payload?.statusMessage ?? "",
    traceState: payload?.traceState ?? "",
    scope: { name: payload?.scopeName ?? "", version: payload?.scopeVersion ?? "" },
    attributes: payload === undefined ? {} : attributesFrom(payload),
    content: payload?.content ?? {},
    events: (payload?.eventNs ?? []).map((ns, index) => ({
      time: rfc3339FromNs(ns),
      name: payload?.eventNames[index] ?? "",
      attributes: objectFrom(payload?.eventAttrs[index]),
    })),
    links: (payload?.linkTraceIds ?? []).map((traceId, index) => ({
      traceId,
      spanId: payload?.linkSpanIds[index] ?? "",
      attributes: objectFrom(payload?.linkAttrs[index]),
    })),
  };
}

/** One object with every attribute in its OTLP type, names in order. */
function attributesFrom(payload: PayloadRecord): Record<string, unknown> {
  const entries: [string, unknown][] = [
    ...Object.entries(payload.attrsStr),
    ...Object.entries(payload.attrsInt).map(([key, text]): [string, unknown] => [
      key,
      integerFrom(text),
    ]),
    ...Object.entries(payload.attrsNum),
    ...Object.entries(payload.attrsBool),
    ...Object.entries(payload.attrsJson).map(([key, text]): [string, unknown] => [
      key,
      jsonFrom(text),
    ]),
  ];
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** 64-bit integers beyond 2^53 stay text: a rounded id is a wrong id. */
function integerFrom(text: string): number | string {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : text;
}

function jsonFrom(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // written by a version that wrote it otherwise: shown as it stands
  }
}

function objectFrom(text: string | undefined): Record<string, unknown> {
  if (text === undefined || text === "") return {};
  const value = jsonFrom(text);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : { value };
}
