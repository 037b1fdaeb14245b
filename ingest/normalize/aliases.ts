/**
 * Which attribute means what: one row per key, with its unit, where it was measured and which engine
 * it betrays. Rows of one field are in the order of precedence: the first that is present and sane
 * counts. Sources are named per group; semantics that differ between engines are in `engines.ts`.
 *
 * OTel gen_ai 1.41 and before, vLLM 0.32, SGLang, TensorRT-LLM, TGI, llm-d, Dynamo, OpenLIT,
 * OpenLLMetry, OpenInference, Langfuse, Vercel AI SDK, Claude Code, SigNoz and our own names.
 */
export type Field =
  | "ttft"
  | "itl"
  | "queue"
  | "prefill"
  | "decode"
  | "kvTransfer"
  | "e2e"
  | "inputTokens"
  | "outputTokens"
  | "cachedTokens"
  | "reasoningTokens"
  | "model"
  | "provider"
  | "operation"
  | "finish"
  | "errorType"
  | "session"
  | "user"
  | "gpuOrdinals"
  | "gpuUuid"
  | "gpuLevel"
  | "evidence";

/**
 * s, ms: a duration. count: a whole number. perSecond: a rate whose inverse is the duration.
 * rust: text of Rust's Debug for a duration ("1.23s"), or seconds. iso: a moment, possibly in quotes.
 * label: text of few values. id: text of many. ints: numbers or a list of them. none: only evidence.
 */
export type Unit =
  | "s"
  | "ms"
  | "count"
  | "perSecond"
  | "rust"
  | "iso"
  | "label"
  | "id"
  | "ints"
  | "none";

export type Basis = "client" | "gateway" | "engine";

export interface Alias {
  readonly key: string;
  readonly field: Field;
  readonly unit: Unit;
  /** Where a TTFT of this key is measured, unless the span's engine says otherwise. */
  readonly basis?: Basis;
  /** The engine that alone writes this key. */
  readonly engine?: string;
}

const row = (
  field: Field,
  unit: Unit,
  keys: readonly string[],
  more: { basis?: Basis; engine?: string } = {},
): Alias[] => keys.map((key) => ({ key, field, unit, ...more }));

