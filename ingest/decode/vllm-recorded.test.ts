/** A recorded run of vLLM 0.32 (41 streaming calls), its times as they were. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodeBytes } from "./testing/decode.ts";

const folder = join(import.meta.dirname, "../../test/fixtures/vllm-0.32.0-cpu");
const body = readFileSync(join(folder, "spans.otlp.json"));
const first = /"startTimeUnixNano":"(\d+)"/.exec(body.toString())?.[1] ?? "0";

test("every recorded vLLM call has its phases, basis and tokens, and the sums are the engine's own", () => {
  const { result, spans } = decodeBytes(body, {
    json: true,
    context: { receivedMs: Number(BigInt(first) / 1_000_000n) + 3_600_000 },
  });
  assert.ok(result.ok);
  assert.equal(result.rejected, 0);
  const calls = spans.filter(({ name }) => name === "llm_request");
  assert.equal(calls.length, 41);
  for (const call of calls) {
    assert.equal(call["engine"], "vllm");
    assert.equal(call["ttft_basis"], 3);
    assert.notEqual(call["parent_span_id"], "0000000000000000");
    for (const phase of ["ttft_ns", "queue_ns", "prefill_ns", "decode_ns", "itl_ns"]) {
      assert.equal(typeof call[phase], "bigint", phase);
    }
  }
  const sum = (column: string) => calls.reduce((total, call) => total + Number(call[column]), 0);
  const counters = readFileSync(join(folder, "metrics.prom.txt"), "utf8");
  const counter = (name: string) =>
    Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)`, "m").exec(counters)?.[1]);
  assert.equal(sum("input_tokens"), counter("vllm:prompt_tokens_total"));
  assert.equal(sum("output_tokens"), counter("vllm:generation_tokens_total"));
});
