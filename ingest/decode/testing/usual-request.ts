/**
 * Requests as instrumentations send them: a few kinds of spans, each with its keys in one order and
 * values of one type, and now and then a span that breaks it. For comparing the kernel, which takes
 * usual spans, with the general way.
 */
import { nowNs, requestOf, span } from "./decode.ts";
import { keyValues, type Request, type Span } from "./otlp.ts";

const keys = [
  "gen_ai.request.model",
  "gen_ai.response.model",
  "gen_ai.system",
  "gen_ai.provider.name",
  "gen_ai.operation.name",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "gen_ai.response.finish_reasons",
  "gen_ai.prompt.0.content",
  "gen_ai.completion.0.finish_reason",
  "gen_ai.latency.time_to_first_token",
  "gen_ai.latency.time_in_queue",
  "gen_ai.latency.time_in_model_prefill",
  "gen_ai.latency.e2e",
  "openinference.span.kind",
  "langfuse.observation.completion_start_time",
  "llm_d.pd_proxy.connector",
  "llm_d.pd_proxy.true_ttft_ms",
  "time_per_token",
  "ai.llm.tokens_per_second",
  "ttft_ms",
  "gpu.uuid",
  "gpu.index",
  "axonize.gpu.ordinals",
  "axonize.gpu.level",
  "session.id",
  "user.id",
  "error.type",
  "ai.model.provider",
  "",
  "é",
  ...[1, 15, 16, 119, 126, 127, 128].map((length) => "x".repeat(length)),
];
const words = ["vllm", "sglang", "dynamo", "LLM", "chat", "openai.chat", "ž", ""];

interface Shape {
  readonly name: string;
  readonly attributes: readonly (readonly [key: string, value: () => unknown])[];
}

interface Chance {
  readonly upTo: (n: number) => number;
  readonly some: <T>(list: readonly T[], otherwise: T) => T;
  readonly rarely: (percent: number) => boolean;
  readonly hex: (bytes: number) => string;
}

function chanceOf(random: () => number): Chance {
  const upTo = (n: number): number => Math.floor(random() * n);
  return {
    upTo,
    some: (list, otherwise) => list[upTo(list.length)] ?? otherwise,
    rarely: (percent) => random() * 100 < percent,
    hex: (bytes) =>
      Array.from({ length: bytes }, () => upTo(256).toString(16).padStart(2, "0")).join(""),
  };
}

interface Values {
  /** What fits the key, of one type. */
  of(key: string): () => unknown;
  /** What seldom fits. */
  odd(): unknown;
}

function valuesOf(random: () => number, { upTo, some }: Chance): Values {
  const numbers = [
    () => upTo(300),
    () => upTo(2 ** 20),
    () => upTo(2 ** 31) * upTo(2 ** 18),
    () => -upTo(9),
    () => random(),
    () => random() * 100,
  ];
  const texts = [() => "text ".repeat(upTo(60)), () => "ž".repeat(upTo(9)), () => `u${upTo(1e6)}`];
  const odd: readonly (() => unknown)[] = [
    ...numbers,
    ...texts,
    () => 2n ** 62n,
    () => -(2n ** 63n),
    () => random() < 0.5,
    () => ["1.5s", "12", "2026-01-01T00:00:00.5Z"][upTo(3)],
    () => [["stop"], ["length", "x"], [1, 2], []][upTo(4)],
    () => ({ a: 1, b: ["c"] }),
    () => "s".repeat(70_000),
  ];
  return {
    odd: () => some(odd, () => 0)(),
    of: (key) => {
      if (/reasons/.test(key)) return () => some([["stop"], ["length"]], ["stop"]);
      if (/ordinals/.test(key)) return some([() => [1, 2], () => [upTo(3)], () => []], () => []);
      if (/content|session|user/.test(key)) return some(texts, () => "");
      if (/token|latency|ttft|index|time/.test(key)) return some(numbers, () => 0);
      if (/model|system|provider|name|kind|uuid|level|error|reason$|connector/.test(key)) {
        return some([() => `v${upTo(5)}`, () => some(words, "")], () => "");
      }
      return some([...numbers, ...texts, () => random() < 0.5], () => 0);
    },
  };
}

export function usualRequests(random: () => number): { next(): Request } {
  const chance = chanceOf(random);
  const { upTo, some, rarely, hex } = chance;
  const values = valuesOf(random, chance);
  const shape = (): Shape => ({
    name: some(["llm_request", "chat", "decode_loop", "prefill_waiting", "tool é"], ""),
    attributes: [...new Set(Array.from({ length: 2 + upTo(20) }, () => some(keys, "")))].map(
      (key) => [key, values.of(key)] as const,
    ),
  });
  const usual = (shapes: readonly Shape[]): Span => {
    const { name, attributes } = some(shapes, shape());
    const kept = attributes.filter(() => random() < 0.997);
    const startNs = nowNs + BigInt(upTo(3e9) * (1 + upTo(1000)));
    const made: Span = {
      ...span(),
      traceId: rarely(0.3) ? "00" : hex(16),
      spanId: hex(8),
      parentSpanId: rarely(50) ? hex(8) : "",
      name: rarely(0.5) ? "x".repeat(600) : name,
      kind: upTo(6),
      startTimeUnixNano: String(rarely(0.5) ? nowNs - BigInt(upTo(9e13)) : startNs),
      endTimeUnixNano: String(
        rarely(2) ? 0 : startNs + BigInt(upTo(5e9)) - (rarely(2) ? 6n ** 12n : 0n),
      ),
      attributes: kept.flatMap(([key, value]) =>
        keyValues({ [key]: rarely(0.3) ? values.odd() : value() }),
      ),
      status: { code: upTo(3), message: rarely(5) ? "bad thing é" : "" },
    };
    if (rarely(1)) made.attributes?.push(...(made.attributes.slice(0, 1) ?? []));
    if (rarely(30)) made.flags = 257;
    if (rarely(3)) made.traceState = "a=b";
    if (rarely(3)) made.droppedAttributesCount = upTo(200);
    if (rarely(1)) made.links = [{ traceId: hex(16), spanId: hex(8) }];
    if (rarely(20)) made.events = Array.from({ length: 1 + upTo(2) }, () => event(startNs));
    return made;
  };
  const event = (atNs: bigint) => ({
    timeUnixNano: String(atNs),
    name: some(["first", "gen_ai.first_token", "ž", "gen_ai.user.message"], ""),
    attributes: keyValues({
      index: upTo(1e6),
      text: some(["a", 'b"\\\n', "é", "c".repeat(200)], ""),
      ...(random() < 0.1 ? { double: random(), list: [1] } : {}),
      ...(random() < 0.5 ? { flag: random() < 0.5 } : {}),
    }),
  });
  let shapes: readonly Shape[] = [];
  let requests = 0;
  return {
    next: () => {
      if (requests++ % 150 === 0) shapes = [shape(), shape(), shape()];
      const groups = Array.from({ length: 1 + upTo(3) }, () => {
        const resource = {
          "service.name": some(["svc", "sglang-1", "my-dynamo"], ""),
          ...(random() < 0.5 ? { "axonize.gpu.uuids": ["GPU-a", "GPU-b"] } : {}),
          ...(random() < 0.5 ? { "gen_ai.request.model": "served" } : {}),
        };
        const spans = Array.from({ length: 1 + upTo(24) }, () => usual(shapes));
        return requestOf(spans, { resource, scope: some(["vllm", "sglang", "x"], "") });
      });
      return { resourceSpans: groups.flatMap(({ resourceSpans }) => resourceSpans ?? []) };
    },
  };
}
