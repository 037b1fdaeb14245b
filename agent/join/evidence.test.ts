/**
 * What is gathered of computing processes from list to list: reused pids, processes that vanish, lists that
 * cannot be read, processes that move; and which devices their nodes open.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import type { Resource } from "../identity/resolve.ts";
import type { ProcessList } from "../nvml/processes.ts";
import { createProc } from "../proc/proc.ts";
import { createFakeProc, numberByName, podCgroup, type FakeProc } from "../testing/fake-proc.ts";
import { createEvidence, visibleResources, type Evidence, type NodeGpu } from "./evidence.ts";
import { listsBetweenLooks } from "./limits.ts";

const podUid = "5a568c15-a506-4824-a5ac-10ff89d837e1";
const idOf = (digit: string): string => digit.repeat(64);

function open(proc: FakeProc): Evidence {
  const deps = { clock: systemClock, numberOf: numberByName(508) };
  return createEvidence({ proc: createProc(deps, { root: proc.root }) });
}
function list(
  rows: readonly (readonly [pid: number, device: string])[],
  missing: readonly string[] = [],
  kind: "compute" | "graphics" | "mps" = "compute",
): ProcessList {
  const row = { kind, memoryBytes: 1, gpuInstanceId: undefined, computeInstanceId: undefined };
  return {
    rows: rows.map(([pid, device]) => ({
      ...row,
      pid,
      device,
      gpuUuid: device,
      smUtilizationRatio: undefined,
    })),
    missing: new Map(missing.map((device) => [device, "no_permission" as const])),
    truncatedCount: 0,
  };
}
const known = (evidence: Evidence): string[] =>
  evidence.processes.map(
    ({ facts, devices, runtime }) =>
      `${facts.pid}#${facts.startTime} ${devices.join("+")} of ${runtime.uuids.join("+")}`,
  );

test("a process keeps the devices that it ever had; another with its pid begins with none", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  proc.add({ pid: 5, startTime: 100 });
  await evidence.observe(list([[5, "G1"]]));
  await evidence.observe(list([[5, "G2"]]));
  assert.deepEqual(known(evidence), ["5#100 G2 of G1+G2"]);
  proc.add({ pid: 5, startTime: 200 });
  await evidence.observe(list([[5, "G3"]]));
  assert.deepEqual(known(evidence), ["5#200 G3 of G3"]);
});

test("a list in which a device is missing, or that was cut, is no proof that a process is on one alone", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  proc.add({ pid: 5, startTime: 100 });
  const polls = (): number | undefined => evidence.processes[0]?.runtime.pollCount;
  await evidence.observe(list([[5, "G1"]], ["G2"]));
  await evidence.observe({ ...list([[5, "G1"]]), truncatedCount: 1 });
  assert.equal(polls(), 0);
  await evidence.observe({ ...list([[5, "G1"]]), missing: new Map([["G2", "gpu_lost"]]) });
  await evidence.observe(list([[5, "G1"]]));
  assert.equal(polls(), 2);
});

test("who is gone, or lists nothing any more, is forgotten; whose list cannot be read is not", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  for (const pid of [5, 6, 7]) proc.add({ pid });
  await evidence.observe(
    list([
      [5, "G1"],
      [6, "G2"],
      [7, "G3"],
    ]),
  );
  proc.remove(6);
  await evidence.observe(list([[6, "G2"]], ["G1"]));
  assert.deepEqual(known(evidence), ["5#5 G1 of G1"]);
  assert.deepEqual([...evidence.strangers], ["G2"], "listed, and not in this /proc");
  await evidence.observe(list([]));
  assert.deepEqual(known(evidence), []);
});

test("a screen computes nothing, and an MPS client is one", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  for (const pid of [5, 6]) proc.add({ pid });
  await evidence.observe(list([[5, "G1"]], [], "graphics"));
  assert.deepEqual(known(evidence), []);
  await evidence.observe(list([[6, "G1"]], [], "mps"));
  assert.equal(evidence.processes[0]?.mps, true);
});

test("a process that was put into another container is seen there within a minute", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  proc.add({ pid: 5, cgroup: podCgroup(podUid, idOf("a")) });
  await evidence.observe(list([[5, "G1"]]));
  proc.add({ pid: 5, cgroup: podCgroup(podUid, idOf("b")) });
  let lists = 1;
  while (evidence.processes[0]?.facts.containerId !== idOf("b")) {
    await evidence.observe(list([[5, "G1"]]));
    lists += 1;
    assert.ok(lists <= listsBetweenLooks + 1);
  }
});

test("ancestors end at a container, at another session and at the first process", async () => {
  using proc = createFakeProc();
  const evidence = open(proc);
  proc.add({ pid: 2, parentPid: 1, session: 1, command: "login" });
  proc.add({ pid: 3, parentPid: 2, session: 3, command: "bash" });
  proc.add({ pid: 4, parentPid: 3, session: 3, command: "serve" });
  proc.add({ pid: 5, parentPid: 4, session: 3, command: "worker" });
  proc.add({ pid: 6, parentPid: 4, session: 3, cgroup: podCgroup(podUid, idOf("a")) });
  await evidence.observe(
    list([
      [5, "G1"],
      [6, "G2"],
    ]),
  );
  const ancestors = evidence.processes.map((p) => p.ancestors.map(({ command }) => command).join());
  assert.deepEqual(ancestors, ["serve,bash", ""]);
});

test("a partitioned GPU opens the slices whose capability the container has, or nobody knows", () => {
  const resource = (uuid: string): Resource => ({
    uuid,
    gpuUuid: "G",
    kind: "mig",
    model: "H100",
    pciBusId: undefined,
  });
  const gpus: NodeGpu[] = [
    {
      resource: resource("G0"),
      minor: 0,
      migEnabled: true,
      slices: [1, 2].map((n) => ({
        resource: resource(`M${n}`),
        gpuInstanceId: 6 + n,
        computeInstanceId: 0,
      })),
    },
    { resource: resource("G1"), minor: 1, migEnabled: false, slices: [] },
  ];
  const capabilities = new Map([
    [66, { gpuMinor: 0, gpuInstanceId: 7, computeInstanceId: undefined }],
    [67, { gpuMinor: 0, gpuInstanceId: 7, computeInstanceId: 0 }],
    [70, { gpuMinor: 0, gpuInstanceId: 8, computeInstanceId: 0 }],
  ]);
  const ask = (nodes: number[], caps: number[], table = capabilities): string | undefined =>
    visibleResources({ gpus: nodes, capabilities: caps }, gpus, table)
      ?.map(({ uuid }) => uuid)
      .join();
  assert.equal(ask([0], [66, 67]), "M1");
  assert.equal(ask([0], [66]), "", "the GPU instance alone opens no slice");
  assert.equal(ask([0, 1], [66, 67, 70]), "M1,M2,G1");
  assert.equal(ask([1], [67]), "G1", "without the GPU's own node its slices are closed");
  assert.equal(ask([0], [67], new Map()), undefined);
  assert.equal(ask([1], [], new Map()), "G1");
});
