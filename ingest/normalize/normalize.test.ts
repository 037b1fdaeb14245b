/**
 * What each engine and SDK sends, and what becomes of it. Every case names its source; the shapes
 * are hand-made from those sources, vLLM's is also replayed as recorded (`vllm-recorded.test.ts`).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, nowNs, requestOf, span } from "../decode/testing/decode.ts";
import { keyValues } from "../decode/testing/otlp.ts";

interface Case {
  from: string;
  name?: string;
  scope?: string;
  resource?: Record<string, unknown>;
  attributes: Record<string, unknown>;
  expect: Record<string, unknown>;
}

const s = 1_000_000_000n;
const ms = 1_000_000n;

const cases: readonly Case[] = [
  {
    from: "vLLM 0.32, vllm/tracing and v1/engine/output_processor.py",
    name: "llm_request",
    scope: "vllm.tracing.otel",
    resource: { "service.name": "x", "vllm.process_id": "7" },
    attributes: {
      "gen_ai.latency.time_to_first_token": 0.5,
      "gen_ai.latency.e2e": 2.5,
      "gen_ai.latency.time_in_queue": 0.125,
      "gen_ai.latency.time_in_model_prefill": 0.25,
      "gen_ai.latency.time_in_model_decode": 2,
      "gen_ai.usage.prompt_tokens": 35,
      "gen_ai.usage.completion_tokens": 5,
      "gen_ai.request.id": "chatcmpl-1",
    },
    expect: {
      engine: "vllm",
      provider: "vllm",
      operation: "text_completion",
      model: "",
      model_source: 0,
      ttft_ns: s / 2n,
      ttft_basis: 3,
      queue_ns: 125n * ms,
      prefill_ns: 250n * ms,
      decode_ns: 2n * s,
      itl_ns: 500n * ms,
      input_tokens: 35,
      output_tokens: 5,
    },
  },
  {
    from: "SGLang, srt/observability/trace.py: prefill includes the queue",
    name: " Req 1a2b3c4d",
    scope: "sglang server",
    attributes: {
      rid: "1a2b3c4d5e",
      module: "sglang::request",
      "gen_ai.latency.time_to_first_token": 0.75,
      "gen_ai.latency.time_in_queue": 0.25,
      "gen_ai.latency.time_in_model_prefill": 0.625,
      "gen_ai.usage.cached_tokens": 16,
      "gen_ai.usage.prompt_tokens": 64,
      "gen_ai.response.finish_reasons": ["stop", "length"],
    },
    expect: {
      engine: "sglang",
      ttft_basis: 3,
      ttft_ns: 750n * ms,
      queue_ns: 250n * ms,
      prefill_ns: 375n * ms,
      cached_tokens: 16,
      input_tokens: 64,
      finish_reason: "stop",
    },
  },
  {
    from: "SGLang: prefill without a queue says nothing",
    scope: "sglang server",
    attributes: { "gen_ai.latency.time_in_model_prefill": 0.625 },
    expect: { engine: "sglang", prefill_ns: null, queue_ns: null },
  },
  {
    from: "SGLang stage span",
    name: "prefill_waiting",
    scope: "sglang server",
    attributes: {},
    expect: { engine: "sglang", queue_ns: 2n * s, operation: "", ttft_ns: null },
  },
  {
    from: "SGLang KV transfer stage",
    name: "prefill_transfer_kv_cache",
    scope: "sglang server",
    attributes: {},
    expect: { kv_transfer_ns: 2n * s, queue_ns: null },
  },
  {
    from: "TensorRT-LLM PR #5897",
    name: "llm_request",
    attributes: {
      "gen_ai.latency.time_to_first_token": 0.5,
      "gen_ai.latency.kv_cache_transfer_time": 0.0625,
    },
    expect: {
      engine: "tensorrt-llm",
      ttft_basis: 3,
      kv_transfer_ns: 62_500_000n,
      operation: "text_completion",
    },
  },
  {
    from: "TGI: Rust Debug durations",
    name: "generate_stream",
    resource: { "service.name": "text-generation-inference.router" },
    attributes: {
      total_time: "1.23s",
      validation_time: "1.5ms",
      queue_time: "45.6ms",
      inference_time: "1.1s",
      time_per_token: "789µs",
    },
    expect: {
      engine: "tgi",
      queue_ns: 45_600_000n,
      itl_ns: 789_000n,
      ttft_ns: null,
      ttft_basis: 0,
      operation: "text_completion",
    },
  },
  {
    from: "llm-d pd-proxy: milliseconds, gateway basis",
    name: "llm_d.pd_proxy.request",
    attributes: {
      "llm_d.pd_proxy.true_ttft_ms": 120.5,
      "llm_d.pd_proxy.prefill.duration_ms": 80,
      "llm_d.pd_proxy.decode.duration_ms": 900,
      "gen_ai.request.model": "llama",
    },
    expect: {
      engine: "llm-d",
      ttft_basis: 2,
      ttft_ns: 120_500_000n,
      prefill_ns: 80n * ms,
      decode_ns: 900n * ms,
      model: "llama",
    },
  },
  {
    from: "Dynamo PR #9543: engine.generate",
    name: "engine.generate",
    attributes: {
      disagg_role: "decode",
      model: "qwen3",
      input_tokens: 10,
      output_tokens: 21,
      ttft_ms: 500.0001,
      finish_reason: "stop",
    },
    expect: {
      engine: "dynamo",
      model: "qwen3",
      ttft_basis: 3,
      ttft_ns: 500_000_100n,
      input_tokens: 10,
      output_tokens: 21,
      finish_reason: "stop",
    },
  },
  {
    from: "Claude Code: the same ttft_ms, seen by a client",
    attributes: { ttft_ms: 300, model: "claude", input_tokens: 1 },
    expect: { engine: "", ttft_basis: 1, ttft_ns: 300n * ms, model: "claude" },
  },
  {
    from: "NIM LLM 2: vLLM's spans under its own service name",
    name: "llm_request",
    scope: "vllm.llm_engine",
    resource: { "service.name": "nim-llm" },
    attributes: { "gen_ai.latency.time_to_first_token": 0.25, "gen_ai.response.model": "m" },
    expect: { engine: "vllm", ttft_basis: 3, model: "m", model_source: 1 },
  },
  {
    from: "OpenLIT SDK",
    name: "chat gpt",
    scope: "openlit.otel.tracing",
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.system": "openai",
      "gen_ai.request.model": "gpt",
      "gen_ai.response.model": "gpt-2026",
      "gen_ai.server.time_to_first_token": 0.5,
      "gen_ai.server.time_per_output_token": 0.0625,
    },
    expect: {
      engine: "",
      provider: "openai",
      model: "gpt-2026",
      ttft_basis: 1,
      itl_ns: 62_500_000n,
      operation: "chat",
    },
  },
  {
    from: "OpenLLMetry 0.62",
    scope: "opentelemetry.instrumentation.openai.v1",
    attributes: {
      "llm.request.type": "completion",
      "gen_ai.system": "OpenAI",
      "gen_ai.usage.prompt_tokens": 3,
      "gen_ai.usage.completion_tokens": 4,
      "gen_ai.usage.cache_read_input_tokens": 2,
      "gen_ai.completion.0.finish_reason": "length",
    },
    expect: {
      operation: "text_completion",
      provider: "OpenAI",
      input_tokens: 3,
      output_tokens: 4,
      cached_tokens: 2,
      finish_reason: "length",
    },
  },
  {
    from: "OpenInference (Phoenix)",
    scope: "openinference.instrumentation.openai",
    attributes: {
      "openinference.span.kind": "LLM",
      "llm.model_name": "gpt",
      "llm.provider": "azure",
      "llm.system": "openai",
      "llm.token_count.prompt": 8,
      "llm.token_count.completion": 9,
      "llm.token_count.prompt_details.cache_read": 4,
      "llm.token_count.completion_details.reasoning": 5,
      "session.id": "se",
      "user.id": "us",
    },
    expect: {
      operation: "chat",
      model: "gpt",
      provider: "azure",
      input_tokens: 8,
      output_tokens: 9,
      cached_tokens: 4,
      reasoning_tokens: 5,
      session: "se",
      user: "us",
    },
  },
  {
    from: "Langfuse SDK: a moment in quotes",
    scope: "langfuse-sdk",
    attributes: {
      "langfuse.observation.type": "generation",
      "langfuse.observation.model.name": "gpt",
      "langfuse.observation.completion_start_time": '"2026-01-01T00:00:00.750Z"',
      "langfuse.session.id": "ls",
    },
    expect: {
      operation: "chat",
      model: "gpt",
      ttft_basis: 1,
      ttft_ns: 750n * ms,
      session: "ls",
    },
  },
  {
    from: "Vercel AI SDK",
    name: "ai.streamText.doStream",
    scope: "ai",
    attributes: {
      "ai.operationId": "ai.streamText.doStream",
      "ai.model.id": "gpt",
      "ai.model.provider": "openai.chat",
      "ai.response.msToFirstChunk": 412.5,
      "ai.response.finishReason": "stop",
    },
    expect: {
      operation: "chat",
      provider: "openai",
      model: "gpt",
      ttft_ns: 412_500_000n,
      ttft_basis: 1,
      finish_reason: "stop",
    },
  },
  {
    from: "OTel gen_ai 1.41",
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "mistral_ai",
      "gen_ai.system": "ignored",
      "gen_ai.request.model": "m",
      "gen_ai.usage.input_tokens": 100,
      "gen_ai.usage.cache_read.input_tokens": 60,
      "gen_ai.usage.output_tokens": 11,
      "gen_ai.usage.reasoning.output_tokens": 6,
      "gen_ai.response.time_to_first_chunk": 1,
      "gen_ai.conversation.id": "c",
      "enduser.id": "e",
    },
    expect: {
      provider: "mistral_ai",
      input_tokens: 100,
      cached_tokens: 60,
      output_tokens: 11,
      reasoning_tokens: 6,
      itl_ns: 100n * ms,
      session: "c",
      user: "e",
    },
  },
  {
    from: "our own names (design §10)",
    attributes: {
      "ai.model.name": "llama-3-70b",
      "ai.llm.ttft_ms": 250,
      "ai.llm.tokens_per_second": 50,
      "ai.llm.tokens.input": 128,
      "ai.llm.tokens.output": 1,
      "gpu.uuid": "GPU-1",
      "gpu.index": 2,
    },
    expect: {
      model: "llama-3-70b",
      ttft_ns: 250n * ms,
      ttft_basis: 1,
      itl_ns: 20n * ms,
      input_tokens: 128,
      output_tokens: 1,
      gpu_devices: ["GPU-1"],
      gpu_ordinals: [2],
      gpu_level: "exact.sdk",
    },
  },
  {
    from: "values that cannot be true are not there",
    attributes: {
      "gen_ai.latency.time_to_first_token": -1,
      "gen_ai.response.time_to_first_chunk": NaN,
      "gen_ai.latency.time_in_queue": 1e12,
      "gen_ai.usage.input_tokens": -5,
      "gen_ai.usage.prompt_tokens": 7,
      "gen_ai.usage.output_tokens": "12",
      ttft_ms: 0,
    },
    expect: {
      ttft_ns: null,
      ttft_basis: 0,
      queue_ns: null,
      input_tokens: 7,
      output_tokens: 12,
      itl_ns: null,
    },
  },
  {
    from: "a model of the instance, for its calls",
    resource: { "service.name": "x", "gen_ai.request.model": "served" },
    attributes: { "gen_ai.operation.name": "chat" },
    expect: { model: "served", model_source: 3 },
  },
  {
    from: "a provider that is an engine",
    attributes: { "gen_ai.system": "Ollama", "gen_ai.operation.name": "chat" },
    expect: { engine: "ollama", provider: "Ollama" },
  },
];

for (const { from, name, scope, resource, attributes, expect } of cases) {
  test(`normalises ${from}`, () => {
    const { spans } = decode(
      requestOf([span({ name: name ?? "s", attributes: keyValues(attributes) })], {
        ...(scope === undefined ? {} : { scope }),
        ...(resource === undefined ? {} : { resource }),
      }),
    );
    const [row] = spans;
    assert.ok(row);
    assert.equal(row["start"], nowNs);
    for (const [column, value] of Object.entries(expect)) {
      assert.deepEqual(row[column], value, column);
    }
  });
}
