/**
 * Calls as their callers see them: OpenTelemetry's current `gen_ai.*` names on CLIENT spans, with
 * time to first chunk, for our own engines and for hosted providers that we cannot look into.
 */
import * as engines from "./engines.ts";
import { double, type Attributes, type DemoSpan, type Process } from "./otlp.ts";
import { close, fail, open, personAttributes, type Scene } from "./scene.ts";
import { conversation } from "./texts.ts";
import { drawTokens, type Tokens } from "./timing.ts";

export interface ChatOptions {
  /** Where the answer goes next. */
  finish?: engines.Finish;
  /** How long the caller waits before it gives up. */
  timeoutMs?: number;
  cachedShare?: number;
}

export interface Answer {
  readonly span: DemoSpan;
  readonly endMs: number;
  readonly failed: boolean;
}

type Engine = "vllm" | "sglang" | "dynamo" | "tgi";

/** A streaming chat on one of the cluster's own engines. */
export function chat(
  scene: Scene,
  process: Process,
  parent: DemoSpan,
  engine: Engine,
  startMs: number,
  medians: { input: number; output: number },
  options: ChatOptions = {},
): Answer {
  const { rng } = scene;
  const finish = options.finish ?? "stop";
  const model = modelOf(scene, engine);
  const tokens = drawTokens(scene, medians, { cachedShare: options.cachedShare ?? 0 });
  const span = open(scene, process, parent, `chat ${model}`, "client", startMs, {
    ...request("chat", engine, model),
    "server.address": `${engine}.serving.svc.cluster.local`,
    "server.port": engine === "sglang" ? 30_000 : 8000,
    ...personAttributes(scene.person),
    "gen_ai.conversation.id": scene.person.session,
  });
  const networkMs = rng.logNormal(1.1, 0.4);
  const { timing } = serveOn(scene, engine, span, startMs + networkMs, tokens, finish);
  const endMs = timing.endMs + networkMs;
  const timeoutMs = options.timeoutMs ?? 60_000;
  if (endMs - startMs > timeoutMs) {
    close(span, startMs + timeoutMs);
    fail(span, "timeout", `no complete answer within ${timeoutMs / 1000} s`);
    return { span, endMs: span.endMs, failed: true };
  }
  close(span, endMs, {
    "gen_ai.response.model": model,
    "gen_ai.response.id": `chatcmpl-${rng.hex(24)}`,
    "gen_ai.response.finish_reasons": [finish],
    "gen_ai.response.time_to_first_chunk": double((timing.ttftMs + 2 * networkMs) / 1000),
    "gen_ai.usage.input_tokens": tokens.input,
    "gen_ai.usage.output_tokens": tokens.output,
    ...(tokens.cached > 0 ? { "gen_ai.usage.cache_read.input_tokens": tokens.cached } : {}),
    ...(rng.chance(0.5) ? conversation(rng) : {}),
  });
  return { span, endMs, failed: false };
}

function serveOn(
  scene: Scene,
  engine: Engine,
  span: DemoSpan,
  startMs: number,
  tokens: Tokens,
  finish: engines.Finish,
): engines.Call {
  switch (engine) {
    case "vllm":
      return engines.vllm(scene, span, startMs, tokens);
    case "sglang":
      return engines.sglang(scene, span, startMs, tokens, finish);
    case "dynamo":
      return engines.dynamo(scene, span, startMs, tokens);
    case "tgi":
      return engines.tgi(scene, span, startMs, tokens);
  }
}

function modelOf(scene: Scene, engine: Engine): string {
  const { cluster } = scene.world;
  const pods = {
    vllm: cluster.vllm[0],
    sglang: cluster.sglang,
    dynamo: cluster.dynamoDecode,
    tgi: cluster.tgi,
  };
  return pods[engine].model;
}

const request = (operation: string, provider: string, model: string): Attributes => ({
  "gen_ai.operation.name": operation,
  "gen_ai.provider.name": provider,
  "gen_ai.request.model": model,
  "gen_ai.request.stream": true,
  "gen_ai.request.temperature": double(0.7),
  "gen_ai.request.max_tokens": 2048,
});

const hosted = {
  "gpt-5-mini": { provider: "openai", host: "api.openai.com", firstMs: 420, perTokenMs: 9 },
  "gpt-5": { provider: "openai", host: "api.openai.com", firstMs: 1150, perTokenMs: 14 },
  "claude-sonnet-4-5": {
    provider: "anthropic",
    host: "api.anthropic.com",
    firstMs: 780,
    perTokenMs: 13,
  },
} as const;
export type HostedModel = keyof typeof hosted;

/** A chat with a provider's model: the client's span is all there is. About 2 % are refused. */
export function hostedChat(
  scene: Scene,
  process: Process,
  parent: DemoSpan,
  model: HostedModel,
  startMs: number,
  medians: { input: number; output: number },
  options: ChatOptions = {},
): Answer {
  const { rng } = scene;
  const { provider, host, firstMs, perTokenMs } = hosted[model];
  const span = open(scene, process, parent, `chat ${model}`, "client", startMs, {
    ...request("chat", provider, model),
    "server.address": host,
    "server.port": 443,
    ...personAttributes(scene.person),
    "gen_ai.conversation.id": scene.person.session,
  });
  if (rng.chance(0.02)) {
    close(span, startMs + rng.logNormal(160, 0.4));
    fail(span, "429", `Error code: 429 - rate limit reached for ${model}`);
    return { span, endMs: span.endMs, failed: true };
  }
  const tokens = drawTokens(scene, medians, { cachedShare: 0.8 });
  const reasoning = model === "gpt-5" ? Math.round(rng.logNormal(380, 0.7)) : 0;
  const ttftMs = rng.logNormal(firstMs, 0.35) + reasoning * perTokenMs;
  const endMs = startMs + ttftMs + tokens.output * perTokenMs * rng.logNormal(1, 0.15);
  const finish = options.finish ?? "stop";
  close(span, endMs, {
    "gen_ai.response.model": `${model}-2026-08-07`,
    "gen_ai.response.id": `resp_${rng.hex(24)}`,
    "gen_ai.response.finish_reasons": [finish],
    "gen_ai.response.time_to_first_chunk": double(ttftMs / 1000),
    "gen_ai.usage.input_tokens": tokens.input,
    "gen_ai.usage.output_tokens": tokens.output + reasoning,
    "gen_ai.usage.cache_read.input_tokens": tokens.cached,
    ...(reasoning > 0 ? { "gen_ai.usage.reasoning.output_tokens": reasoning } : {}),
    ...(rng.chance(0.4) ? conversation(rng) : {}),
  });
  return { span, endMs, failed: false };
}

/** An embedding call from its client, with the server's span inside. Returns its end. */
export function embedding(
  scene: Scene,
  process: Process,
  parent: DemoSpan,
  startMs: number,
  inputTokens: number,
): number {
  const { embedder } = scene.world.cluster;
  const span = open(scene, process, parent, `embeddings ${embedder.model}`, "client", startMs, {
    "gen_ai.operation.name": "embeddings",
    "gen_ai.provider.name": "huggingface",
    "gen_ai.request.model": embedder.model,
    "gen_ai.usage.input_tokens": inputTokens,
    "server.address": "tei.search.svc.cluster.local",
  });
  const { timing } = engines.embed(scene, span, startMs + 0.8, inputTokens);
  return close(span, timing.endMs + 0.8);
}
