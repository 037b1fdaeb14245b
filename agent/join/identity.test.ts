/**
 * The identity loop over a kubelet emulator, made-up processes and devices as sampling tells them: from
 * what each source says to the intervals that are reported, through restarts of everything.
 */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock, type Clock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { numberByName, podCgroup } from "../testing/fake-proc.ts";
import {
  createIdentityBench,
  gpuOf,
  gpuUuid,
  listing,
  migUuid,
  sliceOf,
  type IdentityBench,
} from "../testing/identity-bench.ts";
import { podObject, startKubeServer } from "../testing/kube-server.ts";
import { startKubelet, type Recording } from "../testing/kubelet-emulator.ts";
import type { IdentityChange } from "../report.ts";
import { createIdentity, type Identity, type IdentityOptions } from "./identity.ts";

const podUid = "5a568c15-a506-4824-a5ac-10ff89d837e1";
const containerId = "f871d3f1ff330eddd661af03fc0c9b7c156ee2f4eaf180a4431a798bf891e7a8";

async function start(
  bench: IdentityBench,
  more: Partial<IdentityOptions> & {
    energyOf?: (uuid: string) => number | undefined;
    clock?: Clock;
  } = {},
): Promise<Identity> {
  const { energyOf, clock = systemClock, ...options } = more;
  return await createIdentity(
    {
      clock,
      log: silentLog,
      registry: createRegistry(),
      reporter: bench.reporter,
      feed: bench.feed,
      random: () => 0,
      numberOf: numberByName(508),
      ...(energyOf ? { energyOf } : {}),
    },
    {
      node: "node-1",
      podResourcesSocket: bench.socketPath,
      procRoot: bench.proc.root,
      stateDir: bench.stateDir,
      kube: undefined,
      ...options,
    },
  );
}
const kubeletOn = (bench: IdentityBench, held: Readonly<Record<string, readonly string[]>>) =>
  startKubelet({ socketPath: bench.socketPath, recorded: listing(held) });

async function until<T>(look: () => T | undefined | false, what: string): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
const claims = (bench: IdentityBench): string[] =>
  bench
    .open("allocation")
    .map(({ value }) => `${value.pod}/${value.container} ${value.resourceUuid.slice(0, 5)}`)
    .sort();
const binding = (bench: IdentityBench, ordinal: number | undefined, pid?: number) =>
  bench
    .open("ordinal")
    .map(({ value }) => value)
    .find((value) => value.ordinal === ordinal && value.process?.pid === pid);

test("a pod's slice, its process and its ordinal are reported, the uid learned from the cgroup", async () => {
  using bench = createIdentityBench();
  await using _ = await kubeletOn(bench, { "ml/llm/main": [migUuid(2)] });
  await using identity = await start(bench);
  bench.devices([gpuOf(0, [sliceOf(1), sliceOf(2)])]);
  await until(() => claims(bench).join() === "llm/main MIG-2", "the allocation");
  assert.equal(binding(bench, 0)?.level, "exact.single");
  assert.equal(bench.open("allocation")[0]?.value.podUid, undefined);
  bench.proc.add({ pid: 70, ownPid: 1, cgroup: podCgroup(podUid, containerId) });
  bench.processes({ 70: [migUuid(2)] });
  await until(() => bench.open("allocation")[0]?.value.podUid === podUid, "the uid");
  const usage = await until(() => bench.open("usage")[0]?.value, "the usage");
  assert.deepEqual(
    [usage.pid, usage.ownPid, usage.containerId, usage.owner?.pod, usage.podUid],
    [70, 1, containerId, "llm", podUid],
  );
  const whole = binding(bench, undefined);
  assert.deepEqual([whole?.level, whole?.resourceUuids], ["exact.single", [migUuid(2)]]);
  assert.deepEqual(whole?.podUid, podUid);
  assert.deepEqual(identity.holders(migUuid(2)), [
    { namespace: "ml", pod: "llm", container: "main" },
  ]);
  assert.deepEqual(identity.sources().kubelet, { state: "answering" });
  const layers = bench.changes.map(({ layer }) => layer);
  assert.ok(layers.indexOf("placement") < layers.indexOf("resource"));
  assert.ok(layers.indexOf("resource") < layers.indexOf("allocation"));
});

