/**
 * The bridge to OpenTelemetry's API: a tracer provider and a context manager that work on our spans, so
 * that instrumentations written for OpenTelemetry (the Vercel AI SDK's, OpenLLMetry's, OpenInference's)
 * record into our ring unchanged; and a span processor that copies what an OpenTelemetry SDK records.
 *
 * Nothing global is set unless the program calls `register`. Needs `@opentelemetry/api`, which whoever
 * uses such an instrumentation has.
 */
import {
  context as otelContext,
  createContextKey,
  createTraceState,
  INVALID_SPAN_CONTEXT,
  ROOT_CONTEXT,
  trace,
  TraceFlags,
  type Context,
  type ContextManager,
  type Span as OtelSpan,
  type SpanContext as OtelSpanContext,
  type SpanOptions,
  type Tracer,
  type TracerProvider,
} from "@opentelemetry/api";
import { AsyncLocalStorage } from "node:async_hooks";
import { copySpan, type ReadableSpan } from "./otel-copy.ts";
import { BridgeSpan, bridged, epochMsOf } from "./otel-span.ts";
import { Flag } from "./layout.ts";
import { shared } from "./shared.ts";
import { isSpan, kindOf, scopeKey, SpanImpl } from "./span.ts";
import type { SpanContext } from "./types.ts";

/** A TracerProvider whose spans go into our ring. */
export function createTracerProvider(): TracerProvider {
  return { getTracer: (name, version) => createTracer(scopeKey(name, version ?? "")) };
}

/** Makes our provider and context manager OpenTelemetry's global ones. False where others are set. */
export function register(): boolean {
  const provider = trace.setGlobalTracerProvider(createTracerProvider());
  return otelContext.setGlobalContextManager(createContextManager()) && provider;
}

/** Where OpenTelemetry's SDK keeps whether instrumentations should be silent. */
const suppressed = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");

function createTracer(scope: string): Tracer {
  const startSpan = (name: string, options: SpanOptions = {}, from?: Context): OtelSpan => {
    const context = from ?? otelContext.active();
    if (context.getValue(suppressed) === true) return trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
    // OTLP's kinds begin at 1, the API's at 0.
    const kind = kindOf((options.kind ?? 0) + 1);
    const span = new SpanImpl(name, options.root === true ? "none" : parentIn(context), kind);
    span.rarely().scope = scope;
    if (options.startTime !== undefined) {
      span.startMs = epochMsOf(options.startTime);
      span.flags |= Flag.ABSOLUTE;
    }
    const made = bridged(span);
    if (options.attributes !== undefined) made.setAttributes(options.attributes);
    if (options.links !== undefined) made.addLinks(options.links);
    return made;
  };
  return {
    startSpan,
    startActiveSpan(name: string, ...args: unknown[]) {
      // The API's three overloads: (name, fn), (name, options, fn), (name, options, context, fn).
      const fn = args.at(-1) as (span: OtelSpan) => never;
      const [options, from] = args.slice(0, -1) as [SpanOptions?, Context?];
      const context = from ?? otelContext.active();
      const span = startSpan(name, options, context);
      return otelContext.with(trace.setSpan(context, span), () => withSpan(span, fn, [span]));
    },
  };
}

/** Runs `fn` with the span current for our own spans, too. */
function withSpan<A extends unknown[], R>(
  span: OtelSpan | undefined,
  fn: (...args: A) => R,
  args: A,
): R {
  return span instanceof BridgeSpan ? shared.context.run(span.inner, fn, ...args) : fn(...args);
}

/** The parent that a context names; none means what is current with us. */
function parentIn(context: Context): SpanImpl | SpanContext | undefined {
  const span = trace.getSpan(context);
  if (span instanceof BridgeSpan) return span.inner;
  const found = span?.spanContext();
  if (found === undefined || !trace.isSpanContextValid(found)) return undefined;
  return contextFrom(found);
}

function contextFrom(context: OtelSpanContext): SpanContext {
  return {
    traceId: context.traceId,
    spanId: context.spanId,
    traceState: context.traceState?.serialize(),
  };
}

/** A ContextManager whose active span is our current one, so that both kinds of span nest. */
export function createContextManager(): ContextManager {
  const storage = new AsyncLocalStorage<Context>();
  const active = (): Context => {
    const context = storage.getStore() ?? ROOT_CONTEXT;
    const ours = shared.context.getStore();
    const theirs = trace.getSpan(context);
    if (ours === undefined || (theirs instanceof BridgeSpan && theirs.inner === ours)) {
      return context;
    }
    return isSpan(ours)
      ? trace.setSpan(context, bridged(ours))
      : trace.setSpanContext(context, {
          traceId: ours.traceId,
          spanId: ours.spanId,
          traceFlags: TraceFlags.SAMPLED,
          isRemote: true,
          ...(ours.traceState ? { traceState: createTraceState(ours.traceState) } : {}),
        });
  };
  const manager: ContextManager = {
    active,
    with(context, fn, thisArg, ...args) {
      return storage.run(context, () => {
        const span = trace.getSpan(context);
        const call = (): ReturnType<typeof fn> => Reflect.apply(fn, thisArg, args);
        if (span instanceof BridgeSpan) return shared.context.run(span.inner, call);
        // A context without a span, or with another SDK's: nothing of ours is current in it.
        const found = span?.spanContext();
        return shared.context.run(found === undefined ? undefined : contextFrom(found), call);
      });
    },
    bind(context, target) {
      if (typeof target !== "function") return target;
      const bound = function (this: unknown, ...args: unknown[]): unknown {
        // A function, as was just asked.
        return manager.with(context, () => Reflect.apply(target as () => unknown, this, args));
      };
      // What is bound is called as the target was.
      return bound as typeof target;
    },
    enable: () => manager,
    disable: () => manager,
  };
  return manager;
}

/** What OpenTelemetry's SDKs (1.x, 2.x and 3.x) call when spans start and end. */
export interface SpanProcessor {
  onStart(): void;
  onEnd(span: ReadableSpan): void;
  forceFlush(): Promise<void>;
  shutdown(): Promise<void>;
}

/**
 * A SpanProcessor for a program that has OpenTelemetry's SDK already: spans that it records are copied
 * into our ring, and our own spans become children of its active one.
 */
export function createSpanProcessor(): SpanProcessor {
  shared.foreignParent = () => {
    const found = trace.getActiveSpan()?.spanContext();
    return found === undefined || !trace.isSpanContextValid(found) ? undefined : contextFrom(found);
  };
  const flush = async (): Promise<void> => {
    await shared.session?.flush(2000);
  };
  return {
    onStart: () => undefined,
    onEnd: (span) => copySpan(span),
    forceFlush: flush,
    async shutdown() {
      shared.foreignParent = undefined;
      await flush();
    },
  };
}
