/**
 * An application that knows nothing of Axonize: OpenTelemetry's own SDK, configured by OTEL_* variables
 * alone, which makes up CALLS_PER_SECOND chat calls. Its PORT says how many there were.
 * `npm run cluster -- up --gpus` makes it the image that ../application.yaml names.
 */
import { createServer } from "node:http";
import { context, ROOT_CONTEXT, SpanKind, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

const { CALLS_PER_SECOND = "20", PORT: port = "8080" } = process.env;
const provider = new TracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
});
const tracer = provider.getTracer("chat");
let calls = 0;

/** A request of 115 ms that asked a model, as if it had just ended. */
function call() {
  calls += 1;
  const startMs = Date.now() - 120;
  const server = { kind: SpanKind.SERVER, startTime: startMs };
  const request = tracer.startSpan("POST /chat", server, ROOT_CONTEXT);
  const client = {
    kind: SpanKind.CLIENT,
    startTime: startMs + 5,
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "vllm",
      "gen_ai.request.model": "tiny",
      "gen_ai.usage.input_tokens": 120,
      "gen_ai.usage.output_tokens": 45,
    },
  };
  const chat = tracer.startSpan("chat tiny", client, trace.setSpan(context.active(), request));
  chat.end(startMs + 110);
  request.end(startMs + 115);
}

const timer = setInterval(call, 1000 / Number(CALLS_PER_SECOND));
const server = createServer((_, response) => response.end(`${calls} calls\n`)).listen(port);

process.on("SIGTERM", () => {
  clearInterval(timer);
  server.close();
  void provider.shutdown(); // what waits is sent
});
console.log("open the dashboard at /requests?filter=model:tiny");
