/** What a pool has and where its witnesses differ, by tables. */
import assert from "node:assert/strict";
import test from "node:test";
import { consistencyOf } from "./consistency.ts";
import type { AgentReport, DeviceReport, NodeFacts, PodFacts, PoolFacts } from "./facts.ts";
import { inventoryOf } from "./inventory.ts";
import { planRestarts } from "./restart.ts";

const nowMs = Date.parse("2026-11-29T12:00:00Z");
const node = (name: string, given: Partial<NodeFacts> = {}): NodeFacts => ({
  uid: `uid-of-${name}`,
  name,
  createdMs: nowMs - 86_400_000,
  labels: {},
  capacity: {},
  allocatable: given.capacity ?? {},
  isReady: true,
  ...given,
});
const whole = (index: number, given: Partial<DeviceReport> = {}): DeviceReport => ({
  uuid: `GPU-${index}`,
  gpuUuid: `GPU-${index}`,
  kind: "whole",
  profile: "",
  model: "NVIDIA H100 80GB HBM3",
  driverVersion: "580.82",
  memoryMib: 81_559,
  isLost: false,
  isAllocated: false,
  ...given,
});
const slice = (gpu: number, index: number, profile: string, isAllocated = false): DeviceReport => ({
  ...whole(gpu),
  uuid: `MIG-${gpu}-${index}`,
  kind: "mig",
  profile,
  memoryMib: undefined,
  isAllocated,
});
const report = (
  resources: readonly DeviceReport[],
  given: Partial<AgentReport> = {},
): AgentReport => ({
  lastMs: nowMs - 5_000,
  driverVersion: "580.82",
  trouble: undefined,
  periodMs: 100,
  wantedPeriodMs: 100,
  resources,
  ...given,
});
const pod = (name: string, given: Partial<PodFacts> = {}): PodFacts => ({
  name: `agent-${name}`,
  uid: `uid-of-agent-${name}`,
  node: name,
  createdMs: nowMs - 3_600_000,
  isReady: true,
  isDeleting: false,
  waiting: undefined,
  ...given,
});
const facts = (given: Partial<PoolFacts> & { nodes: readonly NodeFacts[] }): PoolFacts => ({
  nowMs,
  reports: new Map(),
  pods: given.nodes.map(({ name }) => pod(name)),
  draGpus: new Map(),
  isIngestUp: true,
  ...given,
});
const one = (
  given: Partial<NodeFacts>,
  resources: readonly DeviceReport[] | undefined,
  more: Partial<PoolFacts> = {},
): PoolFacts =>
  facts({
    nodes: [node("n", given)],
    reports: new Map(resources === undefined ? [] : [["n", report(resources)]]),
    ...more,
  });
const gpus = (count: number): DeviceReport[] => Array.from({ length: count }, (_, i) => whole(i));

test("agents are believed before labels, labels before the device plugin, and that before nobody", () => {
  const labels = { "nvidia.com/gpu.count": "4", "nvidia.com/gpu.product": "NVIDIA-L40S" };
  const capacity = { "nvidia.com/gpu": "2" };
  const total = (of: PoolFacts) => inventoryOf(of).gpus?.total;
  assert.equal(total(one({ labels, capacity }, gpus(8))), 8);
  assert.equal(total(one({ labels, capacity }, undefined)), 4);
  assert.equal(total(one({ capacity }, undefined)), 2);
  assert.equal(total(one({}, undefined, { draGpus: new Map([["n", 6]]) })), 6);
  assert.equal(total(one({}, undefined)), 0);
  assert.deepEqual(inventoryOf(one({ labels }, undefined)).products, [
    { product: "NVIDIA-L40S", count: 4, migCapable: false },
  ]);
});

test("a report of a node that had the same name before is not this node's", () => {
  const young = one({ createdMs: nowMs - 1_000, labels: { "nvidia.com/gpu.count": "4" } }, gpus(8));
  assert.equal(inventoryOf(young).gpus?.total, 4);
});

