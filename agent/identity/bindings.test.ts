/**
 * Bindings of containers and processes: examples of how a node's evidence is put together, and random
 * containers whose every process has a true numbering: whatever a look-up calls exact must be it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { otherOrdinals } from "@axonize/core/contract/attribution";
import fc from "fast-check";
import { bindingsOf, type KnownContainer, type KnownProcess } from "./bindings.ts";
import { learnedUids, soleOwners, type Holding } from "./owners.ts";
import type { ObservedBinding } from "./records.ts";
import type { Resource } from "./resolve.ts";

function gpu(n: number): Resource {
  const uuid = `GPU-${String(n).repeat(8)}-aaaa-4bbb-8ccc-000000000000`;
  const pciBusId = `00000000:${(0x10 + n).toString(16)}:00.0`;
  return { uuid, gpuUuid: uuid, kind: "whole", model: "H100", pciBusId };
}
const [a, b, c] = [gpu(1), gpu(2), gpu(3)];
const owner = { namespace: "ml", pod: "llm", container: "main" };
const container = (
  allocated: Resource[] | undefined,
  more: Partial<KnownContainer> = {},
): KnownContainer => ({
  key: "ml/llm/main",
  owner,
  podUid: "u",
  containerId: "c",
  allocated,
  privileged: false,
  ...more,
});
function process(pid: number, more: Partial<KnownProcess> = {}): KnownProcess {
  return {
    process: { bootId: "b", pid, startTime: pid, ownPid: pid },
    containerKey: "ml/llm/main",
    ancestors: [],
    visible: undefined,
    environment: undefined,
    mps: false,
    remaps: false,
    runtime: { uuids: [], pollCount: 3 },
    ...more,
  };
}
const env = (visibleDevices: string) => ({ visibleDevices, deviceOrder: "PCI_BUS_ID" });
const find = (
  found: readonly ObservedBinding[],
  ordinal: number | undefined,
  pid?: number,
): string | undefined => {
  const binding = found.find((x) => x.ordinal === ordinal && x.process?.pid === pid);
  const what = binding?.resourceUuids.map((uuid) => uuid.slice(4, 5)).join("+");
  return binding && `${binding.level} ${what || (binding.reason ?? "")}`.trim();
};

test("a container's one device is every process's, and no process needs a binding of its own", () => {
  const found = bindingsOf([container([a])], [process(1), process(2)]);
  assert.deepEqual([find(found, 0), find(found, undefined)], ["exact.single 1", "exact.single 1"]);
  assert.equal(found.length, 2);
});

test("a container that nobody computes in yet is bound by its allocation alone", () => {
  const found = bindingsOf([container([a, b])], []);
  assert.equal(find(found, undefined), "exact.set 1+2");
  assert.equal(find(found, 0), "ambiguous environment_unknown");
});

test("workers that number their devices differently have their own bindings, the container none", () => {
  const workers = [
    process(1, { visible: [a, b], environment: env("0") }),
    process(2, { visible: [a, b], environment: env("1") }),
  ];
  const found = bindingsOf([container([a, b])], workers);
  assert.equal(find(found, 0), "ambiguous processes_differ");
  assert.deepEqual([find(found, 0, 1), find(found, 0, 2)], ["derived.pci 1", "derived.pci 2"]);
  assert.equal(find(found, undefined), "exact.set 1+2");
});

test("processes that agree are as sure as the least sure of them", () => {
  const list = { visible: [a, b], environment: { ...env(`${b.uuid},${a.uuid}`) } };
  const found = bindingsOf(
    [container([a, b])],
    [process(1, { ...list, runtime: { uuids: [b.uuid], pollCount: 3 } }), process(2, list)],
  );
  assert.equal(find(found, 0), "derived.uuidlist 2");
  assert.equal(find(found, 0, 1), "exact.uuidlist 2");
});

test("a process on one device alone says so of itself; what its ordinals mean only its spans tell", () => {
  const alone = (pid: number, uuid: string, pollCount = 2) =>
    process(pid, { visible: [a, b], remaps: true, runtime: { uuids: [uuid], pollCount } });
  const found = bindingsOf([container([a, b])], [alone(1, b.uuid), alone(2, a.uuid, 1)]);
  const candidates = (pid?: number) =>
    found.find((x) => x.ordinal === 0 && x.process?.pid === pid)?.candidates;
  assert.equal(find(found, 0, 1), "ambiguous other_ordinals");
  assert.deepEqual(candidates(1), [b.uuid]);
  assert.equal(find(found, 0, 2), "ambiguous process_remaps", "once is no proof");
  assert.equal(find(found, 0), "ambiguous process_remaps");
  assert.deepEqual(candidates(), [a.uuid, b.uuid], "another process may have either");
  const shown = process(3, {
    visible: [a, gpu(4)],
    environment: { visibleDevices: "1", deviceOrder: undefined },
    runtime: { uuids: [a.uuid], pollCount: 2 },
  });
  assert.equal(
    find(bindingsOf([container([a, { ...gpu(4), model: "T4" }])], [shown]), 0),
    "exact.runtime 1",
    "a list of one entry leaves no other ordinal",
  );
});

test("a pod that takes what it was not given is bound to what it computes on", () => {
  const runtime = { uuids: [c.uuid], pollCount: 2 };
  const found = bindingsOf([container([])], [process(1, { visible: [a, b, c], runtime })]);
  assert.equal(find(found, undefined), "exact.runtime 3");
  assert.deepEqual(found[0]?.warnings, ["runtime_not_allocated", "visible_not_allocated"]);
});

test("on a host, a command has what it computes on, and its ancestors what their workers do", () => {
  const host = { containerKey: undefined, visible: [a, b, c] };
  const parent = { bootId: "b", pid: 9, startTime: 9, ownPid: 9 };
  const worker = (pid: number, uuid: string) =>
    process(pid, { ...host, ancestors: [parent], runtime: { uuids: [uuid], pollCount: 2 } });
  const found = bindingsOf([], [worker(1, a.uuid), worker(2, c.uuid)]);
  assert.equal(find(found, undefined, 1), "exact.runtime 1");
  assert.equal(find(found, undefined, 9), "derived.workers 1+3");
  const once = process(3, {
    ...host,
    ancestors: [parent],
    runtime: { uuids: [b.uuid], pollCount: 1 },
  });
  assert.equal(find(bindingsOf([], [once]), undefined, 9), undefined, "once is no proof");
});

/** A container, its processes, and what each of them truly means by each ordinal. */
const world = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    privileged: fc.boolean(),
    kubelet: fc.boolean(),
    processes: fc.array(
      fc.record({
        list: fc.array(fc.nat(4), { maxLength: 4 }),
        form: fc.constantFrom("unset", "integers", "uuids"),
        shown: fc.record({ environment: fc.boolean(), visible: fc.boolean() }),
        remaps: fc.boolean(),
        polls: fc.integer({ min: 1, max: 4 }),
        uses: fc.nat(4),
      }),
      { maxLength: 4 },
    ),
  })
  .map((w) => {
    const devices = Array.from({ length: w.count }, (_, n) => gpu(n));
    const truths = new Map<number, readonly Resource[]>();
    const processes = w.processes.map((p, index) => {
      const chosen = [...new Set(p.list.map((n) => devices[n % w.count] ?? a))];
      const set = p.form !== "unset" && chosen.length > 0;
      const listed = set ? chosen : devices;
      // A framework that renumbers in the process, known as one.
      const numbering = p.remaps ? listed.toReversed() : listed;
      truths.set(index, numbering);
      const text =
        p.form === "uuids" ? chosen.map((d) => d.uuid) : chosen.map((d) => devices.indexOf(d));
      const used = [p.uses, p.uses + (p.polls % 2)].map(
        (n) => numbering[n % numbering.length] ?? a,
      );
      return process(index, {
        visible: p.shown.visible ? devices.toReversed() : undefined,
        environment: p.shown.environment
          ? { visibleDevices: set ? text.join() : undefined, deviceOrder: "PCI_BUS_ID" }
          : undefined,
        remaps: p.remaps,
        runtime: { uuids: [...new Set(used.map(({ uuid }) => uuid))], pollCount: p.polls },
      });
    });
    const { privileged } = w;
    const allocated = w.kubelet ? devices.toReversed() : undefined;
    return { devices, truths, processes, container: container(allocated, { privileged }) };
  });

