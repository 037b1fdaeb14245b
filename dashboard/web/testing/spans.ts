/**
 * The spans of one made-up request, and a huge trace for the budgets, in the API's columnar form.
 */
import type { SpanColumns, SpanDetail, Trace } from "@axonize/core/contract/trace";
import type { Call } from "./calls.ts";
import { createRandom } from "./random.ts";

interface Draft {
  readonly name: string;
  readonly service: string;
  readonly operation: string;
  readonly kind: number;
  readonly parent: number;
  readonly startUs: number;
  readonly durationUs: number;
  readonly status?: number;
  readonly principal?: boolean;
}

export function makeTrace(call: Call): Trace & { readonly principalSpanId: string } {
  const drafts = draftSpans(call);
  const columns = toColumns(drafts, call);
  const { startMs: _, ...row } = call;
  return {
    ...row,
    spanCount: drafts.length,
    shownSpanCount: drafts.length,
    principalSpanId:
      columns.spanId[
        Math.max(
          0,
          drafts.findIndex((d) => d.principal),
        )
      ] ?? "",
    peers:
      call.engine === "" ? null : { percentile: percentileOf(call), medianMs: 2100, count: 12_400 },
    resourceGpus: call.gpus.map((uuid) => ({
      uuid,
      name: "NVIDIA H100 80GB HBM3",
      node: call.node,
      level: call.gpuLevel,
      evidence: ["pod-resources", "NVML process"],
    })),
    columns,
  };
}

function percentileOf(call: Call): number {
  return Math.min(99, Math.round(50 + Math.log2(call.durationNs / 2.1e9) * 18));
}

function draftSpans(call: Call): readonly Draft[] {
  const total = call.durationNs / 1e3;
  const queue = (call.queueMs ?? 0) * 1e3;
  const prefill = (call.prefillMs ?? 0) * 1e3;
  const decode = (call.decodeMs ?? 0) * 1e3;
  const failed = call.status === "error" ? 2 : 1;
  const rest = Math.max(0, total - queue - prefill - decode);
  const lead = rest * 0.4;
  const out: Draft[] = [
    {
      name: call.name,
      service: call.service,
      operation: "",
      kind: 2,
      parent: -1,
      startUs: 0,
      durationUs: total,
      status: failed,
    },
    {
      name: "auth and rate limit",
      service: call.service,
      operation: "",
      kind: 1,
      parent: 0,
      startUs: lead * 0.1,
      durationUs: lead * 0.35,
    },
    {
      name: "pick replica",
      service: "router",
      operation: "",
      kind: 3,
      parent: 0,
      startUs: lead * 0.5,
      durationUs: lead * 0.3,
    },
  ];
  if (call.service === "support-agent") return [...out, ...agentSpans(call, total)];
  out.push({
    name: "llm_request",
    service: call.engine === "" ? call.provider : call.pod,
    operation: call.operation,
    kind: 2,
    parent: 0,
    startUs: lead,
    durationUs: total - lead - rest * 0.2,
    status: failed,
    principal: true,
  });
  if (decode > 0) {
    out.push({
      name: "stream to client",
      service: call.service,
      operation: "",
      kind: 3,
      parent: 0,
      startUs: lead + queue + prefill,
      durationUs: total - lead - queue - prefill,
    });
  }
  return out;
}

function agentSpans(call: Call, totalUs: number): readonly Draft[] {
  const random = createRandom(Number.parseInt(call.traceId.slice(0, 7), 16));
  const out: Draft[] = [];
  const steps = 4;
  let at = totalUs * 0.04;
  for (let step = 0; step < steps; step += 1) {
    const length = (totalUs * 0.92) / steps;
    const parent = 3 + out.length;
    out.push({
      name: `step ${step + 1}`,
      service: "support-agent",
      operation: "invoke_agent",
      kind: 1,
      parent: 0,
      startUs: at,
      durationUs: length * 0.97,
    });
    out.push({
      name: "chat gpt-4.1-mini",
      service: "openai",
      operation: "chat",
      kind: 3,
      parent,
      startUs: at + length * 0.02,
      durationUs: length * 0.5,
      principal: step === 0,
    });
    out.push({
      name: random.pick(["search_docs", "lookup_order", "refund_policy"]),
      service: "tools",
      operation: "execute_tool",
      kind: 1,
      parent,
      startUs: at + length * 0.55,
      durationUs: length * 0.22,
      status: step === 2 && call.status === "error" ? 2 : 1,
    });
    out.push({
      name: "embed query",
      service: "search",
      operation: "embeddings",
      kind: 3,
      parent: parent + 2,
      startUs: at + length * 0.57,
      durationUs: length * 0.05,
    });
    at += length;
  }
  return out;
}

