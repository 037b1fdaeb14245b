/**
 * One streaming chat call as OpenTelemetry spans, sent to Axonize. No Axonize package is needed.
 *
 *   npm install @opentelemetry/api @opentelemetry/sdk-trace @opentelemetry/resources \
 *     @opentelemetry/context-async-hooks @opentelemetry/exporter-trace-otlp-proto
 *   node chat.mjs
 *
 * Sends to OTEL_EXPORTER_OTLP_ENDPOINT, or to http://localhost:4318. The model is a stand-in that
 * yields a few words, so that the example runs anywhere; put your own client in its place.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { context, SpanKind } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const provider = new TracerProvider({
  resource: resourceFromAttributes({ "service.name": "example-node" }),
  spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
});
const tracer = provider.getTracer("example");

/** Streams an answer as a language model would: a pause, then word by word. */
async function* standInModel(prompt) {
  await sleep(200);
  for (const word of `You asked: ${prompt}`.split(" ")) {
    await sleep(20);
    yield word;
  }
}

async function chat(prompt) {
  return await tracer.startActiveSpan("chat stand-in", { kind: SpanKind.CLIENT }, async (span) => {
    span.setAttributes({
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "example",
      "gen_ai.request.model": "stand-in",
      "gen_ai.request.stream": true,
    });
    const started = performance.now();
    const words = [];
    for await (const word of standInModel(prompt)) {
      if (words.length === 0) {
        const first = (performance.now() - started) / 1000;
        span.setAttribute("gen_ai.response.time_to_first_chunk", first);
      }
      words.push(word);
    }
    span.setAttributes({
      "gen_ai.usage.input_tokens": prompt.split(" ").length,
      "gen_ai.usage.output_tokens": words.length,
      "gen_ai.response.finish_reasons": ["stop"],
    });
    span.end();
    return words.join(" ");
  });
}

await tracer.startActiveSpan("POST /chat", { kind: SpanKind.SERVER }, async (root) => {
  console.log(await chat("Why was this call slow?"));
  console.log("trace", root.spanContext().traceId);
  root.end();
});
try {
  await provider.shutdown();
} catch (error) {
  console.error(`Nothing was sent: ${error.message}. Is \`npm start\` running?`);
  console.error(
    "OTEL_EXPORTER_OTLP_ENDPOINT says where spans go; the default is http://localhost:4318.",
  );
  process.exitCode = 1;
}