test("random containers: what a look-up calls exact or derived is the process's own truth", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(world, ({ devices, truths, processes, container: of }) => {
      const found = bindingsOf([of], processes);
      const keys = found.map((x) => `${x.process?.pid} ${x.ordinal}`);
      assert.equal(new Set(keys).size, keys.length, "two bindings for one question");
      for (const [pid, numbering] of truths) {
        for (const ordinal of devices.keys()) {
          const own = found.find((x) => x.process?.pid === pid && x.ordinal === ordinal);
          const binding = own ?? found.find((x) => !x.process && x.ordinal === ordinal);
          const truth = numbering[ordinal]?.uuid;
          if (own?.reason === otherOrdinals) {
            seen.add(otherOrdinals);
            const uses = processes[pid]?.runtime.uuids ?? [];
            assert.deepEqual(own.candidates, uses, "what it computes on, which is one device");
          }
          if (binding === undefined || binding.resourceUuids.length === 0) continue;
          seen.add(binding.level);
          // Beyond its own list a process has no such ordinal and cannot have asked for it.
          if (truth !== undefined) assert.deepEqual(binding.resourceUuids, [truth], binding.level);
        }
      }
      const set = found.find((x) => !x.process && x.ordinal === undefined);
      if (set?.level === "exact.set" && of.allocated) {
        assert.deepEqual(set.resourceUuids.toSorted(), devices.map(({ uuid }) => uuid).sort());
      }
    }),
    { numRuns: 2000 },
  );
  for (const level of [
    "exact.single",
    "exact.uuidlist",
    "exact.runtime",
    "derived.uuidlist",
    "derived.pci",
    otherOrdinals,
  ]) {
    assert.ok(seen.has(level), `the worlds never led to ${level}`);
  }
});