test("stopping ends nothing, and the next run goes on with the same epochs, flagged, and closes what went", async () => {
  using bench = createIdentityBench();
  await using kubelet = await kubeletOn(bench, {
    "ml/a/main": [gpuUuid(0)],
    "ml/b/main": [gpuUuid(1)],
  });
  {
    await using _ = await start(bench);
    bench.devices([gpuOf(0), gpuOf(1)]);
    await until(() => claims(bench).length === 2, "both allocations");
  }
  assert.ok(bench.changes.every(({ validToMs }) => validToMs === undefined));
  assert.deepEqual(readdirSync(bench.stateDir), ["identity.json"]);
  const before = bench.open("resource").map(({ validFromMs }) => validFromMs);
  kubelet.show(listing({ "ml/a/main": [gpuUuid(0)] }));
  await using _ = await start(bench);
  await until(() => claims(bench).join() === "a/main GPU-0", "b is closed by the second run");
  const resources = bench.open("resource");
  assert.deepEqual(
    resources.map(({ validFromMs }) => validFromMs),
    before,
  );
  assert.ok(resources.every(({ value }) => value.gap));
});

test("a state of another node, of nonsense or cut off is none, and costs new epochs only", async () => {
  using bench = createIdentityBench();
  {
    await using _ = await start(bench, { node: "other" });
    bench.devices([gpuOf(0)]);
    await until(() => bench.open("resource").length === 1, "the device");
  }
  for (const text of [undefined, "{", '{"version":1}', "[]", "null", '{"version":9}']) {
    if (text !== undefined) writeFileSync(join(bench.stateDir, "identity.json"), text);
    const told = bench.changes.length;
    await using _ = await start(bench, { stateDir: bench.stateDir });
    const fresh = bench.changes.slice(told).filter(({ layer }) => layer === "resource");
    assert.equal(fresh.length, 1, String(text));
    assert.ok(fresh.every(({ value }) => "gap" in value && !value.gap));
  }
});

test("a driver that was loaded anew while no agent ran shows by its energy, and begins new epochs", async () => {
  using bench = createIdentityBench();
  {
    await using _ = await start(bench, { energyOf: () => 5_000 });
    bench.devices([gpuOf(0)]);
    await until(() => bench.open("resource").length === 1, "the device");
  }
  const [before] = bench.open("resource");
  {
    await using _ = await start(bench, { energyOf: () => 6_000 });
    bench.devices([gpuOf(0)]);
    assert.equal(bench.open("resource")[0]?.validFromMs, before?.validFromMs);
  }
  await using _ = await start(bench, { energyOf: () => 100 });
  bench.devices([gpuOf(0)]);
  const after = bench.open("resource");
  assert.equal(after.length, 1);
  assert.notEqual(after[0]?.validFromMs, before?.validFromMs);
  assert.equal(bench.open("placement")[0]?.value.driverEpoch, "580.82.07#1");
});

test("a kubelet's restart with its empty answers ends nothing, and is told as stale meanwhile", async () => {
  using bench = createIdentityBench();
  await using _ = await start(bench);
  bench.devices([gpuOf(0)]);
  {
    await using _ = await kubeletOn(bench, { "ml/a/main": [gpuUuid(0)] });
    await until(() => claims(bench).length === 1, "the allocation");
  }
  await until(() => bench.open("allocation")[0]?.value.stale, "stale while it is down");
  await using again = await startKubelet({
    socketPath: bench.socketPath,
    recorded: { List: { pod_resources: [] } },
  });
  const asked = again.listCount;
  await until(() => again.listCount > asked + 1, "empty answers");
  assert.equal(bench.open("allocation")[0]?.value.stale, true);
  again.show(listing({ "ml/a/main": [gpuUuid(0)] }));
  await until(() => bench.open("allocation")[0]?.value.stale === false, "it is sure again");
  assert.equal(
    bench.changes.filter((c) => c.layer === "allocation" && c.validToMs !== undefined).length,
    0,
  );
});

