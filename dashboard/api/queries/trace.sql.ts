/**
 * One trace: where it lies in time, its spans as rows or columns, one span's payload, its peers.
 */
import type { SpanColumns, SpanRow } from "@axonize/core/contract/trace";
import * as limits from "../limits.ts";
import type { Params, Queries, TenantScope } from "./query.ts";
import { spanRecordSql, spanRowFrom, type SpanRecord } from "./span-record.ts";
import { foundSql, type Found } from "./found.ts";

/** Undefined when no trace of this tenant has the id (or it is older than the retention). */
export async function locateTrace(
  queries: Queries,
  scope: TenantScope,
  traceId: string,
): Promise<Found | undefined> {
  const answer = await queries.rows<Found>(
    scope,
    `SELECT ${foundSql}, startNs AS key FROM (
       SELECT trace_id, min(min_start) AS s, max(max_start) AS m FROM {{traceIndex}}
       WHERE trace_id = toFixedString(unhex({traceId:String}), 16) GROUP BY trace_id
     )`,
    { traceId },
  );
  return answer.rows[0];
}

/** Slowest and failed spans first where there are too many to show. */
const mostTelling = (most: number): string =>
  `ORDER BY status = 2 DESC, duration_ns DESC, span_id LIMIT ${most}`;

export async function readSpanRows(
  queries: Queries,
  scope: TenantScope,
  spans: { from: string; params: Params; most: number },
): Promise<SpanRow[]> {
  const answer = await queries.rows<SpanRecord>(
    scope,
    `SELECT * FROM (SELECT ${spanRecordSql} FROM ${spans.from} ${mostTelling(spans.most)})
     ORDER BY toInt64(startNs), spanId`,
    spans.params,
  );
  const ids = new Set(answer.rows.map((record) => record.spanId));
  return answer.rows.map((record) => spanRowFrom(record, ids));
}

interface ColumnRecords extends Record<string, readonly unknown[]> {
  spanId: string[];
  parentId: string[];
  name: string[];
  service: string[];
  model: string[];
  engine: string[];
  operation: string[];
  kind: number[];
  status: number[];
  startUs: number[];
  durationUs: number[];
  ttftUs: (number | null)[];
  queueUs: (number | null)[];
  prefillUs: (number | null)[];
  decodeUs: (number | null)[];
  inputTokens: (number | null)[];
  outputTokens: (number | null)[];
  marks: number[];
}

export async function readSpanColumns(
  queries: Queries,
  scope: TenantScope,
  spans: { from: string; params: Params; startNs: string },
): Promise<SpanColumns> {
  const { columns } = await queries.columns<ColumnRecords>(
    scope,
    `SELECT * FROM (
       SELECT lower(hex(span_id)) AS spanId,
         if(parent_span_id = toFixedString('', 8), '', lower(hex(parent_span_id))) AS parentId,
         name, service, model, engine, operation, kind, status,
         (toUnixTimestamp64Nano(start) - {startNs:Int64}) / 1000 AS startUs,
         duration_ns / 1000 AS durationUs, ttft_ns / 1000 AS ttftUs, queue_ns / 1000 AS queueUs,
         prefill_ns / 1000 AS prefillUs, decode_ns / 1000 AS decodeUs,
         input_tokens AS inputTokens, output_tokens AS outputTokens, marks
       FROM ${spans.from} ${mostTelling(limits.traceSpans)}
     ) ORDER BY startUs, spanId`,
    { ...spans.params, startNs: spans.startNs },
  );
  return spanColumnsFrom(columns);
}

export function spanColumnsFrom(columns: ColumnRecords): SpanColumns {
  const strings: string[] = [];
  const positions = new Map<string, number>();
  const indexed = (values: readonly string[]): number[] =>
    values.map((value) => {
      let at = positions.get(value);
      if (at === undefined) {
        at = strings.push(value) - 1;
        positions.set(value, at);
      }
      return at;
    });
  const rowOf = new Map(columns.spanId.map((id, row) => [id, row]));
  const orphan: number[] = [];
  const parent = columns.parentId.map((id, row) => {
    if (id === "") return -1;
    const at = rowOf.get(id);
    // A span that names itself as its parent is shown as a root: a tree has no loops.
    if (at === undefined || at === row) orphan.push(row);
    return at === undefined || at === row ? -1 : at;
  });
  return {
    strings,
    spanId: columns.spanId,
    parent,
    orphan,
    nameIndex: indexed(columns.name),
    serviceIndex: indexed(columns.service),
    modelIndex: indexed(columns.model),
    engineIndex: indexed(columns.engine),
    operationIndex: indexed(columns.operation),
    kind: columns.kind,
    status: columns.status,
    startUs: columns.startUs,
    durationUs: columns.durationUs,
    ttftUs: columns.ttftUs,
    queueUs: columns.queueUs,
    prefillUs: columns.prefillUs,
    decodeUs: columns.decodeUs,
    inputTokens: columns.inputTokens,
    outputTokens: columns.outputTokens,
    marks: columns.marks,
  };
}

