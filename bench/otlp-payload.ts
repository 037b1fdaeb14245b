/**
 * OTLP/protobuf requests as LLM fleets send them, for benches: 22 attributes a span, eight spans a
 * trace, random ids, values of the spread that compression meets in practice. Deterministic.
 */
import { encode, keyValues, type Span } from "../ingest/decode/testing/otlp.ts";

const models = ["llama-3.1-70b", "llama-3.1-8b", "qwen3-32b", "mixtral-8x7b"];
const operations = ["chat", "embeddings", "execute_tool", "text_completion"];

export function llmRequest(seed: number, spans: number, nowMs: number): Uint8Array {
  const random = mulberry32(seed + 1);
  const hex = (bytes: number): string =>
    Array.from({ length: bytes }, () =>
      Math.floor(random() * 256)
        .toString(16)
        .padStart(2, "0"),
    ).join("");
  let trace = "";
  let parent = "";
  let traceStartMs = 0;
  const list = Array.from({ length: spans }, (_, i): Span => {
    if (i % 8 === 0) {
      trace = hex(16);
      parent = "";
      traceStartMs = nowMs - 60_000 + Math.floor(random() * 30_000);
    }
    const spanId = hex(8);
    // The calls of one trace follow within seconds; apart by half a minute they would lie in two
    // minutes, and so in two places, in half of all runs.
    const start = BigInt(traceStartMs + Math.floor(random() * 2_000)) * 1_000_000n;
    const durationMs = Math.floor(20 + random() * 4000);
    const span: Span = {
      traceId: trace,
      spanId,
      parentSpanId: parent,
      name: `${operations[i % 4]} ${models[(i >> 3) % 4]}`,
      kind: 3,
      startTimeUnixNano: String(start + BigInt(Math.floor(random() * 1e6))),
      endTimeUnixNano: String(start + BigInt(durationMs) * 1_000_000n),
      attributes: attributesOf(i, seed, random),
      status: { code: i % 50 === 0 ? 2 : 1 },
    };
    if (i % 8 === 0) {
      parent = spanId;
      span.events = [
        {
          timeUnixNano: String(start + 5_000_000n),
          name: "gen_ai.first_token",
          attributes: keyValues({ index: 0, "gen_ai.token.type": "output" }),
        },
      ];
    }
    return span;
  });
  return encode({
    resourceSpans: [
      {
        resource: { attributes: resourceOf(seed) },
        scopeSpans: [
          {
            scope: { name: "opentelemetry.instrumentation.openai", version: "0.62.1" },
            spans: list,
          },
        ],
      },
    ],
  });
}

/** The same spans under ids of their own: making each from scratch would take the longest. */
export function withOtherIds(original: Uint8Array, salt: number): Buffer {
  const body = Buffer.from(original);
  // trace_id (field 1, 16 bytes) followed by span_id (field 2, 8 bytes).
  for (let at = body.indexOf("\x0a\x10", 0, "latin1"); at !== -1;) {
    if (body[at + 18] === 0x12 && body[at + 19] === 0x08) {
      body.writeUInt32LE((body.readUInt32LE(at + 2) ^ salt) >>> 0, at + 2);
      body.writeUInt32LE((body.readUInt32LE(at + 20) ^ salt) >>> 0, at + 20);
    }
    at = body.indexOf("\x0a\x10", at + 2, "latin1");
  }
  return body;
}

function attributesOf(i: number, seed: number, random: () => number) {
  const input = Math.floor(50 + random() * 4000);
  const output = Math.floor(1 + random() * 700);
  return keyValues({
    "gen_ai.operation.name": operations[i % 4],
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": models[(i >> 3) % 4],
    "gen_ai.response.model": models[(i >> 3) % 4],
    "gen_ai.response.id": `chatcmpl-${seed}-${i}-${Math.floor(random() * 1e9).toString(36)}`,
    "server.address": "inference.internal",
    "gpu.uuid": `GPU-${(seed * 7 + i) % 16}e8b6c9d-3a4f-4b2e-9d1c-0a1b2c3d4e5f`,
    "gen_ai.request.max_tokens": 1024,
    "gen_ai.request.temperature": 0.7,
    "gen_ai.request.top_p": 0.95,
    "gen_ai.usage.input_tokens": input,
    "gen_ai.usage.output_tokens": output,
    "gen_ai.usage.cache_read.input_tokens": Math.floor(input * random()),
    "gen_ai.response.time_to_first_chunk": 0.05 + random(),
    "gen_ai.server.time_per_output_token": 0.01 + random() / 50,
    "server.port": 8000,
    "gpu.index": i % 8,
    "gpu.utilization": random(),
    "gpu.memory_used_bytes": Math.floor(random() * 8e10),
    "gpu.memory_total_bytes": 85899345920,
    "gpu.power_watts": 100 + random() * 600,
    "gen_ai.response.finish_reasons": ["stop"],
  });
}

function resourceOf(seed: number) {
  return keyValues({
    "service.name": `assistant-${seed % 4}`,
    "service.version": "1.4.2",
    "service.instance.id": `replica-${seed % 8}`,
    "deployment.environment.name": "production",
    "k8s.pod.name": `assistant-${seed % 8}`,
    "k8s.pod.uid": `0f9d2c1a-58a7-4f0e-9b7e-00000000000${seed % 8}`,
    "k8s.namespace.name": "apps",
    "k8s.node.name": `node-${seed % 4}`,
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
  });
}

/** A small generator with a seed, so that every run has the same bytes. */
export function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
