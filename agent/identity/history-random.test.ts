/**
 * Random lives of a node: pods come and go, slices are cut anew, drivers reload, GPUs fall off, kubelets
 * restart, clocks jump. A plain model keeps what was true after every observation with the number of each
 * life; at the end every one of those moments is looked up again.
 *
 * The model shares no code with the state machine: it is sets of strings and says only what §4.4 says.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdentityHistory } from "./history.ts";
import type { Observation, ObservedAllocation, ObservedDevice } from "./records.ts";

const gpus = ["GPU-0", "GPU-1", "GPU-2"];
const layouts = [["1g.10gb", "1g.10gb", "2g.20gb"], ["3g.40gb"], ["1g.20gb", "1g.10gb"]];

type Op =
  | { op: "start" | "end" | "recreate"; pod: number; pick: number }
  | { op: "repartition" | "toggle" | "lose" | "reset"; gpu: number; layout: number }
  | { op: "reboot" | "reload" | "list" | "silent" | "empty" | "ghost" }
  | { op: "process"; pid: number; pick: number };

const gap = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 5_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 60_000, max: 150_000 }) },
  { weight: 1, arbitrary: fc.constant(-3_600_000) },
);
const op: fc.Arbitrary<Op> = fc.oneof(
  fc.record({
    op: fc.constantFrom("start", "start", "start", "end", "recreate"),
    pod: fc.nat(4),
    pick: fc.nat(9),
  }),
  fc.record({
    op: fc.constantFrom("repartition", "toggle", "lose", "reset"),
    gpu: fc.nat(2),
    layout: fc.nat(2),
  }),
  fc.record({
    op: fc.constantFrom("reboot", "reload", "list", "list", "silent", "empty", "ghost"),
  }),
  fc.record({ op: fc.constant("process" as const), pid: fc.nat(3), pick: fc.nat(9) }),
);
type Steps = { gapMs: number; step: Op }[];
const steps: fc.Arbitrary<Steps> = fc.array(fc.record({ gapMs: gap, step: op }), {
  minLength: 1,
  maxLength: 60,
  size: "max",
});

/** The node as it is, and the model of what the observers may know. */
class Node {
  boot = 0;
  reloads = 0;
  mig = gpus.map((_, i) => i === 0);
  layout = gpus.map(() => 0);
  lost = gpus.map(() => false);
  pods = new Map<number, { device: string; uid: number }>();
  processes = new Map<number, { device: string; start: number }>();
  ghosts: ObservedAllocation[] = [];
  next = 1;

  devices(): ObservedDevice[] {
    return gpus.map((uuid, i) => ({
      uuid,
      index: i,
      model: "H100",
      pciBusId: `0000000${i}`,
      minor: i,
      migEnabled: this.mig[i] === true,
      lost: this.lost[i] === true,
      slices: this.mig[i]
        ? (layouts[this.layout[i] ?? 0] ?? []).map((profile, k) => ({
            // The UUID comes from the place alone, as on silicon: another layout has the same UUIDs.
            uuid: `MIG-${i}-${k}`,
            profile,
            gpuInstanceId: k,
            computeInstanceId: 0,
            smCount: undefined,
            memoryMib: undefined,
          }))
        : [],
    }));
  }
  resources(): { uuid: string; life: string }[] {
    return this.devices().flatMap((d) =>
      d.migEnabled
        ? d.slices.map((s) => ({ uuid: s.uuid, life: s.profile }))
        : [{ uuid: d.uuid, life: "whole" }],
    );
  }
  claims(): ObservedAllocation[] {
    return [...this.pods].map(([pod, { device, uid }]) => ({
      namespace: "ns",
      pod: `p${pod}`,
      container: "c",
      podUid: `u${uid}`,
      resourceName: "r",
      deviceUuid: device,
      replica: undefined,
      podEnded: false,
    }));
  }
}

/** key → number of the life; a life that ends and begins again has another number. */
type Lives = Map<string, number>;
interface Moment {
  atMs: number;
  resources: Lives;
  allocations: Lives;
  usages: Lives;
}

class Model {
  resources: Lives = new Map();
  shapes = new Map<string, string>();
  allocations: Lives = new Map();
  usages: Lives = new Map();
  silentSince: number | undefined;
  lives = 0;