export interface PeerRecord {
  count: number;
  faster: number;
  equal: number;
  medianNs: number | null;
}

/**
 * The same model's calls by the same engine in `scope`; `scope` is the hour before the call. Where
 * the call inherits its model, its peers are those that can inherit it, too.
 * Filtered first and then deduplicated by span: FINAL over the whole hour costs ten times as much.
 */
export async function readPeers(
  queries: Queries,
  scope: TenantScope,
  call: {
    model: string;
    isInherited: boolean;
    engine: string;
    operation: string;
    durationNs: number;
  },
): Promise<PeerRecord | undefined> {
  const { isInherited, ...params } = call;
  const isNamed = "model = {model:String}";
  const isPeer = isInherited
    ? `model = '' AND trace_id IN (SELECT trace_id FROM {{spansRaw}} WHERE ${isNamed})`
    : isNamed;
  const answer = await queries.rows<PeerRecord>(
    scope,
    `SELECT count() AS count, countIf(duration_ns < {durationNs:Float64}) AS faster,
       countIf(duration_ns = {durationNs:Float64}) AS equal,
       quantileTDigest(0.5)(duration_ns) AS medianNs
     FROM (
       SELECT duration_ns FROM {{spansRaw}}
       WHERE engine = {engine:String} AND operation = {operation:String} AND ${isPeer}
       ORDER BY received DESC LIMIT 1 BY trace_id, span_id
     )`,
    params,
  );
  return answer.rows[0];
}

export interface PayloadRecord {
  statusMessage: string;
  traceState: string;
  scopeName: string;
  scopeVersion: string;
  attrsStr: Record<string, string>;
  attrsInt: Record<string, string>;
  attrsNum: Record<string, number | null>;
  attrsBool: Record<string, boolean>;
  attrsJson: Record<string, string>;
  content: Record<string, string>;
  eventNs: string[];
  eventNames: string[];
  eventAttrs: string[];
  linkTraceIds: string[];
  linkSpanIds: string[];
  linkAttrs: string[];
}

const thisSpan = `trace_id = toFixedString(unhex({traceId:String}), 16)
  AND span_id = toFixedString(unhex({spanId:String}), 8)`;

export async function readSpan(
  queries: Queries,
  scope: TenantScope,
  ids: { traceId: string; spanId: string },
): Promise<(SpanRecord & { resourceFp: string }) | undefined> {
  const answer = await queries.rows<SpanRecord & { resourceFp: string }>(
    scope,
    `SELECT ${spanRecordSql}, toString(resource_fp) AS resourceFp
     FROM {{spans}} WHERE ${thisSpan} ORDER BY received DESC LIMIT 1`,
    ids,
  );
  return answer.rows[0];
}

export async function readPayload(
  queries: Queries,
  scope: TenantScope,
  ids: { traceId: string; spanId: string },
): Promise<PayloadRecord | undefined> {
  const answer = await queries.rows<PayloadRecord>(
    scope,
    `SELECT status_message AS statusMessage, trace_state AS traceState,
       scope_name AS scopeName, scope_version AS scopeVersion,
       attrs_str AS attrsStr, mapApply((k, v) -> (k, toString(v)), attrs_int) AS attrsInt,
       attrs_num AS attrsNum, attrs_bool AS attrsBool, attrs_json AS attrsJson, content,
       arrayMap(t -> toString(t), event_time) AS eventNs, event_name AS eventNames,
       event_attrs AS eventAttrs, arrayMap(id -> lower(hex(id)), link_trace_id) AS linkTraceIds,
       arrayMap(id -> lower(hex(id)), link_span_id) AS linkSpanIds, link_attrs AS linkAttrs
     FROM {{spanPayloads}} WHERE ${thisSpan} ORDER BY received DESC LIMIT 1`,
    ids,
  );
  return answer.rows[0];
}

export async function readResource(
  queries: Queries,
  scope: TenantScope,
  fp: string,
): Promise<string | undefined> {
  const answer = await queries.rows<{ attrs: string }>(
    scope,
    `SELECT attrs FROM {{resources}} WHERE fp = {fp:UInt64} LIMIT 1`,
    { fp },
  );
  return answer.rows[0]?.attrs;
}
