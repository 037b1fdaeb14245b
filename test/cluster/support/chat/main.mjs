/**
 * The application of examples/k8s as a source of load for tests: it keeps a list of the calls that its exporter
 * was told are safe, and serves it with its own environment on port 8080, to be compared with what is stored.
 *
 * CALLS_PER_SECOND is the one variable of its own.
 */
import { createServer } from "node:http";
import { context, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { ExportResultCode } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const perSecond = Number(process.env.CALLS_PER_SECOND ?? "20");
/** About 60 MB, and three hours of calls; whoever compares them with the store does so within minutes. */
const maxAcknowledged = 500_000;
const acknowledged = [];
let acknowledgedCount = 0;
const failures = [];
let started = 0;

const otlp = new OTLPTraceExporter();
/** The SDK's exporter, listened to: success is the receiver's word that it has the spans. */
const exporter = {
  export(spans, done) {
    otlp.export(spans, (result) => {
      if (result.code === ExportResultCode.SUCCESS) {
        for (const span of spans) {
          const { traceId, spanId } = span.spanContext();
          acknowledgedCount += 1;
          if (acknowledged.length < maxAcknowledged) acknowledged.push(`${traceId}:${spanId}`);
        }
      } else {
        failures.push({
          spans: spans.length,
          error: String(result.error?.message ?? result.error),
        });
      }
      done(result);
    });
  },
  shutdown: async () => await otlp.shutdown(),
  forceFlush: async () => await otlp.forceFlush?.(),
};
const provider = new TracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [
    new BatchSpanProcessor({ exporter, scheduledDelayMillis: 500, maxQueueSize: 20_000 }),
  ],
});
const tracer = provider.getTracer("chat-app");

function call() {
  started += 1;
  const startMs = Date.now() - 120;
  const request = tracer.startSpan(
    "POST /chat",
    { kind: SpanKind.SERVER, startTime: startMs },
    ROOT_CONTEXT,
  );
  const chat = tracer.startSpan(
    "chat tiny",
    {
      kind: SpanKind.CLIENT,
      startTime: startMs + 5,
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 45,
      },
    },
    trace.setSpan(context.active(), request),
  );
  chat.end(startMs + 110);
  request.end(startMs + 115);
}

const timer = setInterval(call, 1000 / perSecond);

createServer((request, response) => {
  if (request.url === "/stop") clearInterval(timer);
  const from = Number(
    new URL(request.url ?? "/", "http://localhost").searchParams.get("from") ?? "0",
  );
  response.setHeader("content-type", "application/json");
  response.end(
    JSON.stringify({
      started,
      acknowledgedCount,
      acknowledged: acknowledged.slice(from),
      failures,
      environment: process.env,
    }),
  );
}).listen(8080);

process.on("SIGTERM", () => {
  clearInterval(timer);
  void provider.shutdown().finally(() => process.exit(0));
});
