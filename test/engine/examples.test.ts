/**
 * The lessons that need a large engine: vLLM in process (on the CPU, with a tiny model made on the spot)
 * and a randomly initialised diffusers pipeline, each run as a reader runs it against `npm start`.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createApiClient, type ApiClient } from "../e2e/support/api.ts";
import { npmStart, type Started } from "../e2e/support/npm-start.ts";
import { run } from "../e2e/support/run.ts";

const root = join(import.meta.dirname, "../..");
const python = process.env["AXONIZE_TEST_VLLM_PYTHON"] ?? "";
const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
let folder: string;
let axonize: Started;
let api: ApiClient;

before(async () => {
  assert.ok(existsSync(python), "npm run test:engine sets vLLM up and says where it is");
  folder = await mkdtemp(join(tmpdir(), "axonize-lessons-"));
  axonize = await npmStart(join(folder, "data"));
  api = createApiClient(axonize.api);
  for (const part of ["csrc", "src", "setup.py", "pyproject.toml", "README.md", "MANIFEST.in"]) {
    cpSync(join(root, "sdk/python", part), join(folder, "sdk", part), { recursive: true });
  }
  const target = ["--no-deps", "--target", join(folder, "site"), join(folder, "sdk")];
  await run(python, [...pip, ...target], { timeoutMs: 300_000 });
});
after(async () => {
  await axonize?.interrupt();
  await rm(folder, { recursive: true, force: true });
});

async function lesson(file: string, args: readonly string[] = []) {
  const env = {
    PYTHONPATH: join(folder, "site"),
    AXONIZE_ENDPOINT: axonize.otlpGrpc,
    AXONIZE_DASHBOARD: axonize.api,
    VLLM_NO_USAGE_STATS: "1",
    VLLM_CPU_KVCACHE_SPACE: "1",
  };
  const command = [join(root, "examples", file), ...args];
  const output = await run(python, command, { timeoutMs: 600_000, env }).catch((error: unknown) => {
    throw new Error(`the product said:\n${axonize.printed()}`, { cause: error });
  });
  const traceId = /^open \S+\/requests\/([0-9a-f]{32})$/m.exec(output)?.[1];
  assert.ok(traceId, output);
  return await api.trace(traceId, { format: "rows" });
}

test("vllm_integration.py: the engine's call below the request, with the engine's own times", async () => {
  const model = join(folder, "tiny-llama");
  await run(python, [join(import.meta.dirname, "make_model.py"), model], { timeoutMs: 300_000 });
  const flags = ["--model", model, "--load-format", "dummy", "--dtype", "float32"];
  const trace = await lesson("vllm_integration.py", [
    ...flags,
    "--max-model-len",
    "256",
    "--enforce-eager",
    // Of the machine's memory, also on the CPU.
    "--gpu-memory-utilization",
    "0.3",
  ]);
  assert.equal(trace.name, "POST /generate");
  const call = trace.spans?.find(({ name }) => name.startsWith("text_completion"));
  const request = trace.spans?.find(({ name }) => name === "POST /generate");
  assert.ok(call && request);
  assert.equal(call.parentSpanId, request.spanId);
  assert.equal(trace.provider, "vllm");
  assert.equal(trace.outputTokens, 16);
  assert.ok((trace.inputTokens ?? 0) > 3);
  assert.ok(trace.ttftMs !== null && trace.ttftMs > 0);
});

test("diffusers_integration.py: one span for the picture, an event for each of its steps", async () => {
  await run(python, [...pip, "diffusers"], { timeoutMs: 300_000 });
  const trace = await lesson("diffusers_integration.py");
  assert.equal(trace.name, "POST /image");
  const picture = trace.spans?.find(({ name }) => name.startsWith("image_generation"));
  assert.ok(picture, trace.spans?.map(({ name }) => name).join());
  const { events, attributes } = await api.span(trace.traceId, picture.spanId);
  assert.equal(attributes["axonize.diffusion.num_inference_steps"], 8);
  assert.deepEqual(
    events.map(({ name, attributes }) => [name, attributes["index"]]),
    Array.from({ length: 8 }, (_, step) => ["step", step]),
  );
});
