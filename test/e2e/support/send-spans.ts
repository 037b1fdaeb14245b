/**
 * Sends the end-to-end test's calls with OpenTelemetry's SDK for Node: the same as send_spans.py makes
 * in Python, by any of the three transports. Resolves when the receiver has acknowledged them.
 */
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider, type SpanExporter } from "@opentelemetry/sdk-trace";

export interface SentCall {
  traceId: string;
  rootId: string;
  chatId: string;
  failed: boolean;
}

export type NodeProtocol = "grpc" | "http/protobuf" | "http/json";

export async function sendWithNode(
  protocol: NodeProtocol,
  endpoint: string,
  service: string,
  attributes: Readonly<Record<string, string | string[]>> = {
    "k8s.pod.name": `${service}-0`,
    "k8s.namespace.name": "e2e",
  },
  ordinals: readonly number[] = [],
): Promise<SentCall[]> {
  const inner = exporterFor(protocol, endpoint);
  let problem: Error | undefined;
  const exporter: SpanExporter = {
    export: (spans, done) => {
      inner.export(spans, (result) => {
        problem ??= result.error;
        done(result);
      });
    },
    shutdown: async () => await inner.shutdown(),
  };
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": service,
      "deployment.environment.name": "test",
      ...attributes,
    }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const nowMs = Date.now() - 3000;
  const sent = [
    call(provider, service, nowMs, false, ordinals),
    call(provider, service, nowMs + 1500, true, ordinals),
  ];
  await provider.forceFlush();
  await provider.shutdown();
  if (problem) throw problem;
  return sent;
}

function exporterFor(protocol: NodeProtocol, endpoint: string): SpanExporter {
  if (protocol === "grpc") return new GrpcExporter({ url: `http://${endpoint}` });
  const url = `${endpoint}/v1/traces`;
  return protocol === "http/json" ? new JsonExporter({ url }) : new ProtobufExporter({ url });
}

function call(
  provider: TracerProvider,
  service: string,
  startMs: number,
  failed: boolean,
  ordinals: readonly number[],
): SentCall {
  const tracer = provider.getTracer("axonize.e2e", "1.0.0");
  const root = tracer.startSpan(
    "POST /chat",
    { kind: SpanKind.SERVER, startTime: startMs },
    ROOT_CONTEXT,
  );
  const chat = tracer.startSpan(
    `chat ${service}-model`,
    {
      kind: SpanKind.CLIENT,
      startTime: startMs + 10,
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": `${service}-model`,
        "gen_ai.request.stream": true,
        "session.id": `${service}-session`,
        "user.id": `${service}-user`,
      },
    },
    trace.setSpan(context.active(), root),
  );
  if (ordinals.length > 0) chat.setAttribute("axonize.gpu.ordinals", [...ordinals]);
  if (failed) {
    const error = new Error("the model did not answer");
    error.name = "TimeoutError";
    chat.recordException(error, startMs + 900);
    chat.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    chat.setAttribute("error.type", error.name);
    root.setStatus({ code: SpanStatusCode.ERROR });
  } else {
    chat.addEvent("first_token", { index: 0, text: "naïve ✓" }, startMs + 260);
    chat.setAttributes({
      "gen_ai.response.time_to_first_chunk": 0.25,
      "gen_ai.usage.input_tokens": 120,
      "gen_ai.usage.output_tokens": 45,
      "gen_ai.usage.cache_read.input_tokens": 16,
      "gen_ai.response.finish_reasons": ["stop"],
    });
    chat.setStatus({ code: SpanStatusCode.OK });
  }
  chat.end(startMs + 910);
  root.end(startMs + 1000);
  const { traceId, spanId } = root.spanContext();
  return { traceId, rootId: spanId, chatId: chat.spanContext().spanId, failed };
}
