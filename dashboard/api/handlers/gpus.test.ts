// The GPU band of calls whose spans name no device: joined through the pod that the samples name.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Gpu, GpuMetrics, TraceGpuLanes } from "@axonize/core/contract/gpu";
import type { Trace } from "@axonize/core/contract/trace";
import {
  buildCall,
  buildSpan,
  insertSpans,
  type TestSpan,
} from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a } = dashboard;
const { clickhouse } = dashboard.stores;
const [own] = await dashboard.stores.sql<{ num: number }[]>`
  SELECT num FROM tenants WHERE id = 'default'`;
const ownNum = own?.num ?? 0;
const base = Math.floor((Date.now() - 1_800_000) / 10_000) * 10_000;

/** A sample every five seconds for two minutes from `base`. */
async function sample(device: string, pod: string, fromMs = base): Promise<void> {
  await clickhouse.command({
    query: `INSERT INTO gpu_samples (cluster, device, time, name, node, device_index, namespace, pod, utilization)
      SELECT '', {device:String}, fromUnixTimestamp64Milli({ms:Int64} + number * 5000, 'UTC'), 'H100', 'node-1', 0, 'serving', {pod:String}, 0.5 FROM numbers(24)`,
    query_params: { device, pod, ms: fromMs },
  });
}
await sample("GPU-one", "vllm-0");
await sample("GPU-two", "vllm-1");
await sample("GPU-three", "vllm-1");
await sample("GPU-idle", "");
// This device changes hands in the middle.
await sample("GPU-moved", "before", base - 60_000);
await sample("GPU-moved", "after", base + 60_000);

function call(pod: string, over: Partial<TestSpan> = {}): TestSpan[] {
  const tenantNum = over.tenantNum ?? ownNum;
  const startMs = over.startMs ?? base + 31_000;
  const root = buildSpan({ startMs, tenantNum });
  return [
    root,
    buildCall({
      namespace: "serving",
      ...over,
      startMs: startMs + 1,
      tenantNum,
      pod,
      traceId: root.traceId,
      parentSpanId: root.spanId,
    }),
  ];
}
async function ask(spans: readonly TestSpan[], headers?: Record<string, string>) {
  await insertSpans(clickhouse, spans);
  const path = `/api/v1/traces/${spans[0]?.traceId ?? ""}`;
  const trace = await dashboard.get<Trace>(path, headers);
  const lanes = await dashboard.get<TraceGpuLanes>(`${path}/gpu`, headers);
  assert.deepEqual([trace.status, lanes.status], [200, 200]);
  return { trace: trace.body, lanes: lanes.body };
}

test("a call of a pod with one device ran on it, and the evidence says why", async () => {
  const { trace, lanes } = await ask(call("vllm-0"));
  assert.deepEqual(trace.resourceGpus, [
    {
      uuid: "GPU-one",
      name: "H100",
      node: "node-1",
      level: "exact.single",
      evidence: ["GPU samples of the time name pod serving/vllm-0 as the holder of this device"],
    },
  ]);
  assert.deepEqual([trace.gpus, trace.gpuLevel], [["GPU-one"], "exact.single"]);
  assert.equal(lanes.reason, "");
  const [lane] = lanes.lanes;
  assert.equal(lane?.gpu.uuid, "GPU-one");
  // Samples are five seconds apart: so are the steps, and none between the first and last is empty.
  assert.equal(lane.series.stepMs, 5000);
  const known = lane.series.utilizationRatio.filter((ratio) => ratio === 0.5);
  assert.ok(known.length >= 2, JSON.stringify(lane.series.utilizationRatio));
});

test("a call of a pod with several devices belongs to the whole set", async () => {
  const { trace, lanes } = await ask(call("vllm-1"));
  assert.deepEqual(
    trace.resourceGpus.map(({ uuid, level }) => [uuid, level]),
    [
      ["GPU-three", "exact.set"],
      ["GPU-two", "exact.set"],
    ],
  );
  assert.equal(trace.gpuLevel, "exact.set");
  assert.equal(lanes.lanes.length, 2);
});

test("a device belongs to who held it at the time of the call", async () => {
  const at = async (pod: string, startMs: number): Promise<string[]> =>
    (await ask(call(pod, { startMs }))).trace.gpus;
  assert.deepEqual(await at("before", base + 31_000), ["GPU-moved"]);
  assert.deepEqual(await at("after", base + 31_000), []);
  assert.deepEqual(await at("before", base + 150_000), []);
  assert.deepEqual(await at("after", base + 150_000), ["GPU-moved"]);
});