export const aliases: readonly Alias[] = [
  // Time to first token. The engines' own first, then what a proxy saw, then clients.
  ...row("ttft", "s", ["gen_ai.latency.time_to_first_token"], { basis: "engine" }),
  ...row("ttft", "ms", ["llm_d.pd_proxy.true_ttft_ms"], { basis: "gateway", engine: "llm-d" }),
  ...row("ttft", "s", ["gen_ai.response.time_to_first_chunk"], { basis: "client" }),
  // OpenLIT puts the metric's name on its client spans; SigNoz reads the second.
  ...row("ttft", "s", ["gen_ai.server.time_to_first_token", "gen_ai.server.ttft"], {
    basis: "client",
  }),
  // Vercel AI SDK 7 puts the metric's name on its spans.
  ...row("ttft", "s", ["gen_ai.client.operation.time_to_first_chunk"], { basis: "client" }),
  ...row("ttft", "ms", ["ai.llm.ttft_ms"], { basis: "client" }),
  ...row("ttft", "ms", ["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"], {
    basis: "client",
  }),
  // Dynamo's engine.generate, and Claude Code: the engine decides the basis.
  ...row("ttft", "ms", ["ttft_ms"], { basis: "client" }),
  ...row("ttft", "iso", ["langfuse.observation.completion_start_time"], { basis: "client" }),

  ...row("itl", "s", ["gen_ai.server.time_per_output_token"]),
  ...row("itl", "rust", ["time_per_token"], { engine: "tgi" }),
  ...row("itl", "perSecond", ["ai.llm.tokens_per_second"]),

  ...row("queue", "s", ["gen_ai.latency.time_in_queue"]),
  ...row("queue", "rust", ["queue_time"]),
  ...row("prefill", "s", ["gen_ai.latency.time_in_model_prefill"]),
  ...row("prefill", "ms", ["llm_d.pd_proxy.prefill.duration_ms"], { engine: "llm-d" }),
  ...row("decode", "s", ["gen_ai.latency.time_in_model_decode"]),
  ...row("decode", "ms", ["llm_d.pd_proxy.decode.duration_ms"], { engine: "llm-d" }),
  ...row("kvTransfer", "s", ["gen_ai.latency.kv_cache_transfer_time"], { engine: "tensorrt-llm" }),
  ...row("e2e", "s", ["gen_ai.latency.e2e"]),
  ...row("e2e", "ms", ["llm_d.pd_proxy.total_duration_ms"], { engine: "llm-d" }),

  ...row("inputTokens", "count", [
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
    "ai.llm.tokens.input",
    "input_tokens",
  ]),
  ...row("outputTokens", "count", [
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.usage.completion_tokens",
    "llm.token_count.completion",
    "ai.llm.tokens.output",
    "output_tokens",
  ]),
  ...row("cachedTokens", "count", [
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.input_cached_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "llm.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
    "ai.usage.cachedInputTokens",
  ]),
  ...row("reasoningTokens", "count", [
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
    "ai.usage.reasoningTokens",
  ]),

  ...row("model", "label", [
    "gen_ai.response.model",
    "gen_ai.request.model",
    "llm.response.model",
    "llm.request.model",
    "llm.model_name",
    "embedding.model_name",
    "reranker.model_name",
    "ai.model.name",
    "langfuse.observation.model.name",
    "ai.response.model",
    "ai.model.id",
    "model",
  ]),
  ...row("provider", "label", [
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "llm.system",
    "ai.model.provider",
  ]),
  ...row("operation", "label", [
    "gen_ai.operation.name",
    "openinference.span.kind",
    "llm.request.type",
    "traceloop.span.kind",
    "langfuse.observation.type",
    "ai.operationId",
  ]),
  ...row("finish", "label", [
    "gen_ai.response.finish_reasons",
    "gen_ai.response.finish_reason",
    "llm.response.finish_reason",
    "gen_ai.completion.0.finish_reason",
    "ai.response.finishReason",
    "finish_reason",
  ]),
  ...row("errorType", "label", ["error.type"]),
  ...row("session", "id", [
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
  ]),
  ...row("user", "id", [
    "user.id",
    "enduser.id",
    "langfuse.user.id",
    "traceloop.association.properties.user_id",
    "ai.telemetry.metadata.userId",
  ]),

  ...row("gpuOrdinals", "ints", ["axonize.gpu.ordinals", "gpu.index"]),
  ...row("gpuUuid", "label", ["gpu.uuid"]),
  ...row("gpuLevel", "label", ["axonize.gpu.level"]),

  // Keys that only say who speaks.
  ...row("evidence", "none", ["bootstrap_room", "thread_label"], { engine: "sglang" }),
  ...row("evidence", "none", ["disagg_role"], { engine: "dynamo" }),
  ...row("evidence", "none", ["validation_time"], { engine: "tgi" }),
  ...row(
    "evidence",
    "none",
    [
      "llm_d.epp.pd.disaggregation_used",
      "llm_d.epp.pd.prefill_pod_address",
      "llm_d.profile_handler.decision",
      "llm_d.pd_proxy.connector",
      "llm_d.pd_proxy.kv_connector",
      "llm_d.pd_proxy.prefill_target",
      "llm_d.pd_proxy.concurrent_pd",
    ],
    { engine: "llm-d" },
  ),
];

const rows = new Map(aliases.map(({ key }, index) => [key, index]));

/** Row of a key in `aliases`; undefined where it means nothing to us. */
export function aliasOfKey(key: string): number | undefined {
  return rows.get(key);
}

/** Values of the operation keys that are not gen_ai's own words, in lower case. */
export const operationWords: ReadonlyMap<string, string> = new Map([
  // OpenInference span kinds.
  ["llm", "chat"],
  ["embedding", "embeddings"],
  ["tool", "execute_tool"],
  ["agent", "invoke_agent"],
  ["retriever", "retrieval"],
  ["reranker", "rerank"],
  ["chain", "invoke_workflow"],
  ["guardrail", "guardrail"],
  ["evaluator", "evaluate"],
  ["prompt", ""],
  ["unknown", ""],
  // OpenLLMetry: llm.request.type and traceloop.span.kind.
  ["completion", "text_completion"],
  ["rerank", "rerank"],
  ["workflow", "invoke_workflow"],
  ["task", ""],
  // Langfuse observation types.
  ["generation", "chat"],
  ["span", ""],
  ["event", ""],
  // Vercel AI SDK: the outer spans repeat what their inner calls report.
  ["ai.generatetext", "invoke_agent"],
  ["ai.streamtext", "invoke_agent"],
  ["ai.generateobject", "invoke_agent"],
  ["ai.streamobject", "invoke_agent"],
  ["ai.generatetext.dogenerate", "chat"],
  ["ai.streamtext.dostream", "chat"],
  ["ai.generateobject.dogenerate", "chat"],
  ["ai.streamobject.dostream", "chat"],
  ["ai.embed", "invoke_workflow"],
  ["ai.embedmany", "invoke_workflow"],
  ["ai.embed.doembed", "embeddings"],
  ["ai.embedmany.doembed", "embeddings"],
  ["ai.toolcall", "execute_tool"],
  ["agent_step", "invoke_workflow"],
]);
