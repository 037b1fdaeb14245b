/**
 * A trace from its spans: what a list's row and the head of a trace are made of. Pure.
 *
 * The principal call is the engine's call with the most known phases, else the first model call,
 * else the root. Name, service and status are the root's (else the earliest span's); a model that
 * the principal does not name is inherited as `inherit-model.ts` says. `traceRowsSql` says the same
 * in SQL, for traces too large to be read: planning that statement costs as much as it does to read
 * a page's spans, so pages of usual size come this way. A test holds the two equal.
 */
import * as limits from "../limits.ts";
import { compareNs } from "../time-text.ts";
import { inheritedFrom } from "./inherit-model.ts";
import { isCall } from "./filter.sql.ts";
import type { SpanRecord } from "./span-record.ts";

export interface TraceRecord {
  traceId: string;
  startNs: string;
  endNs: string;
  spanCount: number;
  errorCount: number;
  matches: number;
  isRootKnown: number;
  isParentMissing: number;
  name: string;
  service: string;
  environment: string;
  rootStatus: number;
  inheritedModel: string;
  inheritedProvider: string;
  anySession: string;
  anyUser: string;
  gpus: string[];
  gpuLevel: string;
  marks: number;
  principalSpanId: string;
  isCall: number;
  /** Place in the contract's SpanKind. */
  callKind: number;
  callDurationNs: number;
  callStatus: number;
  ttftNs: number | null;
  ttftBasis: number;
  itlNs: number | null;
  queueNs: number | null;
  prefillNs: number | null;
  decodeNs: number | null;
  inputTokens: number | null;
  outputTokens: number | null;
  cachedTokens: number | null;
  reasoningTokens: number | null;
  ownModel: string;
  provider: string;
  engine: string;
  operation: string;
  finishReason: string;
  namespace: string;
  pod: string;
  node: string;
  /** Of the trace's engines; undefined where they were not read. */
  servingPods?: ServingPod[];
}

export interface ServingPod {
  namespace: string;
  pod: string;
}

/** A span among those of its trace. */
export interface TraceSpan extends SpanRecord {
  traceId: string;
  environment: string;
  session: string;
  user: string;
  /** 1 where the span satisfies the list's filter; null where it has no such value. */
  matches: number | null;
}

/** Of one trace's spans, all of them, at least one. */
export function recordFrom(spans: readonly [TraceSpan, ...TraceSpan[]]): TraceRecord {
  const ids = new Set(spans.map((span) => span.spanId));
  const root = first(spans, isBeforeAsRoot);
  const principal = first(spans, isBeforeAsPrincipal);
  const earliest = (has: (span: TraceSpan) => boolean): TraceSpan | undefined => {
    const [head, ...rest] = spans.filter(has);
    return head === undefined ? undefined : first([head, ...rest], isEarlier);
  };
  const inherited = inheritedFrom(spans, principal.parentSpanId);
  return {
    traceId: root.traceId,
    startNs: first(spans, isEarlier).startNs,
    endNs: String(spans.reduce((end, span) => max(end, endNs(span)), 0n)),
    spanCount: spans.length,
    errorCount: spans.filter((span) => span.status === 2).length,
    matches: spans.filter((span) => span.matches === 1).length,
    isRootKnown: spans.some((span) => span.parentSpanId === "") ? 1 : 0,
    isParentMissing: spans.some((span) => span.parentSpanId !== "" && !ids.has(span.parentSpanId))
      ? 1
      : 0,
    name: root.name,
    service: root.service,
    environment: root.environment,
    rootStatus: root.status,
    inheritedModel: inherited.model,
    inheritedProvider: inherited.provider,
    anySession: earliest((span) => span.session !== "")?.session ?? "",
    anyUser: earliest((span) => span.user !== "")?.user ?? "",
    gpus: [...new Set(spans.flatMap((span) => span.gpus))].sort(),
    gpuLevel: earliest((span) => span.gpuLevel !== "")?.gpuLevel ?? "",
    marks: spans.reduce((bits, span) => bits | span.marks, 0),
    ...principalValues(principal),
    servingPods: servingPodsOf(spans),
  };
}

function servingPodsOf(spans: readonly TraceSpan[]): ServingPod[] {
  const pods = spans
    .filter((span) => span.engine !== "" && span.pod !== "")
    .map(({ namespace, pod }) => ({ namespace, pod }));
  const distinct = new Map(pods.map((pod) => [`${pod.namespace}\0${pod.pod}`, pod]));
  const sorted = [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pod]) => pod);
  return sorted.slice(0, limits.tracePods);
}

function principalValues(span: TraceSpan) {
  return {
    principalSpanId: span.spanId,
    isCall: isCall(span) ? 1 : 0,
    callKind: span.kind,
    callDurationNs: span.durationNs,
    callStatus: span.status,
    ttftNs: span.ttftNs,
    ttftBasis: span.ttftBasis,
    itlNs: span.itlNs,
    queueNs: span.queueNs,
    prefillNs: span.prefillNs,
    decodeNs: span.decodeNs,
    inputTokens: span.inputTokens,
    outputTokens: span.outputTokens,
    cachedTokens: span.cachedTokens,
    reasoningTokens: span.reasoningTokens,
    ownModel: span.model,
    provider: span.provider,
    engine: span.engine,
    operation: span.operation,
    finishReason: span.finishReason,
    namespace: span.namespace,
    pod: span.pod,
    node: span.node,
  };
}

function first(
  spans: readonly [TraceSpan, ...TraceSpan[]],
  isBefore: (a: TraceSpan, b: TraceSpan) => boolean,
): TraceSpan {
  return spans.reduce((best, span) => (isBefore(span, best) ? span : best));
}

/** By start; the id makes it total, so that a row never flickers. */
function isEarlier(a: TraceSpan, b: TraceSpan): boolean {
  const order = compareNs(a.startNs, b.startNs);
  return order === 0 ? a.spanId < b.spanId : order < 0;
}

function isBeforeAsRoot(a: TraceSpan, b: TraceSpan): boolean {
  const [x, y] = [a.parentSpanId === "", b.parentSpanId === ""];
  return x === y ? isEarlier(a, b) : x;
}

function isBeforeAsPrincipal(a: TraceSpan, b: TraceSpan): boolean {
  const [x, y] = [rank(a), rank(b)];
  if (x !== y) return x > y;
  const order = compareNs(a.startNs, b.startNs);
  return order === 0 ? a.spanId > b.spanId : order < 0;
}

/** An engine's call before other calls, with more phases before fewer; a root before other spans. */
function rank(span: TraceSpan): number {
  if (!isCall(span)) return span.parentSpanId === "" ? 1 : 0;
  if (span.engine === "") return 2;
  const known = [span.ttftNs, span.queueNs, span.prefillNs, span.decodeNs];
  return 3 + known.filter((phase) => phase !== null).length;
}

const endNs = (span: TraceSpan): bigint =>
  BigInt(span.startNs) + BigInt(Math.round(span.durationNs));
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);
