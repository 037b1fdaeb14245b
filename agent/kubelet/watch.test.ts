/**
 * The kubelet's words through to identity: recorded lives of a real kubelet, with its restart and its
 * OK-and-empty answers, end no allocation; and the poll is single-flight and goes on for ever.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { IdentityHistory } from "../identity/history.ts";
import { recording, startKubelet } from "../testing/kubelet-emulator.ts";
import { isNvidiaResource, mapAllocations, noPodSource, type NodeDevice } from "./allocations.ts";
import { createPodResourcesClient, type PodResourcesClient } from "./client.ts";
import type { PodResources } from "./pod-resources.ts";
import { watchKubelet, type KubeletWord } from "./watch.ts";

const mig = (n: number): NodeDevice["slices"][number] => ({
  uuid: `MIG-33333333-aaaa-5bbb-8ccc-00000000000${n}`,
  profile: "1g.10gb",
  gpuInstanceId: 6 + n,
  computeInstanceId: 0,
  placementStart: n - 1,
});
const whole = (first: number, last: number): NodeDevice => ({
  uuid: `GPU-${String(first).repeat(8)}-aaaa-4bbb-8ccc-00000000000${last}`,
  minor: first * 10 + last,
  slices: [],
});
/** The made-up node of the recordings. */
const node: readonly NodeDevice[] = [
  whole(1, 1),
  whole(1, 2),
  whole(2, 3),
  { uuid: "GPU-33333333-aaaa-4bbb-8ccc-000000000000", minor: 0, slices: [mig(1), mig(2), mig(3)] },
];

function observe(history: IdentityHistory, atMs: number, word: KubeletWord) {
  if (!word.heard) return history.observe(atMs, { type: "kubelet-silent" });
  const { podCount, allocations } = mapAllocations(word.pods, node, noPodSource, {
    isOurs: isNvidiaResource,
  });
  return history.observe(atMs, { type: "allocations", podCount, allocations });
}
function historyOfNode(): IdentityHistory {
  const history = new IdentityHistory();
  history.observe(1, {
    type: "devices",
    node: "node-1",
    bootId: "b",
    driverEpoch: "d",
    devices: node.map((device, index) => ({
      uuid: device.uuid,
      index,
      model: "A100",
      pciBusId: undefined,
      minor: device.minor,
      migEnabled: device.slices.length > 0,
      lost: false,
      slices: device.slices.map((slice) => ({ ...slice, smCount: 16, memoryMib: 9984 })),
    })),
  });
  return history;
}
const held = (history: IdentityHistory): string[] =>
  history.allocations
    .allOpen()
    .map(
      ({ value }) =>
        `${value.pod}/${value.container} ${value.resourceUuid.slice(0, 6)} ${value.replica}`,
    )
    .sort();

async function lists(names: readonly string[]): Promise<(readonly PodResources[])[]> {
  const dir = mkdtempSync(join(tmpdir(), "axonize-kubelet-"));
  const socketPath = join(dir, "kubelet.sock");
  const rateLimit = { perSecond: 1e6, burst: 1e6 };
  await using kubelet = await startKubelet({ socketPath, recorded: {}, rateLimit });
  using client = createPodResourcesClient({ clock: systemClock }, { socketPath });
  const found = [];
  for (const name of names) {
    kubelet.show(recording(name));
    const answer = await client.list();
    assert.ok(answer.ok);
    found.push(answer.value);
  }
  rmSync(dir, { recursive: true });
  return found;
}

test("a running node's whole GPUs, slices and time slices become allocations", async () => {
  const history = historyOfNode();
  const [pods = []] = await lists(["02-running"]);
  assert.deepEqual(observe(history, 1000, { heard: true, pods }), []);
  assert.deepEqual(held(history), [
    "first/main GPU-11 undefined",
    "initpod/main GPU-11 undefined",
    "initpod/main GPU-22 3",
    "initpod/side GPU-22 2",
    "mig/main MIG-33 undefined",
    "mig/main MIG-33 undefined",
    "shared/main GPU-22 0",
    "shared/main GPU-22 1",
  ]);
});