test("what the spans say of their device comes before their pod", async () => {
  const { trace } = await ask(call("vllm-1", { gpus: ["GPU-one"], gpuLevel: "exact.sdk" }));
  assert.deepEqual(
    trace.resourceGpus.map(({ uuid, level }) => [uuid, level]),
    [["GPU-one", "exact.sdk"]],
  );
});

test("older than raw samples, a pod's device is the one that it alone had then, and a shared one is nobody's", async () => {
  const oldMs = Math.floor((Date.now() - 5 * 86_400_000) / 3_600_000) * 3_600_000 + 600_000;
  await sample("GPU-of-old", "old-0", oldMs);
  await sample("GPU-shared-then", "old-1", oldMs);
  await sample("GPU-shared-then", "old-2", oldMs + 2_500);
  await clickhouse.command({
    query:
      "ALTER TABLE gpu_samples DELETE WHERE device IN ('GPU-of-old', 'GPU-shared-then') SETTINGS mutations_sync = 1",
  });
  const { trace, lanes } = await ask(call("old-0", { startMs: oldMs + 31_000 }));
  assert.deepEqual(
    trace.resourceGpus.map(({ uuid, level }) => [uuid, level]),
    [["GPU-of-old", "exact.single"]],
  );
  assert.equal(lanes.lanes[0]?.series.stepMs, 10_000);
  const shared = await ask(call("old-1", { startMs: oldMs + 31_000 }));
  assert.deepEqual(shared.trace.resourceGpus, []);
});

test("a pod that no sample names, and a call without a pod, have no device and say why", async () => {
  const unknown = await ask(call("vllm-9"));
  assert.deepEqual([unknown.trace.resourceGpus, unknown.trace.gpuLevel], [[], "unattributed"]);
  assert.match(unknown.lanes.reason, /no GPU sample of the time names pod serving\/vllm-9/);
  assert.doesNotMatch(unknown.lanes.reason, /caller/);
  const byCaller = await ask(call("chat-app-1", { kind: 3 }));
  assert.match(
    byCaller.lanes.reason,
    /serving\/chat-app-1 as the holder of one\. That is its caller/,
  );
  const elsewhere = await ask(call("vllm-0", { namespace: "other" }));
  assert.deepEqual(elsewhere.lanes.lanes, []);
  const bare = await ask(call(""));
  assert.match(bare.lanes.reason, /names a device or a pod/);
});

test("another tenant's word for a pod shows it no device, and says so; the admin sees it", async () => {
  const spans = call("vllm-0", { tenantNum: a.num });
  const { trace, lanes } = await ask(spans, a.headers);
  assert.deepEqual([trace.resourceGpus, trace.gpus, trace.gpuLevel], [[], [], "unattributed"]);
  assert.deepEqual(lanes.lanes, []);
  assert.match(lanes.reason, /proves nothing about pods/);
  assert.ok(!JSON.stringify([trace.resourceGpus, lanes]).includes("GPU-one"));
  const admin = await dashboard.get<TraceGpuLanes>(
    `/api/v1/traces/${spans[0]?.traceId ?? ""}/gpu`,
    { ...dashboard.admin, "x-axonize-tenant": a.id },
  );
  assert.equal(admin.body.lanes[0]?.gpu.uuid, "GPU-one");
});

test("on a machine of one's own, a tenant with a key sees a device while its own spans ran there", async () => {
  const first = call("", {
    tenantNum: a.num,
    gpus: ["GPU-idle"],
    durationMs: 6_000,
    startMs: base + 10_000,
  });
  const later = call("", {
    tenantNum: a.num,
    gpus: ["GPU-idle"],
    durationMs: 6_000,
    startMs: base + 100_000,
  });
  await insertSpans(clickhouse, [...first, ...later]);
  const { body } = await dashboard.get<GpuMetrics>(
    `/api/v1/gpus/GPU-idle/metrics?from=${base}&to=${base + 120_000}&buckets=120`,
    a.headers,
  );
  const { startMs, utilizationRatio } = body.series;
  const seen = startMs.filter((_, at) => utilizationRatio[at] !== null);
  assert.ok(seen.length > 0);
  const between = seen.filter((ms) => ms > base + 30_000 && ms < base + 95_000);
  assert.deepEqual(between, [], "not the time between its calls, which may have been another's");
  const list = await dashboard.get<{ items: Gpu[] }>(`/api/v1/gpus?from=${base}`, a.headers);
  assert.deepEqual(
    list.body.items.map(({ uuid }) => uuid),
    ["GPU-idle"],
  );
});
