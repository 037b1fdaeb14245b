// Devices with the agents' identity intervals: who held them, what they did, and what is not certain.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Gpu, GpuMetrics, TraceGpuLanes } from "@axonize/core/contract/gpu";
import type { System } from "@axonize/core/contract/system";
import { buildCall, insertSpans, type TestSpan } from "../../../test/support/build-span.ts";
import { useDashboard } from "../../../test/support/dashboard.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { clickhouse, sql } = dashboard.stores;
const [tenant] = await sql<{ num: number }[]>`SELECT num FROM tenants WHERE id = 'default'`;
const tenantNum = tenant?.num ?? 0;
const now = Date.now();
const base = Math.floor((now - 1_200_000) / 60_000) * 60_000;
const at = (seconds: number): Date => new Date(base + seconds * 1000);
const range = `from=${base}&to=${base + 600_000}`;

interface Samples {
  device: string;
  parent?: string;
  profile?: string;
  fromMs?: number;
  activity?: string;
  throttle?: string;
}

/** A sample every second for ten minutes. `activity` and `throttle` are SQL over `number`. */
async function sample(samples: Samples): Promise<void> {
  const { device, parent = "", profile = "", fromMs = base } = samples;
  const { activity = "0.5", throttle = "0" } = samples;
  await clickhouse.command({
    query: `INSERT INTO gpu_samples (cluster, device, time, parent, name, node, device_index, mig_profile, sm_activity, power_watts, throttle_reasons)
      SELECT '', {device:String}, fromUnixTimestamp64Milli({ms:Int64} + number * 1000, 'UTC'), {parent:String}, 'H100', 'node-1', 0, {profile:String}, ${activity}, 300, ${throttle} FROM numbers(600)`,
    query_params: { device, ms: fromMs, parent, profile },
  });
}

async function allocate(device: string, pod: string, from: Date, to: Date | null): Promise<void> {
  await sql`
    INSERT INTO allocations (node, key, valid_from, valid_to, namespace, pod, container, resource_name, resource_id, resource_uuid, stale)
    VALUES ('node-1', ${`${device}/${pod}`}, ${from}, ${to}, 'serving', ${pod}, 'main', 'nvidia.com/gpu', ${device}, ${device}, false)`;
}
async function know(device: string, gpu: string): Promise<void> {
  await sql`
    INSERT INTO compute_resources (node, key, valid_from, resource_uuid, gpu_uuid, kind, profile, epoch_ms, gap, lost)
    VALUES ('node-1', ${device}, ${at(-60)}, ${device}, ${gpu}, ${device === gpu ? "whole" : "mig"}, '', 0, false, false)`;
}

// Held from 60 s to 360 s, busy until 240 s, throttled from 120 s to 180 s.
await sample({
  device: "GPU-card",
  activity: "if(number < 240, 0.8, 0)",
  throttle: "if(number >= 120 AND number < 180, 64, 1)",
});
await know("GPU-card", "GPU-card");
await allocate("GPU-card", "vllm-0", at(60), at(360));
await sql`
  INSERT INTO usages (node, key, valid_from, valid_to, boot_id, pid, start_time, own_pid, command, namespace, pod, container, resource_id, resource_uuid)
  VALUES ('node-1', 'p', ${at(65)}, ${at(350)}, 'b', 4711, 1, 7, 'vllm', 'serving', 'vllm-0', 'main', 'GPU-card', 'GPU-card')`;
// A card in two slices, one of them held.
await sample({ device: "GPU-mig", activity: "NULL" });
await sample({ device: "MIG-1", parent: "GPU-mig", profile: "3g.40gb" });
await sample({ device: "MIG-2", parent: "GPU-mig", profile: "3g.40gb", activity: "0" });
await know("MIG-1", "GPU-mig");
await know("MIG-2", "GPU-mig");
await allocate("MIG-1", "sdxl-0", at(0), null);
await sample({ device: "GPU-nobody" });

const get = async <T>(path: string): Promise<T> => {
  const reply = await dashboard.get<T>(path);
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
};

test("the list says who has a device at the range's end, and where nobody can tell", async () => {
  const { items } = await get<{ items: Gpu[] }>(`/api/v1/gpus?${range}`);
  assert.deepEqual(
    items.map((gpu) => [gpu.uuid, gpu.allocation, gpu.pods.map(({ name }) => name)]),
    [
      ["GPU-card", "free", []],
      ["GPU-mig", "allocated", []],
      ["GPU-nobody", "unknown", []],
      ["MIG-1", "allocated", ["sdxl-0"]],
      ["MIG-2", "free", []],
    ],
  );
  const nobody = items.find(({ uuid }) => uuid === "GPU-nobody");
  assert.match(nobody?.allocationReason ?? "", /no agent reports it/);
  assert.ok(
    items.every(({ stale }) => !stale),
    "a past range is not silent",
  );
});