test("time-slicing multiplies capacity and not GPUs; allocated and lost GPUs count once", () => {
  const shared = one(
    { capacity: { "nvidia.com/gpu.shared": "8" }, labels: { "nvidia.com/gpu.replicas": "4" } },
    [whole(0, { isAllocated: true }), whole(1, { isLost: true })],
  );
  assert.deepEqual(inventoryOf(shared).gpus, {
    total: 2,
    allocatable: 2,
    allocated: 1,
    unhealthy: 1,
  });
  assert.deepEqual(consistencyOf(shared).findings, []);
});

test("slices are counted by profile, their GPU once", () => {
  const mixed = one(
    {
      capacity: {
        "nvidia.com/gpu": "1",
        "nvidia.com/mig-1g.10gb": "2",
        "nvidia.com/mig-3g.40gb": "1",
      },
      labels: { "nvidia.com/mig.strategy": "mixed" },
    },
    [whole(0), slice(1, 0, "1g.10gb", true), slice(1, 1, "1g.10gb"), slice(1, 2, "3g.40gb")],
  );
  const { gpus: counts, mig, products } = inventoryOf(mixed);
  assert.deepEqual(counts, { total: 2, allocatable: 2, allocated: 1, unhealthy: 0 });
  assert.deepEqual(mig, {
    strategy: "Mixed",
    devices: [
      { profile: "1g.10gb", count: 2, allocated: 1 },
      { profile: "3g.40gb", count: 1, allocated: 0 },
    ],
  });
  assert.deepEqual(products, [
    {
      product: "NVIDIA-H100-80GB-HBM3",
      count: 2,
      memoryMiB: 81_559,
      driverVersions: ["580.82"],
      migCapable: true,
    },
  ]);
  assert.deepEqual(consistencyOf(mixed).findings, []);
});

test("under strategy single the plain name counts slices, and the label's count is not GPUs", () => {
  const labels = {
    "nvidia.com/mig.strategy": "single",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
  };
  const single = one({ labels, capacity: { "nvidia.com/gpu": "2" } }, [
    slice(0, 0, "1g.10gb"),
    slice(0, 1, "1g.10gb"),
  ]);
  assert.equal(inventoryOf(single).gpus?.total, 1);
  assert.equal(inventoryOf(single).gpus?.allocatable, 1);
  assert.equal(inventoryOf(single).mig?.strategy, "Single");
  assert.deepEqual(consistencyOf(single).findings, []);
});

test("the same facts in another order give the same inventory", () => {
  const nodes = ["a", "b", "c"].map((name) => node(name));
  const reports = new Map(
    nodes.map(({ name }, at) => [name, report([whole(at, { model: `M ${3 - at}` })])]),
  );
  const turned = new Map([...reports].toReversed());
  assert.deepEqual(
    inventoryOf(facts({ nodes, reports })),
    inventoryOf(facts({ nodes: nodes.toReversed(), reports: turned })),
  );
});

test("witnesses that differ are told with the node and both numbers", () => {
  const findings = (of: PoolFacts) =>
    consistencyOf(of).findings.map(({ reason, message }) => `${reason}: ${message}`);
  const missing = one({ capacity: { "nvidia.com/gpu": "8" } }, gpus(7));
  assert.deepEqual(findings(missing), [
    "CapacityMismatch: the device plugin offers 8 GPUs, the agent sees 7",
  ]);
  const pending = one(
    { capacity: { "nvidia.com/gpu": "8" }, labels: { "nvidia.com/mig.config.state": "pending" } },
    gpus(7),
  );
  assert.match(findings(pending)[0] ?? "", /^MigReconfiguring/);
  const profiles = one({ capacity: { "nvidia.com/mig-1g.10gb": "7" } }, [slice(0, 0, "1g.20gb")]);
  assert.match(findings(profiles)[0] ?? "", /offers 7 slices 1g.10gb, the agent sees 0/);
  const dra = one({}, gpus(2), { draGpus: new Map([["n", 3]]) });
  assert.deepEqual(findings(dra), [
    "CapacityMismatch: ResourceSlices have 3 GPUs, the agent sees 2",
  ]);
  // Without a device plugin and without DRA there is nobody to contradict.
  assert.deepEqual(findings(one({}, gpus(2))), []);
  const broken = facts({
    nodes: [node("n")],
    reports: new Map([["n", report([], { trouble: "not_found: no libnvidia-ml.so.1" })]]),
  });
  assert.deepEqual(findings(broken), ["DriverMissing: not_found: no libnvidia-ml.so.1"]);
});

