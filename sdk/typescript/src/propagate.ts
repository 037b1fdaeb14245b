/**
 * W3C trace context: `inject` the current span into headers, `extract` a parent from them. Header sizes
 * are capped and everything malformed is ignored as the specification says: what arrives here was
 * written by strangers.
 */
import { isValidContext } from "./ids.ts";
import { TRACE_STATE_CHARS_MAX } from "./limits.ts";
import { shared } from "./shared.ts";
import type { SpanContext } from "./types.ts";

/** What HTTP libraries call headers: `Headers`, a `Map`, pairs, or an object of values or lists. */
export type HeaderSource =
  | Iterable<readonly [string, string | readonly string[] | undefined]>
  | { readonly [name: string]: unknown };

/**
 * Adds `traceparent` (and `tracestate`) of `span`, or of the current span, to `headers` and returns
 * them; unchanged where there is none.
 */
export function inject<T extends Record<string, unknown> | Headers>(
  headers: T,
  span: SpanContext | undefined = shared.context.getStore(),
): T {
  if (span === undefined) return headers;
  const set = (name: string, value: string): void => {
    if (headers instanceof Headers) headers.set(name, value);
    else Object.assign(headers, { [name]: value });
  };
  set("traceparent", traceParent(span));
  if (span.traceState) set("tracestate", span.traceState);
  return headers;
}

/** Value of the `traceparent` header. */
export function traceParent(span: SpanContext): string {
  return `00-${span.traceId}-${span.spanId}-01`;
}

const HEADERS_MAX = 256;

/** Reads a parent from headers, in any case. Undefined where there is none that makes sense. */
export function extract(headers: HeaderSource | undefined): SpanContext | undefined {
  let parent = "";
  let state = "";
  try {
    let seen = 0;
    for (const [name, value] of pairsOf(headers)) {
      if (seen++ >= HEADERS_MAX) break;
      const key = textOf(name).toLowerCase();
      if (key === "traceparent") parent = textOf(value);
      else if (key === "tracestate")
        state = state === "" ? textOf(value) : `${state},${textOf(value)}`;
    }
  } catch {
    // Whatever object a framework calls headers, a request must not fail for tracing's sake.
    return undefined;
  }
  return parse(parent.trim(), state.trim());
}

function pairsOf(headers: HeaderSource | undefined): Iterable<readonly [string, unknown]> {
  if (headers === undefined || headers === null) return [];
  // An iterable of pairs: HeaderSource says so, and the loop reads whatever it yields defensively.
  if (Symbol.iterator in headers) return headers as Iterable<readonly [string, unknown]>;
  return Object.entries(headers);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return Array.isArray(value) ? value.filter((item) => typeof item === "string").join(",") : "";
}

function parse(parent: string, state: string): SpanContext | undefined {
  if (parent.length > 512) return undefined;
  const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/.exec(parent);
  const [, version, traceId = "", spanId = "", more] = form ?? [];
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) {
    return undefined;
  }
  if (!isValidContext(traceId, spanId)) return undefined;
  const fits = state.length <= TRACE_STATE_CHARS_MAX && /^[ -~]*$/.test(state);
  return { traceId, spanId, traceState: fits ? state : "" };
}
