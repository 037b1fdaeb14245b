/**
 * One of our spans as OpenTelemetry's API sees it. Each of ours has at most one such face, so that
 * comparing spans works; the face keeps nothing of its own.
 */
import { performance } from "node:perf_hooks";
import {
  createTraceState,
  TraceFlags,
  type Attributes,
  type AttributeValue,
  type Exception,
  type Link,
  type Span,
  type SpanContext,
  type SpanStatus,
  type TimeInput,
} from "@opentelemetry/api";
import { nanosOfEpochMs } from "./clock.ts";
import { Flag } from "./layout.ts";
import type { SpanImpl } from "./span.ts";
import { describeError } from "./span-types.ts";

const faces = new WeakMap<SpanImpl, BridgeSpan>();

/** The face of a span of ours. */
export function bridged(span: SpanImpl): BridgeSpan {
  let face = faces.get(span);
  if (face === undefined) faces.set(span, (face = new BridgeSpan(span)));
  return face;
}

export class BridgeSpan implements Span {
  readonly inner: SpanImpl;

  constructor(inner: SpanImpl) {
    this.inner = inner;
  }

  spanContext(): SpanContext {
    const { traceId, spanId, traceState } = this.inner;
    return {
      traceId,
      spanId,
      traceFlags: TraceFlags.SAMPLED,
      ...(traceState === "" ? {} : { traceState: createTraceState(traceState) }),
    };
  }

  setAttribute(key: string, value: AttributeValue): this {
    // The API's lists may hold null, which ours ignore.
    this.inner.setAttribute(key, value as string);
    return this;
  }

  setAttributes(attributes: Attributes): this {
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined) this.setAttribute(key, value);
    }
    return this;
  }

  addEvent(name: string, second?: Attributes | TimeInput, third?: TimeInput): this {
    const time = third ?? (isTime(second) ? second : undefined);
    const attributes = isTime(second) ? undefined : second;
    this.inner.addEventAt(name, nanosOfEpochMs(epochMsOf(time)), attributes);
    return this;
  }

  addLink(link: Link): this {
    const { traceId, spanId, traceState } = link.context;
    const context = { traceId, spanId, traceState: traceState?.serialize() };
    // As above.
    this.inner.addLink(context, link.attributes as Record<string, string>);
    return this;
  }

  addLinks(links: Link[]): this {
    for (const link of links) this.addLink(link);
    return this;
  }

  setStatus(status: SpanStatus): this {
    this.inner.setStatus(status.code, status.message);
    return this;
  }

  updateName(name: string): this {
    if (!this.inner.ended) this.inner.name = name;
    return this;
  }

  end(endTime?: TimeInput): void {
    const { inner } = this;
    if (endTime === undefined && (inner.flags & Flag.ABSOLUTE) === 0) {
      inner.end();
      return;
    }
    if ((inner.flags & Flag.ABSOLUTE) === 0) {
      inner.startMs += performance.timeOrigin;
      inner.flags |= Flag.ABSOLUTE;
    }
    inner.finish(Math.max(inner.startMs, epochMsOf(endTime)));
  }

  isRecording(): boolean {
    return this.inner.isRecording;
  }

  recordException(exception: Exception, time?: TimeInput): void {
    const { type, message, stack } = describeError(exception);
    const said = {
      "exception.type": type,
      "exception.message": message,
      "exception.stacktrace": stack,
    };
    this.inner.addEventAt("exception", nanosOfEpochMs(epochMsOf(time)), said);
  }
}

function isTime(value: unknown): value is TimeInput {
  return typeof value === "number" || value instanceof Date || Array.isArray(value);
}

/** Epoch ms of the API's times: Date, [seconds, nanoseconds], epoch ms or ms of performance.now(). */
export function epochMsOf(time: TimeInput | undefined): number {
  if (time === undefined) return performance.timeOrigin + performance.now();
  if (time instanceof Date) return time.getTime();
  if (typeof time !== "number") return time[0] * 1000 + time[1] / 1e6;
  return time < performance.timeOrigin ? performance.timeOrigin + time : time;
}
