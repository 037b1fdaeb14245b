/**
 * Made-up requests of a small company's models over two days, with one incident worth finding:
 * twenty minutes before the end, llama-3.1-70b on gpu-node-7 queues and slows for ten minutes.
 */
import type { TraceRow } from "@axonize/core/contract/trace";
import { createRandom, type Random } from "./random.ts";

interface ModelSpec {
  readonly model: string;
  readonly engine: string;
  readonly provider: string;
  readonly operation: string;
  readonly service: string;
  readonly weight: number;
  readonly prefillMs: number;
  readonly perTokenMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly errorRatio: number;
  readonly pods: readonly [string, ...string[]];
}

const models: readonly [ModelSpec, ...ModelSpec[]] = [
  {
    model: "llama-3.1-70b",
    engine: "vllm",
    provider: "",
    operation: "chat",
    service: "assistant-api",
    weight: 32,
    prefillMs: 340,
    perTokenMs: 24,
    inputTokens: 1400,
    outputTokens: 260,
    errorRatio: 0.002,
    pods: ["vllm-llama70b-0", "vllm-llama70b-1", "vllm-llama70b-2", "vllm-llama70b-3"],
  },
  {
    model: "qwen3-32b",
    engine: "sglang",
    provider: "",
    operation: "chat",
    service: "assistant-api",
    weight: 24,
    prefillMs: 180,
    perTokenMs: 14,
    inputTokens: 900,
    outputTokens: 310,
    errorRatio: 0.001,
    pods: ["sglang-qwen-0", "sglang-qwen-1"],
  },
  {
    model: "mixtral-8x22b",
    engine: "vllm",
    provider: "",
    operation: "chat",
    service: "summaries",
    weight: 11,
    prefillMs: 260,
    perTokenMs: 19,
    inputTokens: 5200,
    outputTokens: 420,
    errorRatio: 0.019,
    pods: ["vllm-mixtral-0"],
  },
  {
    model: "deepseek-v3",
    engine: "dynamo",
    provider: "",
    operation: "chat",
    service: "code-review",
    weight: 8,
    prefillMs: 300,
    perTokenMs: 11,
    inputTokens: 7400,
    outputTokens: 690,
    errorRatio: 0,
    pods: ["dynamo-decode-0", "dynamo-decode-1"],
  },
  {
    model: "bge-m3",
    engine: "tei",
    provider: "",
    operation: "embeddings",
    service: "search",
    weight: 25,
    prefillMs: 9,
    perTokenMs: 0,
    inputTokens: 380,
    outputTokens: 0,
    errorRatio: 0,
    pods: ["tei-bge-0"],
  },
  {
    model: "gpt-4.1-mini",
    engine: "",
    provider: "openai",
    operation: "chat",
    service: "support-agent",
    weight: 7,
    prefillMs: 420,
    perTokenMs: 12,
    inputTokens: 2100,
    outputTokens: 180,
    errorRatio: 0.006,
    pods: ["support-agent-0"],
  },
];

export interface Call extends TraceRow {
  readonly startMs: number;
}

export interface CallsOptions {
  readonly nowMs: number;
  readonly seed: number;
  readonly count: number;
  readonly spanMs: number;
}

/** Newest first. */
export function makeCalls({ nowMs, seed, count, spanMs }: CallsOptions): readonly Call[] {
  const random = createRandom(seed);
  const calls: Call[] = [];
  for (let i = 0; i < count; i += 1) {
    // Most calls in the last three hours, so that short ranges and their past have something to show.
    const recent = random.next() < 0.85;
    const ageMs = recent ? random.next() * 3 * 3600e3 : random.next() * spanMs;
    calls.push(makeCall(random, nowMs - ageMs, nowMs));
  }
  return calls.sort((a, b) => b.startMs - a.startMs);
}

