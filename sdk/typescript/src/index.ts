/**
 * `@axonize/sdk`: what every inference call did, at less than a microsecond a span.
 *
 *     import * as axonize from "@axonize/sdk";
 *     axonize.init({ serviceName: "my-service" });
 *     await axonize.llmSpan("generate", { model: "llama-3-70b" }, async (s) => {
 *       for await (const token of s.stream(model.generate(prompt))) process.stdout.write(token);
 *     });
 *
 * Nothing here throws into your program, blocks it, or logs more than one line per cause. Before `init`
 * (and after `shutdown`) spans work but are not recorded. Integrations are modules of their own
 * (`@axonize/sdk/openai`, …) and cost nothing where they are not imported.
 */
export {
  current,
  flush,
  init,
  llmSpan,
  shutdown,
  span,
  startLlmSpan,
  startSpan,
  stats,
  withParent,
} from "./api.ts";
export type { InitOptions } from "./config.ts";
export type { Stats } from "./process.ts";
export { extract, inject, type HeaderSource } from "./propagate.ts";
export type { LlmSpan, LlmSpanOptions, Span, SpanOptions } from "./span-types.ts";
export { stream, trace, type StreamOptions, type TraceOptions } from "./trace.ts";
export {
  SpanKind,
  SpanStatus,
  type Attributes,
  type AttributeValue,
  type SpanContext,
} from "./types.ts";
export { version } from "./version.ts";
