/** The pages' own arithmetic: why, what changed, live rows, fleet, limits, content, snippets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import type { TraceRow } from "@axonize/core/contract/trace";
import { overview } from "../testing/answers.ts";
import { makeCalls } from "../testing/calls.ts";
import { makeGpus } from "../testing/gpus.ts";
import {
  cellState,
  countText,
  filterFleet,
  funnelOf,
  groupFleet,
  hatchText,
  metricValue,
} from "./fleet/fleet.ts";
import { changeOf, whatChanged } from "./overview/what-changed.ts";
import { parseConversation, valueText } from "./request/content.ts";
import { rankedCall, whyNoPhases, whyParts, whySentence } from "./request/why.ts";
import {
  joinRows,
  maxLiveRows,
  mergeNewest,
  nextSort,
  sortFromUrl,
  sortToUrl,
} from "./requests/rows.ts";
import { parseLimit, printLimit } from "./settings/limits.ts";
import { arrivalFrom, mergeArrivals } from "./start/arrivals.ts";
import { snippets } from "./start/snippets.ts";

const nowMs = Date.UTC(2026, 10, 25, 14, 12, 11);

test("the why-line sums to the whole, and says other for what no phase explains", () => {
  const parts = whyParts({ durationNs: 7.2e9, queueMs: 3400, prefillMs: 2200, decodeMs: 1100 });
  assert.deepEqual(
    parts.map((p) => p.phase),
    ["queue", "prefill", "decode", "other"],
  );
  assert.ok(Math.abs(parts.reduce((sum, p) => sum + p.share, 0) - 1) < 1e-9);
  assert.match(whySentence(parts), /queue/);
  assert.deepEqual(
    whyParts({ durationNs: 1e9, queueMs: null, prefillMs: null, decodeMs: null }),
    [],
  );
  const over = whyParts({ durationNs: 1e9, queueMs: 600, prefillMs: 600, decodeMs: null });
  assert.deepEqual(
    over.map((p) => p.share),
    [0.5, 0.5],
  );
});

test("a call without phases says who could tell them: a caller sees none, whatever engine answered it", () => {
  const say = (engine: string, byCaller: boolean) =>
    whyNoPhases({ isCall: true, byCaller, engine });
  assert.match(say("vllm", false), /^This source does not report queue, prefill and decode\. vLLM/);
  assert.match(
    say("vllm", true),
    /^Only the caller told of this call, .* The vLLM server tells them/,
  );
  assert.match(
    say("", true),
    /^Only the caller told .* A server of yours \(vLLM, SGLang, Dynamo\)/,
  );
  assert.doesNotMatch(say("ollama", true), /ollama/);
  assert.match(whyNoPhases({ isCall: false, byCaller: false, engine: "" }), /^No model call/);
});

test("the ranked call is named where it is not the whole of the trace", () => {
  assert.equal(rankedCall(11.4e9, 1_240), "its model call of 1.24\u2009s: ");
  assert.equal(rankedCall(1.2401e9, 1_240), "");
});

test("the incident in the made-up data is what changed most", () => {
  const calls = makeCalls({ nowMs, seed: 20_261, count: 14_000, spanMs: 2 * 86_400e3 });
  const answer = overview(calls, new URLSearchParams(), { fromMs: nowMs - 3600e3, toMs: nowMs }, 0);
  const [first] = whatChanged(answer, 8);
  assert.equal(first?.value, "llama-3.1-70b");
  assert.equal(first?.measure, "ttftP95");
  assert.equal(first?.worse, true);
  const llama = answer.byModel.find(({ value }) => value === "llama-3.1-70b");
  assert.ok(llama && answer.byModel.every((group) => changeOf(group) <= changeOf(llama)));
});

test("twice the traffic of everything is not a finding of every model", () => {
  const calls = makeCalls({ nowMs, seed: 4, count: 4_000, spanMs: 3 * 3600e3 });
  const thinned = calls.filter((call, i) => call.startMs > nowMs - 1800e3 || i % 2 === 0);
  const answer = overview(
    thinned,
    new URLSearchParams("engine=sglang&engine=tei"),
    { fromMs: nowMs - 1800e3, toMs: nowMs },
    0,
  );
  assert.deepEqual(
    whatChanged(answer, 8).filter((f) => f.measure === "calls"),
    [],
  );
});

const row = (id: number, spanCount = 3): TraceRow => {
  const [made] = makeCalls({ nowMs, seed: id, count: 1, spanMs: 1 });
  assert.ok(made);
  const { startMs: _startMs, ...rest } = made;
  return {
    ...rest,
    traceId: String(id).padStart(32, "0"),
    startTime: new Date(nowMs + id).toISOString(),
    spanCount,
  };
};
const newest = { key: "startTime", order: "desc" } as const;

test("new rows go on top once, grown ones replace themselves", () => {
  const loaded = [row(2), row(1)];
  const first = mergeNewest([row(3), row(2)], [], loaded, newest);
  assert.deepEqual(
    first.rows.map((r) => Number(r.traceId)),
    [3],
  );
  assert.equal(first.fresh, 1);
  const again = mergeNewest([row(3), row(2)], first.rows, loaded, newest);
  assert.equal(again.fresh, 0);
  assert.equal(again.rows, first.rows);
  const grown = mergeNewest([row(3, 9), row(2)], first.rows, loaded, newest);
  assert.equal(grown.rows[0]?.spanCount, 9);
});

test("live rows stand among the loaded ones by time, and a grown row keeps its place", () => {
  const loaded = [row(5), row(4), row(2), row(1)];
  const { rows } = mergeNewest([row(6), row(5), row(3), row(2, 9)], [], loaded, newest);
  assert.deepEqual(
    joinRows(rows, loaded).map((r) => [Number(r.traceId), r.spanCount]),
    [
      [6, 3],
      [5, 3],
      [4, 3],
      [3, 3],
      [2, 9],
      [1, 3],
    ],
  );
  assert.equal(joinRows([], loaded), loaded);
});

test("a newest page that shares nothing means start over, and live rows are bounded", () => {
  assert.equal(mergeNewest([row(9), row(8)], [], [row(2), row(1)], newest).gap, true);
  const many = Array.from({ length: maxLiveRows + 5 }, (_, i) => row(i + 10));
  assert.equal(mergeNewest([...many, row(2)], [], [row(2)], newest).rows.length, maxLiveRows);
  assert.equal(
    mergeNewest([row(3), row(2)], [], [row(2), row(3)], { key: "duration", order: "desc" }).gap,
    true,
  );
});

test("sorting cycles and survives the address", () => {
  assert.deepEqual(nextSort(newest, "duration"), { key: "duration", order: "desc" });
  assert.deepEqual(nextSort({ key: "duration", order: "asc" }, "duration"), newest);
  for (const text of ["-duration", "ttft", "-outputTokens", ""])
    assert.equal(sortToUrl(sortFromUrl(text)), text);
  assert.deepEqual(sortFromUrl("nonsense"), newest);
});

test("the fleet counts devices, not slices, and what is unknown is not zero", () => {
  const gpus = makeGpus(nowMs);
  const funnel = funnelOf(gpus);
  assert.equal(funnel.total, 128);
  const { effective: used = NaN } = funnel;
  assert.ok((funnel.allocated ?? 0) >= used && (funnel.active ?? 0) >= used);
  assert.equal(
    groupFleet(gpus).reduce((sum, g) => sum + g.count, 0),
    128,
  );
  assert.ok(filterFleet(gpus, "node:gpu-node-7").every(({ node }) => node === "gpu-node-7"));
  assert.equal(filterFleet(gpus, "").length, gpus.length);
  const [gpu] = gpus;
  assert.ok(gpu);
  const blind = {
    ...gpu,
    stale: false,
    reading: {
      ...gpu.reading,
      smActivityRatio: null,
      utilizationRatio: null,
      temperatureCelsius: null,
    },
  };
  assert.equal(cellState(blind), "unknown");
  assert.equal(metricValue(blind, "activity").value, "–");
  assert.equal(metricValue(blind, "temperature").value, "–");
  const held = { ...blind, parentUuid: "", allocation: "allocated" as const };
  const { active, effective, idle } = funnelOf([held]);
  assert.deepEqual([active, effective, idle], [undefined, undefined, undefined], "not measured");
  const still = { ...held, reading: { ...held.reading, utilizationRatio: 0 } };
  assert.equal(funnelOf([still]).idle, 1);
  assert.equal(funnelOf([still, held]).idle, 1, "what nobody measured is not idle");
  assert.equal(hatchText([held]), "not measured");
  assert.equal(hatchText([still]), "");
  assert.equal(hatchText([held, { ...still, stale: true }]), "silent or not measured");
  // A tenant's answer: slices alone, whose cards are not its to see.
  const slices = gpus.filter(({ parentUuid }) => parentUuid !== "");
  assert.ok(slices.length > 0);
  assert.equal(funnelOf(slices).total, slices.length);
  assert.equal(funnelOf(slices).loneSlices, slices.length);
  assert.equal(
    groupFleet(slices).reduce((sum, { count }) => sum + count, 0),
    slices.length,
  );
  assert.deepEqual(groupFleet(slices.slice(0, 1)).map(countText), ["1 slice"]);
  assert.deepEqual(groupFleet([held]).map(countText), ["1 GPU"]);
});

test("limits read as typed and print back to the same number", () => {
  assert.deepEqual(["", "20G", "5,000", "1.5M", "500MB"].map(parseLimit), [
    null,
    20e9,
    5000,
    1.5e6,
    500e6,
  ]);
  assert.deepEqual(["x", "-1", "0"].map(parseLimit), [undefined, undefined, undefined]);
  for (const value of [1, 999, 5_000, 20e9, 1_234_567, 1.5e6])
    assert.equal(parseLimit(printLimit(value)), value);
});

test("conversations are read in the forms that instrumentations send", () => {
  assert.deepEqual(
    parseConversation('[{"role":"user","parts":[{"type":"text","content":"hi"}]}]'),
    [{ role: "user", text: "hi" }],
  );
  assert.deepEqual(
    parseConversation(
      '[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"yo"}]}]',
    ),
    [
      { role: "user", text: "hi" },
      { role: "assistant", text: "yo" },
    ],
  );
  assert.equal(parseConversation("plain text"), undefined);
  assert.equal(parseConversation('[{"role":"user","content":"cut of'), undefined);
  assert.equal(parseConversation("[1,2]"), undefined);
  assert.equal(valueText([1, "a"]), '[\n  1,\n  "a"\n]');
});

test("the curl snippet carries one valid span, a key only where one is needed, and manifests are YAML", () => {
  const start = {
    otlpGrpcEndpoint: "127.0.0.1:4317",
    otlpHttpEndpoint: "http://127.0.0.1:4318",
    apiEndpoint: "",
    keyNeeded: false,
    capture: "Full",
    firstSpanAt: null,
    firstTraceId: null,
    gpuSeen: false,
  } as const;
  const all = snippets(start, nowMs);
  const curl = all.find(({ id }) => id === "curl")?.steps[0]?.code ?? "";
  const body: unknown = JSON.parse(/-d '(.*)'$/s.exec(curl)?.[1] ?? "");
  assert.match(JSON.stringify(body), /"traceId":"[0-9a-f]{32}","spanId":"[0-9a-f]{16}"/);
  const grpc = all.find(({ id }) => id === "env")?.steps[1]?.code ?? "";
  assert.match(grpc, /OTLP_ENDPOINT=http:\/\/127\.0\.0\.1:4317$/m);
  assert.ok(all.every((s) => !JSON.stringify(s).includes("axk_")));
  assert.deepEqual(
    snippets({ ...start, keyNeeded: true }, nowMs)
      .filter((s) => !JSON.stringify(s).includes("axk_"))
      .map(({ id }) => id),
    ["kubernetes"],
    "pods get their key by their namespace",
  );
  const applied = all.find(({ id }) => id === "kubernetes")?.steps[1]?.code ?? "";
  const manifests = /<<EOF\n(.*)\nEOF$/s.exec(applied)?.[1] ?? "";
  assert.deepEqual(
    parseAllDocuments(manifests).map((document) => document.toJS() as unknown),
    [
      {
        apiVersion: "axonize.io/v1alpha1",
        kind: "AxonizeTenant",
        metadata: { name: "my-team" },
        spec: { namespaces: [{ name: "my-namespace" }], injection: { mode: "OptOut" } },
      },
      {
        apiVersion: "axonize.io/v1alpha1",
        kind: "GpuPool",
        metadata: { name: "gpus" },
        spec: {
          vendor: "NVIDIA",
          nodeSelector: { matchLabels: { "nvidia.com/gpu.present": "true" } },
        },
      },
    ],
  );
});

test("arrivals are read leniently, newest first, once each", () => {
  const a = arrivalFrom(
    JSON.stringify({
      traceId: "a".repeat(32),
      name: "x",
      startTime: "2026-01-01T00:00:00Z",
      durationNs: 5,
    }),
  );
  const b = arrivalFrom(
    JSON.stringify({ traceId: "b".repeat(32), startTime: "2026-01-02T00:00:00Z" }),
  );
  assert.ok(a && b);
  assert.deepEqual(mergeArrivals([a], [b, a]), [b, a]);
  for (const bad of ["", "{}", "null", '{"traceId":"short"}'])
    assert.equal(arrivalFrom(bad), undefined);
});
