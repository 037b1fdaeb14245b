/**
 * The identity state machine: each transition by example, then random lives of a node against a plain
 * model that remembers what was true after every observation.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IdentityHistory } from "./history.ts";
import type { Observation, ObservedAllocation, ObservedDevice } from "./records.ts";

type Slice = ObservedDevice["slices"][number];

function slice(uuid: string, profile = "1g.10gb", gi = 9): Slice {
  return {
    uuid,
    profile,
    gpuInstanceId: gi,
    computeInstanceId: 0,
    smCount: 16,
    memoryMib: 9984,
  };
}
function device(uuid: string, options: Partial<ObservedDevice> = {}): ObservedDevice {
  return {
    uuid,
    index: 0,
    model: "H100",
    pciBusId: "00000000:10:00.0",
    minor: 0,
    migEnabled: false,
    lost: false,
    slices: [],
    ...options,
  };
}
function devices(...list: ObservedDevice[]): Observation {
  return { type: "devices", node: "n1", bootId: "b1", driverEpoch: "580#1", devices: list };
}
function claim(
  pod: string,
  deviceUuid: string,
  more: Partial<ObservedAllocation> = {},
): ObservedAllocation {
  return {
    namespace: "default",
    pod,
    container: "main",
    podUid: undefined,
    resourceName: "nvidia.com/gpu",
    deviceUuid,
    replica: undefined,
    podEnded: false,
    ...more,
  };
}
function listed(...allocations: ObservedAllocation[]): Observation {
  return { type: "allocations", podCount: allocations.length + 1, allocations };
}
const podsAt = (history: IdentityHistory, ms: number): string[] =>
  history.allocations
    .allAt(ms)
    .map(({ value }) => `${value.pod} ${value.resourceUuid}`)
    .sort();

test("a span looks up what was true at its start, not what is true now", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  history.observe(3000, listed(claim("b", "GPU-1")));
  assert.deepEqual(podsAt(history, 1999), []);
  assert.deepEqual(podsAt(history, 2000), ["a GPU-1"]);
  assert.deepEqual(podsAt(history, 2999), ["a GPU-1"]);
  assert.deepEqual(podsAt(history, 3000), ["b GPU-1"]);
  const container = { namespace: "default", pod: "a", container: "main" };
  assert.equal(history.allocatedAt(container, 2500)[0]?.resourceId, "GPU-1@1000");
  assert.deepEqual(history.allocatedAt(container, 3500), []);
});

test("the empty answers of a kubelet coming up, and its silence, end no allocation", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  const [before] = history.allocations.allOpen();
  history.observe(3000, { type: "kubelet-silent" });
  history.observe(4000, { type: "allocations", podCount: 0, allocations: [] });
  assert.equal(history.allocations.allOpen()[0]?.value.stale, true);
  history.observe(5000, listed(claim("a", "GPU-1")));
  const [after] = history.allocations.allOpen();
  assert.equal(after?.validFromMs, before?.validFromMs);
  assert.equal(after?.value.stale, false);
  history.observe(6000, listed());
  assert.deepEqual(podsAt(history, 6000), [], "pods without it are listed: it ended");
});

test("a kubelet that stays silent for more than two minutes ends what it gave", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  history.observe(10_000, { type: "kubelet-silent" });
  history.observe(129_000, { type: "kubelet-silent" });
  assert.deepEqual(podsAt(history, 129_000), ["a GPU-1"]);
  history.observe(131_000, { type: "kubelet-silent" });
  assert.deepEqual(podsAt(history, 131_000), []);
});

test("the same MIG UUID with another profile is another resource, and its allocation a conflict", () => {
  const history = new IdentityHistory();
  const mig = (s: Slice): Observation =>
    devices(device("GPU-1", { migEnabled: true, slices: [s] }));
  history.observe(1000, mig(slice("MIG-1")));
  history.observe(2000, listed(claim("a", "MIG-1")));
  const conflicts = history.observe(3000, mig(slice("MIG-1", "1g.20gb")));
  assert.deepEqual(conflicts, [
    { type: "ended-under-allocation", resourceUuid: "MIG-1", claim: "default/a/main" },
  ]);
  assert.equal(history.resources.at("MIG-1", 2999)?.value.epochMs, 1000);
  assert.equal(history.resources.at("MIG-1", 3000)?.value.epochMs, 3000);
  assert.deepEqual(podsAt(history, 3000), []);
});

test("a driver reload and a reboot end everything and begin new epochs", () => {
  for (const change of [{ driverEpoch: "580#2" }, { bootId: "b2" }]) {
    const history = new IdentityHistory();
    const start = devices(device("GPU-1"));
    history.observe(1000, start);
    history.observe(2000, listed(claim("a", "GPU-1")));
    history.observe(3000, { ...start, ...change });
    assert.deepEqual(podsAt(history, 3000), []);
    assert.equal(history.resources.openOf("GPU-1")?.value.epochMs, 3000);
    assert.equal(history.placements.openOf("GPU-1")?.validFromMs, 3000);
    history.observe(4000, listed(claim("a", "GPU-1")));
    assert.equal(history.allocations.allOpen()[0]?.value.resourceId, "GPU-1@3000");
  }
});

test("a lost GPU keeps its epoch and its allocation; its usages end", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  const usage = {
    bootId: "b1",
    pid: 7,
    startTime: 1,
    ownPid: 1,
    command: "python3",
    owner: undefined,
    containerId: "c",
    podUid: "u",
    resourceUuid: "GPU-1",
  };
  history.observe(2500, { type: "usages", usages: [usage] });
  history.observe(3000, devices(device("GPU-1", { lost: true })));
  assert.equal(history.resources.openOf("GPU-1")?.value.lost, true);
  assert.deepEqual(podsAt(history, 3000), ["a GPU-1"]);
  assert.equal(history.usages.allOpen().length, 0);
  history.observe(4000, devices(device("GPU-1")));
  assert.equal(history.resources.openOf("GPU-1")?.value.lost, false);
  assert.equal(history.resources.openOf("GPU-1")?.value.epochMs, 1000);
});

test("a reused pid, and a process that moved to another container, are other usages", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  const usage = {
    bootId: "b1",
    pid: 7,
    startTime: 1,
    ownPid: 1,
    command: "python3",
    owner: undefined,
    containerId: "c1",
    podUid: "u",
    resourceUuid: "GPU-1",
  };
  history.observe(2000, { type: "usages", usages: [usage] });
  history.observe(3000, { type: "usages", usages: [{ ...usage, startTime: 2 }] });
  history.observe(4000, {
    type: "usages",
    usages: [{ ...usage, startTime: 2, containerId: "c2" }],
  });
  const at = (ms: number): string[] =>
    history.usages.allAt(ms).map(({ value }) => `${value.startTime} ${value.containerId}`);
  assert.deepEqual([at(2000), at(3000), at(4000)], [["1 c1"], ["2 c1"], ["2 c2"]]);
});

test("two containers that claim one GPU: who had it keeps it, nobody gets it anew, both are told", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  const conflicts = history.observe(3000, listed(claim("b", "GPU-1"), claim("a", "GPU-1")));
  assert.deepEqual(conflicts, [
    { type: "double-claim", resourceUuid: "GPU-1", claims: ["default/a/main", "default/b/main"] },
  ]);
  assert.deepEqual(podsAt(history, 3000), ["a GPU-1"]);
  history.observe(4000, listed(claim("b", "GPU-1"), claim("a", "GPU-1", { podEnded: true })));
  assert.deepEqual(podsAt(history, 4000), ["b GPU-1"], "the pod source says that a has ended");
});

test("time slices of one GPU are held side by side; an exclusive claim beside them is disputed", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  const shared = [claim("a", "GPU-1", { replica: 0 }), claim("b", "GPU-1", { replica: 1 })];
  assert.deepEqual(history.observe(2000, listed(...shared)), []);
  assert.equal(podsAt(history, 2000).length, 2);
  const conflicts = history.observe(3000, listed(...shared, claim("c", "GPU-1")));
  assert.equal(conflicts[0]?.type, "double-claim");
  assert.deepEqual(podsAt(history, 3000), ["a GPU-1", "b GPU-1"]);
});

test("a pod of the same name with another uid is another life; a uid learned later is not", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  history.observe(3000, listed(claim("a", "GPU-1", { podUid: "u1" })));
  assert.equal(history.allocations.allAt(2500)[0]?.value.podUid, "u1");
  history.observe(4000, listed(claim("a", "GPU-1", { podUid: "u2" })));
  assert.equal(history.allocations.allAt(3999)[0]?.value.podUid, "u1");
  assert.equal(history.allocations.allAt(4000)[0]?.value.podUid, "u2");
});

test("a device that the driver does not show is told and not allocated", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  const conflicts = history.observe(2000, listed(claim("a", "GPU-9")));
  assert.equal(conflicts[0]?.type, "unknown-device");
  assert.deepEqual(podsAt(history, 2000), []);
});

test("an agent that comes back goes on with equal tuples, flagged, and ends what changed", () => {
  const mig = (...slices: Slice[]): Observation =>
    devices(device("GPU-1", { migEnabled: true, slices }));
  const before = new IdentityHistory();
  before.observe(1000, mig(slice("MIG-1"), slice("MIG-2", "1g.10gb", 10)));
  before.observe(2000, listed(claim("a", "MIG-1"), claim("b", "MIG-2")));
  const after = new IdentityHistory();
  after.restore(before.open(), before.lastMs);
  after.observe(9000, mig(slice("MIG-1"), slice("MIG-2", "1g.20gb", 10)));
  assert.deepEqual(podsAt(after, 9000), ["a MIG-1"]);
  const kept = after.resources.openOf("MIG-1")?.value;
  assert.deepEqual([kept?.epochMs, kept?.gap], [1000, true]);
  assert.deepEqual(
    [after.resources.openOf("MIG-2")?.value.epochMs, after.resources.openOf("MIG-2")?.value.gap],
    [9000, false],
  );
});

test("a clock that jumps back an hour moves no interval backwards", () => {
  const history = new IdentityHistory();
  history.observe(10_000_000, devices(device("GPU-1")));
  history.observe(6_400_000, listed(claim("a", "GPU-1")));
  history.observe(6_401_000, listed());
  const [only] = history.allocations.allAt(10_000_001);
  assert.deepEqual([only?.validFromMs, only?.validToMs], [10_000_001, 10_000_002]);
});

test("what ended long ago is forgotten, what is open is not", () => {
  const history = new IdentityHistory();
  history.observe(1000, devices(device("GPU-1")));
  history.observe(2000, listed(claim("a", "GPU-1")));
  history.observe(3000, listed(claim("b", "GPU-1")));
  assert.equal(history.prune(3000), 1);
  assert.deepEqual(podsAt(history, 2500), []);
  assert.deepEqual(podsAt(history, 3500), ["b GPU-1"]);
});