test("on a host without a kubelet, a command's devices are those that it and its workers compute on", async () => {
  using bench = createIdentityBench();
  await using identity = await start(bench);
  bench.devices([gpuOf(0), gpuOf(1), gpuOf(2)]);
  bench.proc.add({ pid: 10, session: 5, command: "vllm" });
  for (const pid of [11, 12])
    bench.proc.add({ pid, parentPid: 10, session: 5, command: "VLLM::Worker" });
  bench.proc.add({ pid: 20, session: 9, command: "train" });
  // Once is no proof: a context may be opened and left again.
  const train = await until(() => {
    bench.processes({ 11: [gpuUuid(0)], 12: [gpuUuid(1)], 20: [gpuUuid(2)] });
    return [binding(bench, undefined, 20)].find((b) => b?.level === "exact.runtime");
  }, "the command's own");
  const server = await until(() => binding(bench, undefined, 10), "the server's set");
  assert.deepEqual(
    [server.level, server.resourceUuids],
    ["derived.workers", [gpuUuid(0), gpuUuid(1)]],
  );
  assert.deepEqual(train.resourceUuids, [gpuUuid(2)]);
  assert.equal(bench.open("usage").find(({ value }) => value.pid === 20)?.value.command, "train");
  assert.deepEqual(identity.sources().kubelet, { state: "none" });
  assert.deepEqual(identity.unjoinedSeconds(), {});
  bench.processes({ 20: [gpuUuid(2)] });
  await until(() => bench.open("usage").length === 1, "the workers have gone");
  assert.equal(binding(bench, undefined, 10), undefined);
});

test("a process on what its container was not given is told, and never put on the container", async () => {
  using bench = createIdentityBench();
  await using server = await startKubeServer();
  server.set("/api/v1/pods", podObject("a", { uid: podUid, containerId, privileged: true }));
  await using _ = await kubeletOn(bench, { "default/a/main": [gpuUuid(0)] });
  const kube = { url: server.url, tokenFile: undefined, caFile: undefined };
  await using identity = await start(bench, { kube });
  bench.devices([gpuOf(0), gpuOf(1)]);
  await until(() => bench.open("allocation")[0]?.value.podUid === podUid, "the uid from the API");
  assert.equal(binding(bench, 0)?.level, "ambiguous", "a privileged pod may see all");
  bench.proc.add({
    pid: 70,
    cgroup: podCgroup(podUid, containerId),
    devices: ["nvidia0", "nvidia1"],
    environment: { PATH: "/", CUDA_DEVICE_ORDER: "PCI_BUS_ID", CUDA_VISIBLE_DEVICES: "1" },
  });
  bench.processes({ 70: [gpuUuid(1)] });
  const found = await until(
    () => [binding(bench, 0)].find((b) => b?.level === "derived.pci"),
    "the ordinal by its environment",
  );
  assert.deepEqual(found.resourceUuids, [gpuUuid(1)]);
  assert.deepEqual(found.warnings, ["runtime_not_allocated", "visible_not_allocated"]);
  assert.equal(identity.sources().pods, "watching");
});

test("unjoined time has its reason, and a pool without host access reads no process", async () => {
  using bench = createIdentityBench();
  await using _ = await kubeletOn(bench, { "ml/a/main": [gpuUuid(0)] });
  await using identity = await start(bench);
  bench.devices([gpuOf(0), gpuOf(1), gpuOf(2), gpuOf(3)]);
  await until(() => claims(bench).length === 1, "the kubelet answers");
  bench.proc.add({ pid: 70, cgroup: podCgroup(podUid, containerId) });
  bench.proc.add({ pid: 80 });
  const look = (): void =>
    bench.processes({ 70: [gpuUuid(1)], 80: [gpuUuid(2)], 99: [gpuUuid(3)] }, [gpuUuid(0)]);
  look();
  await until(() => {
    look();
    return Object.keys(identity.unjoinedSeconds()).length === 3;
  }, "three reasons");
  assert.deepEqual(Object.keys(identity.unjoinedSeconds()).sort(), [
    "host_process",
    "pod_unknown",
    "process_unknown",
  ]);
  assert.equal(bench.open("usage").length, 2);
  bench.configure({ hostAccess: "PodResourcesOnly" });
  look();
  await until(() => bench.open("usage").length === 0, "what was known of processes is given up");
  assert.equal(claims(bench).length, 1);
});