export function makeCall(random: Random, startMs: number, nowMs: number): Call {
  const spec = pickModel(random);
  const pod = random.pick(spec.pods);
  const incident =
    spec.model === "llama-3.1-70b" &&
    pod.endsWith("3") &&
    nowMs - startMs < 22 * 60e3 &&
    nowMs - startMs > 11 * 60e3;
  const rush =
    spec.model === "llama-3.1-70b" && nowMs - startMs < 22 * 60e3 && nowMs - startMs > 11 * 60e3;
  const queueMs =
    spec.engine === "" ? undefined : random.skewed(incident ? 3200 : rush ? 420 : 12, 0.9);
  const inputTokens = Math.max(1, Math.round(random.skewed(spec.inputTokens, 0.7)));
  const outputTokens =
    spec.outputTokens === 0 ? 0 : Math.max(1, Math.round(random.skewed(spec.outputTokens, 0.6)));
  const slow = incident ? 1.7 : 1;
  const prefillMs = random.skewed(
    spec.prefillMs * slow * Math.sqrt(inputTokens / spec.inputTokens),
    0.25,
  );
  const perTokenMs = spec.perTokenMs * slow * random.between(0.85, 1.25);
  const decodeMs = outputTokens * perTokenMs;
  const failed = random.next() < (incident ? 0.09 : spec.errorRatio);
  const overheadMs = random.skewed(14, 0.8);
  const totalMs =
    (queueMs ?? 0) + prefillMs + (failed ? decodeMs * random.next() : decodeMs) + overheadMs;
  const tells = spec.engine !== "" && spec.engine !== "tei";
  return {
    traceId: random.hex(32),
    name:
      spec.operation === "embeddings"
        ? "POST /v1/embeddings"
        : spec.service === "support-agent"
          ? "agent support"
          : `chat ${spec.model}`,
    startTime: new Date(startMs).toISOString(),
    startMs,
    durationNs: Math.round(totalMs * 1e6),
    status: failed ? "error" : "ok",
    spanCount: spec.service === "support-agent" ? random.int(9, 34) : random.int(3, 9),
    errorCount: failed ? 1 : 0,
    service: spec.service,
    environment: random.next() < 0.92 ? "production" : "staging",
    model: spec.model,
    provider: spec.provider,
    engine: spec.engine,
    operation: spec.operation,
    ttftMs: spec.outputTokens === 0 ? null : (queueMs ?? 0) + prefillMs + (tells ? 0 : overheadMs),
    ttftBasis: spec.outputTokens === 0 ? "none" : tells ? "engine" : "client",
    perTokenMs: spec.outputTokens === 0 ? null : perTokenMs,
    queueMs: tells ? (queueMs ?? null) : null,
    prefillMs: tells ? prefillMs : null,
    decodeMs: tells ? Math.max(0, totalMs - (queueMs ?? 0) - prefillMs - overheadMs) : null,
    tokensPerSecond: spec.outputTokens === 0 ? null : 1000 / perTokenMs,
    inputTokens,
    outputTokens:
      spec.outputTokens === 0 ? null : failed ? Math.round(outputTokens * 0.3) : outputTokens,
    cachedTokens: random.next() < 0.4 ? Math.round(inputTokens * random.between(0.2, 0.8)) : null,
    reasoningTokens: null,
    finishReason: failed ? "error" : random.next() < 0.06 ? "length" : "stop",
    session: random.next() < 0.5 ? `s-${random.hex(6)}` : "",
    user: "",
    namespace: spec.engine === "" ? "support" : "prod",
    pod,
    node:
      spec.engine === ""
        ? ""
        : `gpu-node-${(pod.charCodeAt(pod.length - 1) % 4) + (pod.includes("llama") ? 4 : 1)}`,
    gpus: spec.engine === "" ? [] : [gpuOf(pod)],
    gpuLevel: spec.engine === "" ? "unattributed" : "exact.single",
    marks: [],
  };
}

export function gpuOf(pod: string): string {
  let hash = 2_166_136_261;
  for (const c of pod) hash = Math.imul(hash ^ c.charCodeAt(0), 16_777_619) >>> 0;
  const random = createRandom(hash);
  return `GPU-${random.hex(8)}-${random.hex(4)}-${random.hex(4)}-${random.hex(4)}-${random.hex(12)}`;
}

export const pods: readonly string[] = models
  .filter((m) => m.engine !== "")
  .flatMap((m) => [...m.pods]);

function pickModel(random: Random): ModelSpec {
  const total = models.reduce((sum, m) => sum + m.weight, 0);
  let at = random.next() * total;
  for (const spec of models) {
    at -= spec.weight;
    if (at <= 0) return spec;
  }
  return models[0];
}