/** Sorted by start, parents as rows. */
function toColumns(drafts: readonly Draft[], call: Call): SpanColumns {
  const random = createRandom(Number.parseInt(call.traceId.slice(8, 15), 16));
  const order = drafts
    .map((_, i) => i)
    .sort((a, b) => (drafts[a]?.startUs ?? 0) - (drafts[b]?.startUs ?? 0) || a - b);
  const rowOf = new Map(order.map((draft, row) => [draft, row]));
  const strings: string[] = [""];
  const intern = (text: string): number => {
    const at = strings.indexOf(text);
    return at >= 0 ? at : strings.push(text) - 1;
  };
  const sorted = order.flatMap((i) => drafts[i] ?? []);
  const principal = <T>(value: T) => sorted.map((d) => (d.principal ? value : null));
  const us = (ms: number | null): number | null => (ms === null ? null : ms * 1e3);
  const result: SpanColumns = {
    strings,
    spanId: sorted.map(() => random.hex(16)),
    parent: sorted.map((d) => (d.parent < 0 ? -1 : (rowOf.get(d.parent) ?? -1))),
    orphan: [],
    nameIndex: sorted.map((d) => intern(d.name)),
    serviceIndex: sorted.map((d) => intern(d.service)),
    modelIndex: sorted.map((d) => intern(d.principal ? call.model : "")),
    engineIndex: sorted.map((d) => intern(d.principal ? call.engine : "")),
    operationIndex: sorted.map((d) => intern(d.operation)),
    kind: sorted.map((d) => d.kind),
    status: sorted.map((d) => d.status ?? 1),
    startUs: sorted.map((d) => Math.round(d.startUs)),
    durationUs: sorted.map((d) => Math.round(d.durationUs)),
    ttftUs: principal(us(call.ttftMs)),
    queueUs: principal(us(call.queueMs)),
    prefillUs: principal(us(call.prefillMs)),
    decodeUs: principal(us(call.decodeMs)),
    inputTokens: principal(call.inputTokens),
    outputTokens: principal(call.outputTokens),
    marks: sorted.map(() => 0),
  };
  // The root comes first in its own trace: the API row and the principal agree by index.
  return result;
}

/** A trace of `count` spans, twenty-odd levels deep, with a few errors and model calls. */
export function makeHugeColumns(count: number, seed: number): SpanColumns {
  const random = createRandom(seed);
  const strings = [
    "",
    "workflow",
    "plan",
    "retrieve",
    "tool call",
    "chat llama-3.1-70b",
    "embed",
    "rerank",
    "write",
    "agent",
    "engine",
    "chat",
    "execute_tool",
    "embeddings",
    "llama-3.1-70b",
  ];
  const totalUs = 600e6;
  const starts = new Float64Array(count);
  const durations = new Float64Array(count);
  const parents = new Int32Array(count);
  const depth = new Uint8Array(count);
  starts[0] = 0;
  durations[0] = totalUs;
  parents[0] = -1;
  // Children of random earlier spans that still have room, then sorted by start.
  for (let i = 1; i < count; i += 1) {
    let p =
      random.next() < 0.3
        ? Math.floor(random.next() * Math.min(i, 40))
        : Math.floor(random.next() * i);
    for (let tries = 0; tries < 4 && ((depth[p] ?? 0) > 22 || (durations[p] ?? 0) < 40); tries += 1)
      p = Math.floor(random.next() * i);
    const room = durations[p] ?? 1;
    starts[i] = (starts[p] ?? 0) + random.next() * room * 0.9;
    durations[i] = Math.max(
      5,
      (room - ((starts[i] ?? 0) - (starts[p] ?? 0))) * random.between(0.05, 0.8),
    );
    parents[i] = p;
    depth[i] = (depth[p] ?? 0) + 1;
  }
  const order = Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (starts[a] ?? 0) - (starts[b] ?? 0),
  );
  const rowOf = new Int32Array(count);
  order.forEach((draft, row) => (rowOf[draft] = row));
  const calls = order.map(() => random.next() < 0.06);
  const nulls = order.map(() => null);
  return {
    strings,
    spanId: order.map((_, i) => i.toString(16).padStart(16, "0")),
    parent: order.map((i) => ((parents[i] ?? -1) < 0 ? -1 : (rowOf[parents[i] ?? 0] ?? -1))),
    orphan: [],
    nameIndex: order.map((i, row) => (i === 0 ? 1 : calls[row] ? 5 : 2 + (i % 7))),
    serviceIndex: order.map((i, row) => (calls[row] ? 10 : i % 5 === 0 ? 9 : 1)),
    modelIndex: calls.map((call) => (call ? 14 : 0)),
    engineIndex: order.map(() => 0),
    operationIndex: order.map((i, row) =>
      calls[row] ? 11 : i % 7 === 2 ? 12 : i % 7 === 4 ? 13 : 0,
    ),
    kind: order.map((i) => (i % 4 === 0 ? 3 : 1)),
    status: order.map(() => (random.next() < 0.002 ? 2 : 1)),
    startUs: order.map((i) => Math.round(starts[i] ?? 0)),
    durationUs: order.map((i) => Math.round(durations[i] ?? 0)),
    ttftUs: nulls,
    queueUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.1 : null)),
    prefillUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.25 : null)),
    decodeUs: order.map((i, row) => (calls[row] ? (durations[i] ?? 0) * 0.6 : null)),
    inputTokens: nulls,
    outputTokens: nulls,
    marks: order.map(() => 0),
  };
}

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
