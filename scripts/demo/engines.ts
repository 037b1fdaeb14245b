/**
 * What each inference engine writes about one request, in its own vocabulary: vLLM's latency keys
 * in seconds, SGLang's chain of stage spans, Dynamo's `ttft_ms`, TGI's Rust durations as text.
 *
 * Names, units and oddities follow the engines (SGLang's leading space, TGI's "45.6ms", vLLM's
 * missing model); see ingest/normalize for how they are read.
 */
import type { Pod } from "./cluster.ts";
import { double, type Attributes, type DemoSpan } from "./otlp.ts";
import { close, leaf, open, type Scene } from "./scene.ts";
import { serve, type Timing, type Tokens } from "./timing.ts";

export type Finish = "stop" | "length" | "tool_calls";

export interface Call {
  readonly timing: Timing;
  readonly tokens: Tokens;
}

const seconds = (ms: number) => double(ms / 1000);

/** Service (load-balanced, round robin) in front of the two 70B pods. */
export function vllm(scene: Scene, parent: DemoSpan, startMs: number, tokens: Tokens): Call {
  const pod = scene.rng.pick(scene.world.cluster.vllm);
  const timing = serve(scene, pod, startMs, tokens);
  const { queueMs, prefillMs, decodeMs, ttftMs } = timing;
  const span = open(scene, pod.process, parent, "llm_request", "server", startMs, {
    "gen_ai.latency.time_to_first_token": seconds(ttftMs),
    "gen_ai.latency.e2e": seconds(timing.endMs - startMs),
    "gen_ai.latency.time_in_queue": seconds(queueMs),
    "gen_ai.usage.prompt_tokens": tokens.input,
    "gen_ai.usage.completion_tokens": tokens.output,
    "gen_ai.latency.time_in_model_prefill": seconds(prefillMs),
    "gen_ai.latency.time_in_model_decode": seconds(decodeMs),
    "gen_ai.latency.time_in_model_inference": seconds(prefillMs + decodeMs),
    "gen_ai.request.id": `chatcmpl-${scene.rng.hex(16)}`,
    "gen_ai.request.top_p": double(1),
    "gen_ai.request.max_tokens": 2048,
    "gen_ai.request.temperature": double(scene.rng.pick([0, 0.2, 0.7, 1])),
    "gen_ai.request.n": 1,
  });
  close(span, timing.endMs);
  return { timing, tokens };
}

/** `parent` undefined: SGLang began the trace itself, with a 64-bit id. */
export function sglang(
  scene: Scene,
  parent: DemoSpan | undefined,
  startMs: number,
  tokens: Tokens,
  finish: Finish,
): Call {
  const pod = scene.world.cluster.sglang;
  const timing = serve(scene, pod, startMs, tokens);
  const { rng } = scene;
  const rid = rng.hex(32);
  const root = open(scene, pod.process, parent, ` Req ${rid.slice(0, 8)}`, "server", startMs, {
    rid,
    module: "sglang::request",
    bootstrap_room: "0x0",
  });
  const host = pod.uid.slice(0, 4);
  const thread = (label: string, rank: number, pid: number, fromMs: number, toMs: number) => {
    const rankText = label === "Scheduler" ? ` [TP ${rank}]` : "";
    const name = `${label}${rankText} (host:${host} | pid:${pid})`;
    const attributes: Attributes = { thread_label: label, host_id: host, pid, tp_rank: rank };
    const span = open(scene, pod.process, root, name, "internal", fromMs, attributes);
    close(span, toMs);
    return span;
  };
  const firstTokenMs = startMs + timing.ttftMs;
  const prefillAtMs = firstTokenMs - timing.prefillMs;
  // What is neither queue nor prefill before the first token: tokenising, then taking it up.
  const beforeMs = prefillAtMs - timing.queueMs - startMs;
  const tokenizedMs = startMs + 0.7 * beforeMs;
  const queuedMs = startMs + beforeMs;
  const tokenizer = thread("Tokenizer", 0, 171, startMs, timing.endMs);
  stage(scene, pod, tokenizer, undefined, "tokenize", startMs, tokenizedMs);
  for (const rank of [0, 1]) {
    const scheduler = thread("Scheduler", rank, 305 + rank, tokenizedMs, timing.endMs);
    const chain: readonly [string, number, number][] = [
      ["request_process", tokenizedMs, queuedMs],
      ["prefill_waiting", queuedMs, prefillAtMs],
      ["prefill_forward", prefillAtMs, firstTokenMs],
      ["decode_loop", firstTokenMs, timing.endMs],
    ];
    let before: DemoSpan | undefined;
    for (const [name, fromMs, toMs] of chain) {
      before = stage(scene, pod, scheduler, before, name, fromMs, toMs);
    }
  }
  close(root, timing.endMs, {
    "gen_ai.request.id": rid,
    "gen_ai.response.model": pod.model,
    "gen_ai.response.finish_reasons": [finish === "tool_calls" ? "stop" : finish],
    "gen_ai.usage.prompt_tokens": tokens.input,
    "gen_ai.usage.completion_tokens": tokens.output,
    "gen_ai.usage.cached_tokens": tokens.cached,
    "gen_ai.latency.time_in_queue": seconds(timing.queueMs),
    "gen_ai.latency.time_to_first_token": seconds(timing.ttftMs),
    "gen_ai.latency.e2e": seconds(timing.endMs - startMs),
    "gen_ai.latency.time_in_model_prefill": seconds(timing.queueMs + timing.prefillMs),
    "gen_ai.latency.time_in_model_decode": seconds(timing.decodeMs),
  });
  return { timing, tokens };
}

