/**
 * The short traces: one HTTP request with one model call or image inside, or one batch step.
 * Agents, which call many times, are in `agents.ts`.
 */
import { chat, embedding, hostedChat } from "./clients.ts";
import { sglang } from "./engines.ts";
import { double, type DemoSpan } from "./otlp.ts";
import { close, fail, leaf, open, personAttributes, type Scene } from "./scene.ts";
import { book, drawTokens } from "./timing.ts";

/** Browser chat: web backend → gateway → vLLM. */
export function chatWeb(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const { "chat-web": web, "llm-gateway": gateway } = scene.world.cluster.cpu;
  const root = httpRequest(scene, web, "POST /api/chat", startMs);
  let atMs = leaf(
    scene,
    web,
    root,
    "GET session",
    "client",
    startMs + 0.6,
    rng.logNormal(0.9, 0.4),
    {
      "db.system.name": "redis",
      "db.operation.name": "GET",
    },
  );
  const proxy = open(scene, gateway, root, "POST /v1/chat/completions", "server", atMs + 1, {
    "http.request.method": "POST",
    "url.path": "/v1/chat/completions",
  });
  atMs = leaf(
    scene,
    gateway,
    proxy,
    "auth.verify_key",
    "internal",
    proxy.startMs + 0.2,
    rng.logNormal(0.5, 0.3),
  );
  atMs = leaf(scene, gateway, proxy, "guardrail.input", "internal", atMs, rng.logNormal(6, 0.4), {
    "guardrail.policy": "pii",
    "guardrail.action": "allow",
  });
  const medians = { input: 650, output: 240 };
  const answer = chat(scene, gateway, proxy, "vllm", atMs, medians, {
    cachedShare: 0.6,
    timeoutMs: 30_000,
  });
  finishRequest(root, proxy, answer, 504);
}

/** The phone app asks a hosted model. */
export function mobile(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["mobile-api"];
  const root = httpRequest(scene, process, "POST /v2/ask", startMs);
  const loadedMs = leaf(
    scene,
    process,
    root,
    "SELECT preferences",
    "client",
    startMs + 0.8,
    rng.logNormal(2.2, 0.5),
    {
      "db.system.name": "postgresql",
      "db.operation.name": "SELECT",
    },
  );
  const model = rng.chance(0.7) ? "gpt-5-mini" : "claude-sonnet-4-5";
  const medians = { input: 420, output: 160 };
  let answer = hostedChat(scene, process, root, model, loadedMs + 0.5, medians);
  if (answer.failed) {
    const again = answer.endMs + rng.logNormal(350, 0.3);
    answer = hostedChat(scene, process, root, "claude-sonnet-4-5", again, medians);
  }
  finishRequest(root, undefined, answer, 502);
}

/** A document service that asks Dynamo's reasoning model. */
export function reasoner(scene: Scene, startMs: number): void {
  const { "llm-gateway": gateway } = scene.world.cluster.cpu;
  const root = httpRequest(scene, gateway, "POST /v1/reason", startMs);
  const answer = chat(
    scene,
    gateway,
    root,
    "dynamo",
    startMs + 2,
    { input: 1100, output: 620 },
    {
      timeoutMs: 120_000,
    },
  );
  finishRequest(root, undefined, answer, 504);
}

export function summarizer(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["doc-summarizer"];
  const root = open(scene, process, undefined, "summarize document", "consumer", startMs, {
    "messaging.system": "kafka",
    "messaging.destination.name": "documents",
    ...personAttributes(scene.person),
  });
  const readMs = leaf(
    scene,
    process,
    root,
    "GetObject",
    "client",
    startMs + 1,
    rng.logNormal(24, 0.5),
    {
      "rpc.system": "aws-api",
      "rpc.method": "GetObject",
    },
  );
  const answer = chat(scene, process, root, "tgi", readMs, { input: 2100, output: 190 }, {});
  close(root, answer.endMs + rng.logNormal(4, 0.4));
}

/** CI asks SGLang about a diff; half of the callers send no trace context, so SGLang begins it. */
export function codeReview(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["code-review"];
  if (rng.chance(0.4)) {
    const own: Scene = { ...scene, traceId: `${"0".repeat(16)}${rng.hex(16)}` };
    const tokens = drawTokens(own, { input: 3200, output: 320 }, { cachedShare: 0.9 });
    sglang(own, undefined, startMs, tokens, rng.chance(0.1) ? "length" : "stop");
    return;
  }
  const root = open(scene, process, undefined, "review pull request", "internal", startMs, {
    "vcs.repository.name": rng.pick(["checkout", "search", "billing", "ios-app"]),
    "vcs.change.id": String(rng.int(2000, 9000)),
  });
  let atMs = leaf(scene, process, root, "git diff", "internal", startMs, rng.logNormal(60, 0.5));
  const files = rng.int(1, 3);
  for (let file = 0; file < files; file++) {
    const answer = chat(
      scene,
      process,
      root,
      "sglang",
      atMs + 2,
      { input: 2400, output: 280 },
      {
        cachedShare: 0.8,
      },
    );
    atMs = answer.endMs;
  }
  close(root, atMs + rng.logNormal(90, 0.4));
}