test("an agent is silent once it has run for two minutes without a word; before, it is waited for", () => {
  const of = (createdMs: number, lastMs: number | undefined) =>
    consistencyOf(
      facts({
        nodes: [node("n")],
        pods: [pod("n", { createdMs })],
        reports: new Map(lastMs === undefined ? [] : [["n", report([], { lastMs })]]),
      }),
    );
  assert.deepEqual(of(nowMs - 60_000, undefined).collecting, ["n"]);
  assert.equal(of(nowMs - 180_000, undefined).findings[0]?.reason, "AgentsSilent");
  assert.equal(of(nowMs - 3_600_000, nowMs - 180_000).findings[0]?.reason, "AgentsSilent");
  assert.deepEqual(of(nowMs - 60_000, nowMs - 180_000).collecting, ["n"]);
});

/** `silent` of them have not been heard of for so long; their pods are this old. */
const fleet = (
  count: number,
  silent: number,
  given: { silentMs?: number; ageMs?: number; more?: Partial<PoolFacts> } = {},
): PoolFacts => {
  const { silentMs = 600_000, ageMs = 7_200_000, more = {} } = given;
  const names = Array.from({ length: count }, (_, index) => `n${String(index).padStart(3, "0")}`);
  return facts({
    nodes: names.map((name) => node(name)),
    pods: names.map((name) => pod(name, { createdMs: nowMs - ageMs })),
    reports: new Map(
      names.map((name, index) => [
        name,
        report([], { lastMs: index < silent ? nowMs - silentMs : nowMs - 5_000 }),
      ]),
    ),
    ...more,
  });
};

test("stuck agents are restarted a tenth at a time, and at least one", () => {
  assert.equal(planRestarts(fleet(100, 30)).restart.length, 10);
  assert.equal(planRestarts(fleet(100, 30)).waiting, 20);
  assert.equal(planRestarts(fleet(4, 1)).restart.length, 1);
  assert.equal(planRestarts(fleet(1, 1)).restart.length, 1);
  assert.equal(planRestarts(fleet(100, 0)).restart.length, 0);
  assert.equal(planRestarts(fleet(100, 30, { silentMs: 240_000 })).restart.length, 0);
});

test("those that were restarted and are still silent use the budget up", () => {
  const of = fleet(100, 30);
  const tried = of.pods.map((each, index) =>
    index < 10 ? { ...each, createdMs: nowMs - 400_000 } : each,
  );
  assert.equal(planRestarts({ ...of, pods: tried }).restart.length, 0);
});

test("nothing is restarted where the fault is elsewhere", () => {
  assert.deepEqual(planRestarts(fleet(100, 60)), { restart: [], waiting: 60, isElsewhere: true });
  const away = planRestarts(fleet(1, 1, { more: { isIngestUp: false } }));
  assert.deepEqual([away.restart.length, away.isElsewhere], [0, true]);
  const of = fleet(100, 1);
  const down = { ...of, nodes: of.nodes.map((each) => ({ ...each, isReady: false })) };
  assert.equal(planRestarts(down).restart.length, 0);
  const waiting = of.pods.map((each) => ({
    ...each,
    waiting: { reason: "CrashLoopBackOff", message: "" },
  }));
  assert.equal(planRestarts({ ...of, pods: waiting }).restart.length, 0);
});
