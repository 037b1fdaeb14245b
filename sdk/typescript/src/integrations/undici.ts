/**
 * `fetch` and `undici`: a CLIENT span for each request, with `traceparent`. Both tell of themselves on
 * Node's diagnostics channels; nothing is patched.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { traceParent } from "../propagate.ts";
import { shared } from "../shared.ts";
import type { SpanImpl } from "../span.ts";
import { setHttpStatus, startClientSpan } from "./http-span.ts";

/** What undici's messages carry, as far as we read it. */
interface Message {
  readonly request: {
    readonly method: string;
    readonly origin: unknown;
    readonly path: string;
    addHeader(name: string, value: string): unknown;
  };
  readonly response?: { readonly statusCode: number };
  readonly error?: unknown;
}

/** Records every request of `fetch` and undici. Returns what undoes it. */
export function instrumentUndici(): () => void {
  const spans = new WeakMap<object, SpanImpl>();
  const listeners: Record<string, (message: Message) => void> = {
    "undici:request:create"({ request }) {
      if (shared.ring === undefined) return;
      const span = startClientSpan(request.method, `${String(request.origin)}${request.path}`);
      spans.set(request, span);
      request.addHeader("traceparent", traceParent(span));
    },
    "undici:request:headers"({ request, response }) {
      const span = spans.get(request);
      if (span !== undefined && response !== undefined) setHttpStatus(span, response.statusCode);
    },
    "undici:request:trailers"({ request }) {
      spans.get(request)?.end();
    },
    "undici:request:error"({ request, error }) {
      spans.get(request)?.fail(error);
    },
  };
  // undici publishes messages of this shape on these channels.
  const subscribed = Object.entries(listeners).map(
    ([name, listener]) => [name, (message: unknown) => listener(message as Message)] as const,
  );
  for (const [name, listener] of subscribed) subscribe(name, listener);
  return () => {
    for (const [name, listener] of subscribed) unsubscribe(name, listener);
  };
}