/** One SGLang stage, chained to the one before by a link. */
function stage(
  scene: Scene,
  pod: Pod,
  parent: DemoSpan,
  before: DemoSpan | undefined,
  name: string,
  fromMs: number,
  toMs: number,
): DemoSpan {
  const span = open(scene, pod.process, parent, name, "internal", fromMs);
  close(span, Math.max(fromMs, toMs));
  if (before) span.links.push({ traceId: before.traceId, spanId: before.spanId });
  return span;
}

/** Disaggregated: prefill on one GPU, KV transfer, decode on another. */
export function dynamo(scene: Scene, parent: DemoSpan, startMs: number, tokens: Tokens): Call {
  const { dynamoPrefill, dynamoDecode } = scene.world.cluster;
  const { rng } = scene;
  const prefill = serve(scene, dynamoPrefill, startMs + 4, { ...tokens, output: 1 });
  const transferMs = rng.logNormal(14, 0.4);
  const decode = serve(scene, dynamoDecode, prefill.endMs + transferMs, {
    ...tokens,
    cached: tokens.input,
  });
  const timing: Timing = {
    startMs,
    queueMs: prefill.queueMs,
    prefillMs: prefill.prefillMs,
    decodeMs: decode.decodeMs,
    ttftMs: prefill.endMs + transferMs + decode.ttftMs - startMs,
    endMs: decode.endMs,
  };
  const frontend = dynamoPrefill.process;
  const common: Attributes = { x_request_id: rng.uuid(), model: dynamoDecode.model };
  const request = open(scene, frontend, parent, "http-request", "server", startMs, {
    method: "POST",
    uri: "/v1/chat/completions",
    version: "HTTP/1.1",
    ...common,
  });
  const router = open(scene, frontend, request, "router.route_request", "internal", startMs + 0.5);
  for (const [pod, role, part] of [
    [dynamoPrefill, "prefill", prefill],
    [dynamoDecode, "decode", decode],
  ] as const) {
    const handle = open(scene, pod.process, router, "handle_payload", "server", part.startMs - 1, {
      component: role,
      endpoint: "generate",
      ...common,
    });
    const isDecode = role === "decode";
    const generate = open(scene, pod.process, handle, "engine.generate", "internal", part.startMs, {
      disagg_role: role,
      ...common,
      input_tokens: tokens.input,
      output_tokens: isDecode ? tokens.output : 1,
      ...(isDecode ? { ttft_ms: double(timing.ttftMs), finish_reason: "stop" } : {}),
    });
    close(generate, part.endMs);
    close(handle, part.endMs + 0.6);
  }
  close(router, decode.endMs + 1);
  close(request, decode.endMs + 2);
  return { timing, tokens };
}

export function tgi(scene: Scene, parent: DemoSpan, startMs: number, tokens: Tokens): Call {
  const pod = scene.world.cluster.tgi;
  const timing = serve(scene, pod, startMs, tokens);
  const { rng } = scene;
  const inferMs = timing.prefillMs + timing.decodeMs;
  const rust: Attributes = { "code.namespace": "text_generation_router::server", "thread.id": 7 };
  const request = open(scene, pod.process, parent, "generate_stream", "server", startMs, {
    ...rust,
    parameters: `GenerateParameters { best_of: None, temperature: Some(0.3), max_new_tokens: Some(1024), details: true, seed: None }`,
    total_time: rustDuration(timing.endMs - startMs),
    validation_time: rustDuration(rng.logNormal(0.7, 0.3)),
    queue_time: rustDuration(timing.queueMs),
    inference_time: rustDuration(inferMs),
    time_per_token: rustDuration(inferMs / Math.max(1, tokens.output)),
    seed: `Some(${rng.int(1, 2 ** 31)})`,
  });
  const queuedAtMs = startMs + 1;
  leaf(scene, pod.process, request, "queued", "internal", queuedAtMs, timing.queueMs, rust);
  const infer = open(
    scene,
    pod.process,
    request,
    "infer",
    "internal",
    queuedAtMs + timing.queueMs,
    rust,
  );
  leaf(
    scene,
    pod.process,
    infer,
    "batch",
    "internal",
    infer.startMs + 0.1,
    Math.max(0.1, timing.endMs - infer.startMs - 0.2),
    { ...rust, batch_size: rng.int(1, 6) },
  );
  close(infer, Math.max(infer.startMs, timing.endMs));
  close(request, timing.endMs);
  return { timing, tokens };
}

/** Rust's Debug form of a Duration. */
export function rustDuration(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(9).replace(/0+$/, "")}s`.replace(".s", ".0s");
  if (ms >= 1) return `${ms.toFixed(6)}ms`;
  return `${(ms * 1000).toFixed(3)}µs`;
}

/** An embedding or reranking server: one pass, no tokens out. */
export function embed(
  scene: Scene,
  parent: DemoSpan,
  startMs: number,
  input: number,
  pod: Pod = scene.world.cluster.embedder,
): Call {
  const tokens = { input, output: 0, cached: 0 };
  const timing = serve(scene, pod, startMs, tokens);
  const span = open(scene, pod.process, parent, `embeddings ${pod.model}`, "server", startMs, {
    "gen_ai.operation.name": "embeddings",
    "gen_ai.provider.name": "huggingface",
    "gen_ai.request.model": pod.model,
    "gen_ai.usage.input_tokens": input,
    "gen_ai.embeddings.dimension.count": 1024,
  });
  close(span, timing.endMs);
  return { timing, tokens };
}