export function indexer(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const process = scene.world.cluster.cpu["search-indexer"];
  const root = open(scene, process, undefined, "index batch", "consumer", startMs, {
    "messaging.system": "kafka",
    "messaging.batch.message_count": 32,
  });
  let atMs = startMs + 1;
  for (let part = rng.int(2, 5); part > 0; part--) {
    atMs = embedding(scene, process, root, atMs, Math.round(rng.logNormal(3800, 0.4)));
  }
  atMs = leaf(scene, process, root, "upsert kb-articles", "client", atMs, rng.logNormal(18, 0.5), {
    "db.system.name": "qdrant",
    "db.operation.name": "upsert",
  });
  close(root, atMs + 1);
}

/** Stable Diffusion on one GPU through Axonize's SDK: it names its GPU by ordinal. */
export function image(scene: Scene, startMs: number): void {
  const { rng } = scene;
  const studio = scene.world.cluster.cpu["image-studio"];
  const pod = rng.pick(scene.world.cluster.painters);
  const root = httpRequest(scene, studio, "POST /images", startMs);
  const steps = rng.pick([20, 30, 30, 50]);
  const generation = open(scene, pod.process, root, "image-generation", "server", startMs + 2, {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.output.type": "image",
    "ai.model.name": pod.model,
    "ai.model.version": "1.0",
    "axonize.gpu.ordinals": [0],
    "image.width": 1024,
    "image.height": 1024,
    "image.steps": steps,
  });
  let atMs = leaf(
    scene,
    pod.process,
    generation,
    "text_encoder",
    "internal",
    generation.startMs + 1,
    rng.logNormal(21, 0.2),
  );
  const denoise = open(scene, pod.process, generation, "unet.denoise", "internal", atMs, {
    "axonize.gpu.ordinals": [0],
  });
  const stepMs = pod.speed.perTokenMs * rng.logNormal(1, 0.05);
  for (let step = 10; step <= steps; step += 10) {
    denoise.events.push({
      timeMs: atMs + step * stepMs,
      name: "denoise.step",
      attributes: { step, sigma: double(14.6 * (1 - step / steps)) },
    });
  }
  book(pod, atMs, steps * stepMs, 0.93);
  if (rng.chance(0.015)) {
    close(denoise, atMs + steps * stepMs * 0.3);
    fail(denoise, "torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.25 GiB");
    close(generation, denoise.endMs + 3);
    fail(generation, "torch.cuda.OutOfMemoryError", "CUDA out of memory");
    close(root, generation.endMs + 2, { "http.response.status_code": 500 });
    root.status = "error";
    return;
  }
  atMs = close(denoise, atMs + steps * stepMs);
  atMs = leaf(
    scene,
    pod.process,
    generation,
    "vae.decode",
    "internal",
    atMs,
    rng.logNormal(130, 0.1),
    {
      "axonize.gpu.ordinals": [0],
    },
  );
  close(generation, atMs + 1);
  generation.status = "ok";
  atMs = leaf(scene, studio, root, "PutObject", "client", atMs + 2, rng.logNormal(38, 0.4), {
    "rpc.system": "aws-api",
    "rpc.method": "PutObject",
  });
  close(root, atMs + 1, { "http.response.status_code": 200 });
}

export function httpRequest(
  scene: Scene,
  process: DemoSpan["process"],
  name: string,
  startMs: number,
): DemoSpan {
  return open(scene, process, undefined, name, "server", startMs, {
    "http.request.method": name.split(" ")[0] ?? "POST",
    "url.path": name.split(" ")[1] ?? "/",
    ...personAttributes(scene.person),
  });
}

export function finishRequest(
  root: DemoSpan,
  proxy: DemoSpan | undefined,
  answer: { endMs: number; failed: boolean },
  failureStatus: number,
): void {
  const code = { "http.response.status_code": answer.failed ? failureStatus : 200 };
  if (proxy) {
    close(proxy, answer.endMs + 0.6, code);
    if (answer.failed) proxy.status = "error";
  }
  close(root, answer.endMs + 1.8, code);
  if (answer.failed) root.status = "error";
}