test("a resource under a name of the cluster's own counts where it is configured", async () => {
  using bench = createIdentityBench();
  const text = JSON.stringify(listing({ "ml/a/main": [gpuUuid(0)] }));
  // Safe: it was a recording before its resource had another name.
  const recorded = JSON.parse(text.replaceAll("nvidia.com/gpu", "example.com/h100")) as Recording;
  await using kubelet = await startKubelet({ socketPath: bench.socketPath, recorded });
  {
    await using _ = await start(bench, { stateDir: undefined });
    bench.devices([gpuOf(0)]);
    await until(() => kubelet.listCount >= 2, "the kubelet was heard");
    assert.deepEqual(claims(bench), []);
  }
  await using _ = await start(bench, { resourceNames: ["example.com/h100"] });
  await until(() => claims(bench).join() === "a/main GPU-0", "the allocation");
});

test("a clock that jumps an hour, and a restart after it, never make an interval end before it began", async () => {
  using bench = createIdentityBench();
  let offsetMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + offsetMs };
  await using kubelet = await kubeletOn(bench, { "ml/a/main": [gpuUuid(0)] });
  for (const jump of [0, 3_600_000, -7_200_000, 3_600_000]) {
    offsetMs += jump;
    await using _ = await start(bench, { clock });
    bench.devices([gpuOf(0)]);
    kubelet.show(listing({ [`ml/p${jump}/main`]: [gpuUuid(0)] }));
    await until(() => claims(bench).join() === `p${jump}/main GPU-0`, `p${jump} has it`);
  }
  const intervals = new Map<string, IdentityChange>();
  for (const change of bench.changes) {
    intervals.set(`${change.layer} ${change.key} ${change.validFromMs}`, change);
  }
  const held = [...intervals.values()].filter(({ layer }) => layer === "allocation");
  assert.ok(held.length >= 4);
  for (const { validFromMs, validToMs } of intervals.values()) {
    assert.ok(validToMs === undefined || validToMs > validFromMs);
  }
  // One after another on the one GPU: none begins before the one before it has ended.
  const inOrder = held.toSorted((a, b) => a.validFromMs - b.validFromMs);
  for (const [at, { validFromMs }] of inOrder.entries()) {
    const before = inOrder[at - 1];
    assert.ok(!before || (before.validToMs ?? Infinity) <= validFromMs);
  }
});

test("hostile names and cgroups pass as what they are, or as nothing", async () => {
  using bench = createIdentityBench();
  await using _ = await start(bench);
  bench.devices([gpuOf(0)]);
  const cgroups = [
    `0::/kubepods/pod${podUid}/../../${containerId}`,
    `0::/kubepods.slice/kubepods-pod${podUid}.slice/${"a/".repeat(30_000)}`,
    "0::/\u0000pod; drop table",
    "",
  ];
  for (const [index, cgroup] of cgroups.entries()) {
    bench.proc.add({ pid: 60 + index, cgroup, command: `x) R 1 1 ${"9 ".repeat(9)}(` });
  }
  bench.processes(Object.fromEntries(cgroups.map((_text, index) => [60 + index, [gpuUuid(0)]])));
  const seen = await until(
    () => bench.open("usage").length >= 2 && bench.open("usage"),
    "usages of those whose files are readable",
  );
  for (const { value } of seen) {
    assert.ok(value.podUid === undefined || value.podUid === podUid);
    assert.ok(value.command.length < 64);
    assert.equal(value.owner, undefined);
  }
});
