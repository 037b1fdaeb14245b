/**
 * What is particular to an engine: how it is recognised, what its TTFT is measured from, and where
 * the same key means something else (vLLM and SGLang share `gen_ai.latency.*`).
 *
 * - vLLM: queue = QUEUED → last SCHEDULED, so a preempted request shows its last wait only; prefill
 *   begins when scheduled.
 * - SGLang: prefill begins at dispatch and includes the queue.
 * - Dynamo: its spans come from the engine's side of the router.
 */
import type { Basis } from "./aliases.ts";

export interface Engine {
  readonly name: string;
  /** Basis of a TTFT that this engine's spans carry, whatever the key. */
  readonly basis: Basis | undefined;
  /** Its prefill includes the time in the queue. */
  readonly prefillHasQueue: boolean;
  /** Instrumentation scopes that start like this are its own. */
  readonly scopes: readonly string[];
  /** Resource attributes that start like this are its own. */
  readonly resourceKeys: readonly string[];
  /** Names of spans that are one inference request each. */
  readonly requestSpans: readonly string[];
}

const engine = (name: string, rest: Partial<Omit<Engine, "name">>): Engine => ({
  name,
  basis: "engine",
  prefillHasQueue: false,
  scopes: [],
  resourceKeys: [],
  requestSpans: [],
  ...rest,
});

export const engines: readonly Engine[] = [
  engine("vllm", { scopes: ["vllm"], resourceKeys: ["vllm."], requestSpans: ["llm_request"] }),
  engine("sglang", { scopes: ["sglang"], prefillHasQueue: true }),
  engine("tensorrt-llm", { scopes: ["tensorrt_llm", "trtllm"], requestSpans: ["llm_request"] }),
  engine("tgi", {
    scopes: ["text-generation", "text_generation"],
    requestSpans: ["generate", "generate_stream"],
  }),
  engine("llm-d", { basis: "gateway", scopes: ["llm-d", "llm_d"] }),
  engine("dynamo", { scopes: ["dynamo"], requestSpans: ["engine.generate"] }),
  engine("nim", { scopes: ["nim_", "nim."] }),
  engine("triton", { scopes: ["triton"] }),
  engine("ollama", {}),
  engine("lmdeploy", {}),
];

const byName = new Map(engines.map((each) => [each.name, each]));

export function engineOf(name: string): Engine | undefined {
  return byName.get(name);
}

/** The engine whose scope or resource key this is, by its beginning; empty for none. */
export function engineOfScope(scope: string): string {
  const word = scope.toLowerCase();
  return engines.find(({ scopes }) => scopes.some((each) => word.startsWith(each)))?.name ?? "";
}
export function engineOfResourceKey(key: string): string {
  return (
    engines.find(({ resourceKeys }) => resourceKeys.some((each) => key.startsWith(each)))?.name ??
    ""
  );
}

/**
 * A service's name is its owner's choice: it only tells apart engines that write the same keys, and
 * only for spans that carry them.
 */
export function engineOfService(service: string): string {
  const word = service.toLowerCase();
  for (const [part, name] of serviceWords) if (word.includes(part)) return name;
  return "";
}
const serviceWords: readonly (readonly [string, string])[] = [
  ["sglang", "sglang"],
  ["tensorrt", "tensorrt-llm"],
  ["trtllm", "tensorrt-llm"],
  ["text-generation-inference", "tgi"],
  ["dynamo", "dynamo"],
  ["nim", "nim"],
  ["vllm", "vllm"],
];

export type StageField = "queue" | "prefill" | "decode" | "kvTransfer";

/** SGLang's stages are spans of their own: name → the phase that the span's duration is. */
export const sglangStages: ReadonlyMap<string, StageField> = new Map([
  ["prefill_waiting", "queue"],
  ["prefill_forward", "prefill"],
  ["chunked_prefill", "prefill"],
  ["decode_forward", "decode"],
  ["decode_loop", "decode"],
  ["prefill_transfer_kv_cache", "kvTransfer"],
] as const);