test("at an earlier end the earlier holder has it, with its process", async () => {
  const gpu = await get<Gpu>(`/api/v1/gpus/GPU-card?from=${base}&to=${base + 170_000}`);
  assert.equal(gpu.allocation, "allocated");
  assert.deepEqual(
    gpu.holders.map(({ kind, pod, pid, command }) => [kind, pod, pid, command]),
    [
      ["allocation", "vllm-0", null, ""],
      ["usage", "vllm-0", 4711, "vllm"],
    ],
  );
  assert.deepEqual(gpu.throttleReasons, ["thermal slowdown (hardware)"]);
});

test("a range is split into active, idle, free and unsampled, and the parts sum to it", async () => {
  const { split, unattributed, throttles, holders } = await get<GpuMetrics>(
    `/api/v1/gpus/GPU-card/metrics?from=${base - 60_000}&to=${base + 600_000}&buckets=660`,
  );
  assert.deepEqual(split, {
    activeSeconds: 180,
    idleSeconds: 120,
    freeSeconds: 300,
    unknownSeconds: 0,
    unsampledSeconds: 60,
  });
  assert.deepEqual(unattributed, []);
  assert.deepEqual(throttles, [
    {
      from: at(120).toISOString(),
      to: at(180).toISOString(),
      reasons: ["thermal slowdown (hardware)"],
    },
  ]);
  assert.deepEqual(
    holders.map(({ kind, from, to }) => [kind, from, to]),
    [
      ["allocation", at(60).toISOString(), at(360).toISOString()],
      ["usage", at(65).toISOString(), at(350).toISOString()],
    ],
  );
});

test("device time that nobody can attribute says why", async () => {
  const metrics = await get<GpuMetrics>(`/api/v1/gpus/GPU-nobody/metrics?${range}`);
  assert.equal(metrics.split.unknownSeconds, 600);
  assert.match(metrics.unattributed[0]?.reason ?? "", /nothing tells who holds/);
});

test("a range whose raw samples are gone has its devices, readings, and lanes from aggregates", async () => {
  const oldMs = Math.floor((now - 5 * 86_400_000) / 300_000) * 300_000;
  await sample({ device: "GPU-old", fromMs: oldMs });
  await clickhouse.command({
    query: "ALTER TABLE gpu_samples DELETE WHERE device = 'GPU-old' SETTINGS mutations_sync = 1",
  });
  const { items } = await get<{ items: Gpu[] }>(`/api/v1/gpus?from=${oldMs}&to=${oldMs + 600_000}`);
  const [gpu] = items;
  assert.deepEqual([gpu?.uuid, gpu?.node, gpu?.stale], ["GPU-old", "node-1", false]);
  assert.equal(gpu?.reading.powerWatts, 300);
  const call = buildCall({
    startMs: oldMs + 65_000,
    tenantNum,
    gpus: ["GPU-old"],
    gpuLevel: "exact.sdk",
  });
  await insertSpans(clickhouse, [call]);
  const { lanes } = await get<TraceGpuLanes>(`/api/v1/traces/${call.traceId}/gpu`);
  assert.equal(lanes[0]?.series.stepMs, 10_000);
  assert.ok(lanes[0].series.powerWatts.includes(300));
});

async function lanesOf(span: Partial<TestSpan>): Promise<TraceGpuLanes> {
  const call = buildCall({ startMs: base + 100_000, tenantNum, namespace: "serving", ...span });
  await insertSpans(clickhouse, [call]);
  return await get<TraceGpuLanes>(`/api/v1/traces/${call.traceId}/gpu`);
}
async function bind(
  pod: string,
  binding: {
    level: string;
    uuids?: string[];
    candidates?: string[];
    reason?: string;
    warnings?: string[];
  },
): Promise<void> {
  await sql`
    INSERT INTO ordinal_bindings (node, key, valid_from, namespace, pod, container, level, resource_uuids, resource_ids, candidates, reason, warnings, evidence)
    VALUES ('node-1', ${pod}, ${at(0)}, 'serving', ${pod}, 'main', ${binding.level}, ${binding.uuids ?? []}, ${binding.uuids ?? []}, ${binding.candidates ?? []}, ${binding.reason ?? null}, ${binding.warnings ?? []}, ${["the kubelet allocated it"]})`;
}

test("a lane has its level with the agents' evidence, holders, throttles and the calls beside it", async () => {
  await bind("vllm-0", {
    level: "exact.single",
    uuids: ["GPU-card"],
    warnings: ["runtime_not_allocated"],
  });
  const beside = buildCall({
    startMs: base + 99_000,
    durationMs: 90_000,
    tenantNum,
    gpus: ["GPU-card"],
  });
  const apart = buildCall({ startMs: base + 400_000, tenantNum, gpus: ["GPU-card"] });
  await insertSpans(clickhouse, [beside, apart]);
  const { lanes, level } = await lanesOf({
    pod: "vllm-0",
    durationMs: 60_000,
    gpus: ["GPU-card"],
    gpuLevel: "exact.single",
  });
  assert.equal(level, "exact.single");
  const [lane] = lanes;
  assert.deepEqual(lane?.evidence, [
    "the kubelet allocated it",
    "but a process computes on a device that its container was not given",
  ]);
  assert.deepEqual(
    lane.neighbours.map(({ traceId }) => traceId),
    [beside.traceId],
  );
  assert.equal(lane.neighbourCount, 1);
  assert.equal(lane.throttles.length, 1);
  assert.deepEqual(
    lane.holders.map(({ pod }) => pod),
    ["vllm-0", "vllm-0"],
  );
});