test("through a kubelet's restart, silent, then OK and empty, then partial to full, nothing ends", async () => {
  const history = historyOfNode();
  const [before = [], empty = [], later = [], again = []] = await lists([
    "10-before-restart",
    "11-restarted-unregistered",
    "12-restarted-12s",
    "13-reregistered",
  ]);
  observe(history, 1000, { heard: true, pods: before });
  const lives = history.allocations
    .allOpen()
    .map(({ key, validFromMs }) => `${key} ${validFromMs}`);
  assert.ok(lives.length > 0);
  observe(history, 2000, { heard: false, refusal: "unavailable", detail: "" });
  assert.deepEqual(empty, []);
  observe(history, 3000, { heard: true, pods: empty });
  assert.equal(history.allocations.allOpen().length, lives.length);
  observe(history, 15_000, { heard: true, pods: later });
  observe(history, 16_000, { heard: true, pods: again });
  const after = history.allocations
    .allOpen()
    .map(({ key, validFromMs }) => `${key} ${validFromMs}`);
  const stillListed = new Set(
    mapAllocations(again, node, noPodSource, { isOurs: isNvidiaResource }).allocations.map(
      ({ pod }) => pod,
    ),
  );
  for (const life of lives) {
    const pod = /\/([\w-]+)\//.exec(life)?.[1] ?? "";
    if (stillListed.has(pod)) assert.ok(after.includes(life), life);
  }
  assert.ok(after.length > 0);
});

test("a pod that ended is gone from the next answer and its allocation closed", async () => {
  const history = historyOfNode();
  const [before = [], after = []] = await lists(["05-before-end", "06-succeeded"]);
  observe(history, 1000, { heard: true, pods: before });
  observe(history, 2000, { heard: true, pods: after });
  assert.deepEqual(
    held(history),
    mapAllocations(after, node, noPodSource, { isOurs: isNvidiaResource })
      .allocations.map((a) => `${a.pod}/${a.container} ${a.deviceUuid.slice(0, 6)} ${a.replica}`)
      .sort(),
  );
});

test("a device on two NUMA nodes is one allocation; DRA devices are found by minor and placement", async () => {
  const [numa = [], dra = []] = await lists(["20-numa-init", "30-dra"]);
  const one = mapAllocations(numa, node, noPodSource, { isOurs: isNvidiaResource });
  const both = one.allocations.filter(({ pod }) => pod === "both").map((a) => a.deviceUuid);
  assert.equal(new Set(both).size, both.length);
  const two = mapAllocations(dra, node, noPodSource, { isOurs: isNvidiaResource });
  assert.deepEqual(
    two.allocations
      .filter(({ pod }) => pod === "dra")
      .map((a) => a.deviceUuid)
      .sort(),
    ["GPU-33333333-aaaa-4bbb-8ccc-000000000000", mig(1).uuid],
  );
});

test("what cannot be tied to silicon is told with its reason and never guessed", () => {
  const gpu = whole(1, 1).uuid;
  const pod = (resourceName: string, deviceId: string): PodResources => ({
    namespace: "d",
    name: "p",
    containers: [
      { name: "c", devices: [{ resourceName, deviceIds: [deviceId], numaNodes: [] }], claims: [] },
    ],
  });
  const map = (resourceName: string, id: string) =>
    mapAllocations([pod(resourceName, id)], node, noPodSource, { isOurs: isNvidiaResource });
  assert.equal(map("nvidia.com/gpu", `${gpu}-3`).unmapped[0]?.reason, "slot_only");
  assert.equal(map("nvidia.com/gpu", "GPU-99").unmapped[0]?.reason, "unknown_form");
  assert.equal(map("nvidia.com/gpu", whole(9, 9).uuid).unmapped[0]?.reason, "not_on_this_node");
  assert.equal(map("nvidia.com/gpu", "nvidia11").allocations[0]?.deviceUuid, gpu);
  assert.equal(map("nvidia.com/gpu", "nvidia0/gi8").allocations[0]?.deviceUuid, mig(2).uuid);
  const foreign = map("amd.com/gpu", "0000:1");
  assert.deepEqual([foreign.allocations, foreign.unmapped], [[], []]);
});

test("the poll asks once a second, one call at a time, goes on after silence, and ends with its signal", async () => {
  const clock = createFakeClock();
  let under = 0;
  let most = 0;
  const answers = [false, true, false, true];
  const client: PodResourcesClient = {
    list: async () => {
      under += 1;
      most = Math.max(most, under);
      await Promise.resolve();
      under -= 1;
      return answers.shift()
        ? { ok: true, value: [] }
        : { ok: false, refusal: "unavailable", detail: "" };
    },
    allocatable: () => Promise.reject(new Error("not asked")),
    get: () => Promise.reject(new Error("not asked")),
    [Symbol.dispose]: () => undefined,
  };
  const stop = new AbortController();
  const heard: string[] = [];
  const start = clock.now();
  const done = watchKubelet(
    { client, clock, random: () => 0.5 },
    {
      signal: stop.signal,
      onWord: (atMs, word) => heard.push(`${atMs - start} ${String(word.heard)}`),
    },
  );
  await clock.advance(3_500);
  assert.deepEqual(heard, ["0 false", "1050 true", "2100 false", "3150 true"]);
  assert.equal(most, 1);
  stop.abort();
  await done;
});
