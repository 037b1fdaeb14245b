/**
 * What the integrations of model clients share: a CLIENT span for a call, named and described by
 * OpenTelemetry's conventions for generative AI, and streams that end it. What users wrote and models
 * answered is recorded only where the program asks for it.
 */
import { LlmSpanImpl } from "../llm-span.ts";
import { inject } from "../propagate.ts";
import type { AttributeValue } from "../types.ts";
import { SpanKind } from "../types.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** Something of unknown shape, read as an object; an empty one where it is none. */
export function fieldsOf(value: unknown): Fields {
  // Reading an unknown property of any object is safe: the values stay unknown.
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

export function textIn(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function countIn(value: unknown): number | undefined {
  return typeof value === "number" && value >= 0 ? value : undefined;
}

/** Starts the span of a call. `request` maps attributes to fields of the body. */
export function startCall(
  operation: string,
  provider: string,
  body: Fields,
  request: Readonly<Record<string, unknown>>,
  address: string | undefined,
): LlmSpanImpl {
  const model = textIn(body["model"]);
  const name = model === undefined ? operation : `${operation} ${model}`;
  const span = new LlmSpanImpl(name, undefined, SpanKind.CLIENT);
  span.setAttribute("gen_ai.operation.name", operation);
  span.setAttribute("gen_ai.provider.name", provider);
  if (model !== undefined) span.setModel(model);
  for (const [key, value] of Object.entries(request)) {
    // setAttribute takes anything; what makes no sense becomes text.
    span.setAttribute(key, value as AttributeValue);
  }
  setAddress(span, address);
  return span;
}

function setAddress(span: LlmSpanImpl, address: string | undefined): void {
  if (address === undefined || !URL.canParse(address)) return;
  const { hostname, port, protocol } = new URL(address);
  span.setAttribute("server.address", hostname);
  span.setAttribute("server.port", Number(port) || (protocol === "https:" ? 443 : 80));
}

/** Content as JSON, cut like any value. */
export function setContent(span: LlmSpanImpl, key: string, content: unknown): void {
  try {
    span.setAttribute(key, JSON.stringify(content));
  } catch {
    // Not JSON (a cycle, a bigint): the call goes on without its content.
    return;
  }
}

/** Headers of the program's own with the span's context added; the program's objects stay as they are. */
export function withTraceHeaders(span: LlmSpanImpl, headers: unknown): Record<string, unknown> {
  const plain: Record<string, unknown> =
    headers instanceof Headers ? Object.fromEntries(headers) : { ...fieldsOf(headers) };
  return inject(plain, span);
}

/** Replaces a method of an object once. `make` gets the original, bound. */
export function wrapMethod(
  holder: unknown,
  name: string,
  make: (original: (...args: unknown[]) => unknown) => (...args: unknown[]) => unknown,
): void {
  const target = fieldsOf(holder);
  const original = target[name];
  if (typeof original !== "function" || wrapped.has(original)) return;
  const made = make((...args) => Reflect.apply(original, target, args));
  wrapped.add(made);
  Object.defineProperty(target, name, { value: made, configurable: true, writable: true });
}

const wrapped = new WeakSet<object>();
