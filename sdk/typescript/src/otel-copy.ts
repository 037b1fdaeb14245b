/**
 * Copies a span that OpenTelemetry's SDK recorded into our ring, with its ids, times, events, links and
 * scope. The SDK's own resource stays behind: this process has ours.
 */
import { nanosOfEpochMs } from "./clock.ts";
import { isValidContext, word } from "./ids.ts";
import { Flag } from "./layout.ts";
import { scopeKey, SpanImpl } from "./span.ts";
import type { SpanContext } from "./types.ts";

type HrTime = readonly [seconds: number, nanos: number];
type Values = Readonly<Record<string, unknown>>;

interface Context {
  readonly traceId: string;
  readonly spanId: string;
  readonly isRemote?: boolean | undefined;
  readonly traceState?: { serialize(): string } | undefined;
}

/** What the SDKs' ReadableSpan has in versions 1 to 3, as far as we read it. */
export interface ReadableSpan {
  readonly name: string;
  readonly kind: number;
  spanContext(): Context;
  /** From 2.0 on; before that `parentSpanId`. */
  readonly parentSpanContext?: Context | undefined;
  readonly parentSpanId?: string | undefined;
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly status: { readonly code: number; readonly message?: string | undefined };
  readonly attributes: Values;
  readonly events: readonly {
    readonly name: string;
    readonly time: HrTime;
    readonly attributes?: Values | undefined;
  }[];
  readonly links: readonly {
    readonly context: Context;
    readonly attributes?: Values | undefined;
  }[];
  readonly instrumentationScope?: Scope | undefined;
  readonly instrumentationLibrary?: Scope | undefined;
}

interface Scope {
  readonly name: string;
  readonly version?: string | undefined;
}

const epochMs = ([seconds, nanos]: HrTime): number => seconds * 1000 + nanos / 1e6;

export function copySpan(from: ReadableSpan): void {
  const own = from.spanContext();
  if (!isValidContext(own.traceId, own.spanId)) return;
  const span = new SpanImpl(from.name, "none", from.kind + 1);
  span.trace0 = word(own.traceId, 0);
  span.trace1 = word(own.traceId, 1);
  span.trace2 = word(own.traceId, 2);
  span.trace3 = word(own.traceId, 3);
  span.span0 = word(own.spanId, 0);
  span.span1 = word(own.spanId, 1);
  const parentId = from.parentSpanContext?.spanId ?? from.parentSpanId;
  span.flags = Flag.ABSOLUTE;
  if (parentId !== undefined && isValidContext(own.traceId, parentId)) {
    span.parent0 = word(parentId, 0);
    span.parent1 = word(parentId, 1);
    span.flags |= Flag.PARENT | (from.parentSpanContext?.isRemote === true ? Flag.REMOTE : 0);
  }
  span.state = own.traceState?.serialize() ?? "";
  span.startMs = epochMs(from.startTime);
  const scope = from.instrumentationScope ?? from.instrumentationLibrary;
  span.rarely().scope = scopeKey(scope?.name ?? "", scope?.version ?? "");
  // The SDK's attribute values are text, numbers, booleans and lists of them.
  span.setAttributes(from.attributes as Record<string, string>);
  for (const { name, time, attributes } of from.events) {
    span.addEventAt(name, nanosOfEpochMs(epochMs(time)), attributes);
  }
  for (const { context, attributes } of from.links) {
    // As above.
    span.addLink(plain(context), attributes as Record<string, string>);
  }
  if (from.status.code !== 0) {
    // The SDK's codes are OTLP's: 1 is OK, 2 is ERROR.
    span.setStatus(from.status.code === 2 ? 2 : 1, from.status.message);
  }
  span.finish(epochMs(from.endTime));
}

function plain({ traceId, spanId, traceState }: Context): SpanContext {
  return { traceId, spanId, traceState: traceState?.serialize() };
}
