/**
 * Random trace requests from a seed, and mutations of their bytes, for property tests and fuzzing.
 */
import { nowNs, span } from "./decode.ts";
import type { AnyValue, Request } from "./otlp.ts";

export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function randomRequest(random: () => number): Request {
  const upTo = (n: number): number => Math.floor(random() * n);
  const hex = (count: number): string =>
    Array.from({ length: count }, () => (1 + upTo(255)).toString(16).padStart(2, "0")).join("");
  const alphabet = ["a", "Ž", "€", "🐎", '"', "\\", "\n", " ", "x".repeat(40)];
  const text = (): string => Array.from({ length: upTo(12) }, () => alphabet[upTo(9)]).join("");
  const value = (depth: number): AnyValue => {
    const kind = upTo(depth > 2 ? 4 : 7);
    if (kind === 0) return { stringValue: text() };
    if (kind === 1) return { intValue: upTo(2) === 0 ? upTo(1000) : -upTo(2 ** 40) };
    if (kind === 2) return { doubleValue: random() - 0.5 };
    if (kind === 3) return { boolValue: upTo(2) === 0 };
    if (kind === 4) return { bytesValue: Buffer.from(text()).toString("base64") };
    if (kind === 5)
      return { arrayValue: { values: Array.from({ length: upTo(4) }, () => value(depth + 1)) } };
    return {
      kvlistValue: {
        values: Array.from({ length: upTo(4) }, (_, i) => ({
          key: `n${i}`,
          value: value(depth + 1),
        })),
      },
    };
  };
  const keys = [
    "gen_ai.request.model",
    "gen_ai.usage.input_tokens",
    "ttft_ms",
    "user.id",
    "x",
    "y.z",
    "gpu.index",
  ];
  const attributes = () =>
    keys
      .filter(() => upTo(2) === 0)
      .map((key) => ({ key: upTo(3) === 0 ? `${key}${upTo(5)}` : key, value: value(0) }));
  return {
    resourceSpans: Array.from({ length: 1 + upTo(3) }, () => ({
      resource: { attributes: attributes() },
      scopeSpans: Array.from({ length: upTo(3) }, () => ({
        scope: { name: text(), version: text() },
        spans: Array.from({ length: upTo(6) }, () =>
          span({
            traceId: hex(16),
            spanId: hex(8),
            parentSpanId: upTo(2) === 0 ? hex(8) : "",
            name: text(),
            kind: upTo(6),
            startTimeUnixNano: String(nowNs - BigInt(upTo(1e9))),
            attributes: attributes(),
            events: [{ timeUnixNano: "5", name: text(), attributes: attributes() }],
            links: [{ traceId: hex(16), spanId: hex(8), attributes: attributes() }],
            status: { code: upTo(3), message: text() },
          }),
        ),
      })),
    })),
  };
}

/** Flips, cuts, repeats or overwrites bytes. */
export function mutate(body: Uint8Array, random: () => number): Uint8Array {
  const upTo = (n: number): number => Math.floor(random() * n);
  const copy = Buffer.from(body);
  for (let i = 0; i <= upTo(4); i += 1) copy[upTo(copy.length)] = upTo(256);
  if (upTo(3) === 0) return copy.subarray(0, upTo(copy.length));
  if (upTo(3) === 0) return Buffer.concat([copy, copy.subarray(upTo(copy.length))]);
  return copy;
}