test("a binding that came after its span is used, and says no more than it knows", async () => {
  await bind("late-0", { level: "exact.set", uuids: ["MIG-1", "MIG-2"] });
  const { lanes } = await lanesOf({ pod: "late-0" });
  assert.deepEqual(
    lanes.map(({ gpu, level }) => [gpu.uuid, level]),
    [
      ["MIG-1", "exact.set"],
      ["MIG-2", "exact.set"],
    ],
  );
});

test("an ambiguous join shows its candidates and the reason, and no lane", async () => {
  await bind("many-0", {
    level: "ambiguous",
    candidates: ["MIG-1", "MIG-2"],
    reason: "several_mig",
  });
  const answer = await lanesOf({ pod: "many-0", gpuLevel: "ambiguous" });
  assert.deepEqual(answer.lanes, []);
  assert.equal(answer.level, "ambiguous");
  assert.deepEqual(
    answer.candidates.map(({ uuid, name, node }) => [uuid, name, node]),
    [
      ["MIG-1", "3g.40gb", "node-1"],
      ["MIG-2", "3g.40gb", "node-1"],
    ],
  );
  assert.match(answer.reason, /several MIG slices/);
  assert.deepEqual(answer.evidence, ["the kubelet allocated it"]);
});

test("what ingest wrote on the span is what is shown: its evidence, or its candidates and the reason", async () => {
  await bind("rank-0", { level: "exact.set", uuids: ["GPU-card", "GPU-other"] });
  const sure = await lanesOf({
    pod: "rank-0",
    gpus: ["GPU-card"],
    gpuLevel: "exact.runtime",
    gpuEvidence: ["the only ordinal it reported", "warning: runtime_not_allocated"],
  });
  assert.deepEqual(
    sure.lanes.map(({ level, evidence }) => [level, evidence]),
    [
      [
        "exact.runtime",
        [
          "the only ordinal it reported",
          "but a process computes on a device that its container was not given",
        ],
      ],
    ],
  );
  const unsure = await lanesOf({
    pod: "rank-0",
    gpuLevel: "ambiguous",
    gpuCandidates: ["MIG-1"],
    gpuReason: "other_ordinals",
  });
  assert.deepEqual([unsure.level, unsure.lanes], ["ambiguous", []]);
  assert.deepEqual(
    unsure.candidates.map(({ uuid }) => uuid),
    ["MIG-1"],
  );
  assert.match(unsure.reason, /one device alone/);
});

test("a conflict shows no device, though its pod has one", async () => {
  await bind("liar-0", { level: "exact.single", uuids: ["GPU-card"] });
  const answer = await lanesOf({ pod: "liar-0", gpuLevel: "identity.conflict" });
  assert.deepEqual(answer.lanes, []);
  assert.equal(answer.level, "identity.conflict");
});

test("System shows each node's agent and the join health, and survives an odd status", async () => {
  await sql`
    INSERT INTO agents (node, epoch, version, offset_ms, status) VALUES
      ('node-1', 'e1', '0.1.0', 3.5, ${sql.json({
        periodMs: 170,
        wantedPeriodMs: 100,
        drops: { spool_full: 7 },
        unjoinedSeconds: { no_kubelet: 40 },
        doctor: [
          { check: "kubelet", ok: false, message: "no socket", mend: "mount it" },
          { check: "driver", ok: true, message: "580" },
        ],
      })}),
      ('node-2', 'e1', '0.1.0', NULL, ${sql.json({ periodMs: "soon", drops: [], doctor: 3, unjoinedSeconds: { no_kubelet: 2 } })})`;
  const { scope, agents, unjoined } = await get<System>("/api/v1/system");
  assert.equal(scope, "installation");
  assert.deepEqual(
    agents.map((agent) => [agent.node, agent.periodMs, agent.drops, agent.offsetMs]),
    [
      ["node-1", 170, [{ reason: "spool_full", count: 7 }], 3.5],
      ["node-2", null, [], null],
    ],
  );
  assert.deepEqual(agents[0]?.findings, [
    { check: "kubelet", message: "no socket", mend: "mount it" },
  ]);
  assert.deepEqual(unjoined, [{ reason: "no_kubelet", seconds: 42 }]);
  const tenants = (await dashboard.get<System>("/api/v1/system", dashboard.a.headers)).body;
  assert.deepEqual([tenants.scope, tenants.agents, tenants.tables], ["tenant", [], []]);
});
