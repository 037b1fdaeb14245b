/**
 * One made-up span with everything that is loaded on demand.
 */
import type { SpanDetail, Trace } from "@axonize/core/contract/trace";

export function makeSpanDetail(trace: Trace, spanId: string): SpanDetail | undefined {
  const c = trace.columns;
  const row = c ? c.spanId.indexOf(spanId) : -1;
  if (!c || row < 0) return undefined;
  const text = (index: number | undefined): string => c.strings[index ?? 0] ?? "";
  const main = trace.principalSpanId === spanId;
  const startMs = Date.parse(trace.startTime) + (c.startUs[row] ?? 0) / 1e3;
  const failed = c.status[row] === 2;
  const parent = c.parent[row] ?? -1;
  return {
    traceId: trace.traceId,
    spanId,
    parentSpanId: parent < 0 ? "" : (c.spanId[parent] ?? ""),
    name: text(c.nameIndex[row]),
    kind:
      (["unspecified", "internal", "server", "client", "producer", "consumer"] as const)[
        c.kind[row] ?? 0
      ] ?? "internal",
    status: failed ? "error" : "ok",
    service: text(c.serviceIndex[row]),
    startTime: new Date(startMs).toISOString(),
    durationNs: (c.durationUs[row] ?? 0) * 1e3,
    model: main ? trace.model : "",
    modelSource: main ? "span" : "none",
    provider: main ? trace.provider : "",
    engine: main ? trace.engine : "",
    operation: text(c.operationIndex[row]),
    ttftMs: main ? trace.ttftMs : null,
    ttftBasis: main ? trace.ttftBasis : "none",
    perTokenMs: main ? trace.perTokenMs : null,
    queueMs: main ? trace.queueMs : null,
    prefillMs: main ? trace.prefillMs : null,
    decodeMs: main ? trace.decodeMs : null,
    tokensPerSecond: main ? trace.tokensPerSecond : null,
    inputTokens: main ? trace.inputTokens : null,
    outputTokens: main ? trace.outputTokens : null,
    cachedTokens: main ? trace.cachedTokens : null,
    reasoningTokens: null,
    finishReason: main ? trace.finishReason : "",
    pod: main ? trace.pod : "",
    namespace: main ? trace.namespace : "",
    node: main ? trace.node : "",
    gpus: main ? trace.gpus : [],
    gpuOrdinals: [],
    gpuLevel: main ? trace.gpuLevel : "unattributed",
    marks: [],
    statusMessage: failed
      ? "EngineDeadError: request aborted after 3 preemptions, KV cache exhausted"
      : "",
    traceState: "",
    scope: {
      name: main ? "vllm.llm_engine" : "opentelemetry.instrumentation.fastapi",
      version: "0.32.0",
    },
    attributes: main
      ? callAttributes(trace)
      : {
          "http.request.method": "POST",
          "http.route": "/v1/chat/completions",
          "http.response.status_code": failed ? 500 : 200,
          "network.peer.address": "10.12.4.31",
        },
    resource: {
      "service.name": text(c.serviceIndex[row]),
      "service.version": "2026.11.3",
      "deployment.environment.name": trace.environment,
      "k8s.pod.name": trace.pod,
      "k8s.namespace.name": trace.namespace,
      "telemetry.sdk.language": "python",
    },
    content: main ? callContent : {},
    capture: "Full",
    events: main
      ? [
          {
            time: new Date(startMs + (trace.queueMs ?? 0)).toISOString(),
            name: "scheduled",
            attributes: { "vllm.batch.running": 31, "vllm.batch.waiting": 12 },
          },
          {
            time: new Date(startMs + (trace.ttftMs ?? 0)).toISOString(),
            name: "first token",
            attributes: {},
          },
          ...(failed
            ? [
                {
                  time: new Date(startMs + trace.durationNs / 1e6).toISOString(),
                  name: "exception",
                  attributes: {
                    "exception.type": "EngineDeadError",
                    "exception.message": "KV cache exhausted",
                  },
                },
              ]
            : []),
        ]
      : [],
    links: [],
    payloadExpired: false,
  };
}

function callAttributes(trace: Trace): Record<string, unknown> {
  return {
    "gen_ai.operation.name": trace.operation,
    "gen_ai.request.model": trace.model,
    "gen_ai.request.max_tokens": 1024,
    "gen_ai.request.temperature": 0.7,
    "gen_ai.request.top_p": 0.95,
    "gen_ai.request.id": `cmpl-${trace.traceId.slice(0, 20)}`,
    "gen_ai.usage.prompt_tokens": trace.inputTokens,
    "gen_ai.usage.completion_tokens": trace.outputTokens,
    "gen_ai.latency.time_in_queue": (trace.queueMs ?? 0) / 1e3,
    "gen_ai.latency.time_to_first_token": (trace.ttftMs ?? 0) / 1e3,
    "gen_ai.latency.time_in_model_prefill": (trace.prefillMs ?? 0) / 1e3,
    "gen_ai.latency.time_in_model_decode": (trace.decodeMs ?? 0) / 1e3,
    "gen_ai.response.finish_reasons": [trace.finishReason],
  };
}

const callContent: Record<string, string> = {
  "gen_ai.input.messages": JSON.stringify([
    {
      role: "system",
      parts: [
        {
          type: "text",
          content: "You answer questions about orders. Be brief and name your sources.",
        },
      ],
    },
    {
      role: "user",
      parts: [
        {
          type: "text",
          content: "Where is my order 4711, and why does tracking say it went back to Rotterdam?",
        },
      ],
    },
  ]),
  "gen_ai.output.messages": JSON.stringify([
    {
      role: "assistant",
      parts: [
        {
          type: "text",
          content:
            "Order 4711 left Rotterdam on Monday, was refused at the local depot because the label was unreadable, and was relabelled on Tuesday. It is due on Thursday before noon.",
        },
      ],
    },
  ]),
};