  devices(node: Node): void {
    const now = new Map(node.resources().map(({ uuid, life }) => [uuid, life]));
    const ended = new Set<string>();
    for (const [i, gpu] of gpus.entries()) {
      if (node.lost[i]) {
        // Keeps its epochs; only a new boot or driver ends them, and `endAll` has done so.
        for (const uuid of this.resources.keys()) {
          if (gpuOf(uuid) === gpu) this.endUsages(uuid);
        }
        continue;
      }
      for (const uuid of this.resources.keys()) {
        if (gpuOf(uuid) === gpu && now.get(uuid) !== this.shapes.get(uuid)) ended.add(uuid);
      }
      for (const uuid of ended) if (gpuOf(uuid) === gpu) this.endResource(uuid);
      for (const [uuid, life] of now) {
        if (gpuOf(uuid) !== gpu || this.resources.has(uuid)) continue;
        this.resources.set(uuid, (this.lives += 1));
        this.shapes.set(uuid, life);
      }
    }
  }
  endAll(): void {
    for (const uuid of this.resources.keys()) this.endResource(uuid);
  }
  endResource(uuid: string): void {
    this.resources.delete(uuid);
    for (const key of this.allocations.keys()) {
      if (key.split(" ")[1] === uuid) this.allocations.delete(key);
    }
    this.endUsages(uuid);
  }
  endUsages(uuid: string): void {
    for (const key of this.usages.keys()) if (key.split(" ")[1] === uuid) this.usages.delete(key);
  }
  list(claims: ObservedAllocation[]): void {
    const keys = claims.map((c) => `${c.pod}/${c.podUid} ${c.deviceUuid}`);
    this.silentSince = undefined;
    for (const key of this.allocations.keys()) {
      if (!keys.includes(key)) this.allocations.delete(key);
    }
    for (const [i, key] of keys.entries()) {
      const uuid = claims[i]?.deviceUuid;
      const rivals = claims.filter((c) => c.deviceUuid === uuid).length;
      if (this.allocations.has(key) || rivals > 1 || !this.resources.has(uuid ?? "")) continue;
      this.allocations.set(key, (this.lives += 1));
    }
  }
  silent(atMs: number): void {
    this.silentSince ??= atMs;
    if (atMs - this.silentSince > 120_000) this.allocations.clear();
  }
  usage(node: Node): void {
    const keys = [...node.processes].map(([pid, { device, start }]) => `${pid}#${start} ${device}`);
    for (const key of this.usages.keys()) if (!keys.includes(key)) this.usages.delete(key);
    for (const key of keys) {
      const device = key.split(" ")[1] ?? "";
      const lost = node.lost[gpus.indexOf(gpuOf(device))] === true;
      if (this.usages.has(key) || !this.resources.has(device) || lost) continue;
      this.usages.set(key, (this.lives += 1));
    }
  }
}

const gpuOf = (uuid: string): string => (uuid.startsWith("GPU") ? uuid : `GPU-${uuid[4]}`);

/** Changes the node by one step; answers what is observed then. */
function step(node: Node, model: Model, action: Op, atMs: number): Observation {
  const all = node.resources().map(({ uuid }) => uuid);
  const pick = (n: number): string => all[n % all.length] ?? "";
  const seen = (): Observation => {
    model.devices(node);
    const driverEpoch = `580#${node.reloads}`;
    return {
      type: "devices",
      node: "n",
      bootId: `b${node.boot}`,
      driverEpoch,
      devices: node.devices(),
    };
  };
  switch (action.op) {
    case "start": {
      const device = pick(action.pick);
      const taken = [...node.pods.values()].some((pod) => pod.device === device);
      if (!taken) node.pods.set(action.pod, { device, uid: (node.next += 1) });
      break;
    }
    case "recreate": {
      const pod = node.pods.get(action.pod);
      if (pod) node.pods.set(action.pod, { device: pod.device, uid: (node.next += 1) });
      break;
    }
    case "end":
      node.pods.delete(action.pod);
      break;
    case "ghost":
      // An old kubelet goes on listing a pod that ended, beside the one that has its device now.
      node.ghosts = node
        .claims()
        .slice(0, 1)
        .map((c) => ({ ...c, pod: "ghost", podUid: "u0" }));
      break;
    case "repartition":
    case "toggle":
      if (node.lost[action.gpu]) return seen();
      if (action.op === "toggle") node.mig[action.gpu] = !node.mig[action.gpu];
      node.layout[action.gpu] = action.layout;
      return seen();
    case "lose":
    case "reset":
      node.lost[action.gpu] = action.op === "lose";
      return seen();
    case "reboot":
    case "reload":
      if (action.op === "reboot") node.boot += 1;
      else node.reloads += 1;
      node.lost.fill(false);
      model.endAll();
      return seen();
    case "silent":
      model.silent(atMs);
      return { type: "kubelet-silent" };
    case "empty":
      model.silent(atMs);
      return { type: "allocations", podCount: 0, allocations: [] };
    case "process": {
      const device = pick(action.pick);
      node.processes.set(action.pid, { device, start: (node.next += 1) });
      model.usage(node);
      const usages = [...node.processes].map(([pid, p]) => ({
        bootId: "b",
        pid,
        startTime: p.start,
        ownPid: pid,
        command: "python3",
        owner: undefined,
        containerId: undefined,
        podUid: undefined,
        resourceUuid: p.device,
      }));
      return { type: "usages", usages };
    }
    case "list":
      break;
  }
  const claims = [...node.claims(), ...node.ghosts];
  node.ghosts = [];
  model.list(claims);
  return { type: "allocations", podCount: claims.length + 1, allocations: claims };
}