const holding = (pod: string, resourceUuid: string, more: Partial<Holding> = {}): Holding => ({
  namespace: "ml",
  pod,
  container: "main",
  podUid: undefined,
  resourceUuid,
  replica: undefined,
  ...more,
});

test("a uid is learned only from a device that one container has to itself and one pod runs on", () => {
  const run = (resourceUuid: string, podUid: string | undefined) => ({ resourceUuid, podUid });
  const learn = (holdings: Holding[], runners: ReturnType<typeof run>[]) =>
    Object.fromEntries(learnedUids(holdings, runners));
  const one = [holding("a", "G1")];
  assert.deepEqual(learn(one, [run("G1", "u1"), run("G1", "u1")]), { "ml/a": "u1" });
  assert.deepEqual(learn(one, [run("G1", "u1"), run("G1", "u2")]), {}, "two pods run on it");
  assert.deepEqual(learn(one, [run("G1", undefined)]), {}, "a process outside pods");
  assert.deepEqual(learn([holding("a", "G1", { replica: 0 })], [run("G1", "u1")]), {}, "shared");
  assert.deepEqual(learn([...one, holding("b", "G1")], [run("G1", "u1")]), {}, "disputed");
  assert.deepEqual(
    learn([...one, holding("b", "G2")], [run("G1", "u1"), run("G2", "u1")]),
    {},
    "one uid for two names",
  );
  assert.deepEqual(
    learn([...one, holding("a", "G2")], [run("G1", "u1"), run("G2", "u2")]),
    {},
    "two uids for one name",
  );
  const known = [holding("a", "G1", { podUid: "u1" })];
  assert.equal(soleOwners(known).get("G1")?.owner.pod, "a");
  assert.equal(soleOwners(known).get("G1")?.podUid, "u1");
  assert.equal(soleOwners(one).size, 0, "its uid is not known");
});