function livesAt(history: IdentityHistory, atMs: number): Record<string, Map<string, string>> {
  return {
    resources: new Map(
      history.resources.allAt(atMs).map((i) => [i.value.uuid, String(i.validFromMs)]),
    ),
    allocations: new Map(
      history.allocations
        .allAt(atMs)
        .map((i) => [
          `${i.value.pod}/${i.value.podUid} ${i.value.resourceUuid}`,
          String(i.validFromMs),
        ]),
    ),
    usages: new Map(
      history.usages
        .allAt(atMs)
        .map((i) => [
          `${i.value.pid}#${i.value.startTime} ${i.value.resourceUuid}`,
          String(i.validFromMs),
        ]),
    ),
  };
}

function runLife(life: Steps): { history: IdentityHistory; moments: Moment[] } {
  const node = new Node();
  const model = new Model();
  const history = new IdentityHistory();
  const moments: Moment[] = [];
  let wallMs = 1_700_000_000_000;
  let lastMs = 0;
  const all: Steps = [{ gapMs: 1, step: { op: "reset", gpu: 0, layout: 0 } }, ...life];
  for (const { gapMs, step: action } of all) {
    wallMs += gapMs;
    const atMs = Math.max(wallMs, lastMs + 1);
    lastMs = atMs;
    const observation = step(node, model, action, atMs);
    history.observe(wallMs, observation);
    moments.push({
      atMs,
      resources: new Map(model.resources),
      allocations: new Map(model.allocations),
      usages: new Map(model.usages),
    });
  }
  return { history, moments };
}

test("random lives: every moment is answered later as it was, and a life is one interval", () => {
  let allocations = 0;
  fc.assert(
    fc.property(steps, (life) => {
      const { history, moments } = runLife(life);
      for (const kind of ["resources", "allocations", "usages"] as const) {
        const intervalOfLife = new Map<number, string>();
        for (const moment of moments) {
          const expected = moment[kind];
          const found = livesAt(history, moment.atMs)[kind] ?? new Map<string, string>();
          assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), kind);
          for (const [key, number] of expected) {
            const interval = `${key} ${found.get(key)}`;
            assert.equal(intervalOfLife.get(number) ?? interval, interval, "a gap inside a life");
            intervalOfLife.set(number, interval);
          }
        }
        assert.equal(
          new Set(intervalOfLife.values()).size,
          intervalOfLife.size,
          "two lives in one interval",
        );
        if (kind === "allocations") allocations += intervalOfLife.size;
      }
    }),
    { numRuns: 600 },
  );
  assert.ok(allocations > 600, `the lives had ${allocations} allocations: too few to say anything`);
});

test("random lives: an exclusive resource never has two open allocations, and each is on the epoch of its time", () => {
  fc.assert(
    fc.property(steps, (life) => {
      const { history, moments } = runLife(life);
      for (const { atMs } of moments) {
        const held = history.allocations.allAt(atMs);
        const uuids = held.map(({ value }) => value.resourceUuid);
        assert.equal(new Set(uuids).size, uuids.length);
        for (const { value } of held) {
          const epoch = history.resources.at(value.resourceUuid, atMs)?.value.epochMs;
          assert.equal(value.resourceId, `${value.resourceUuid}@${epoch}`);
        }
      }
    }),
    { numRuns: 300 },
  );
});
