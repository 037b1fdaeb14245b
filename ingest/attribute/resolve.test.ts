/** The resolver: what was true at the span's start, and nothing guessed. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { DeviceQuestion } from "../decode/devices.ts";
import type { ResourceFacts } from "../decode/facts.ts";
import { otherOrdinals } from "@axonize/core/contract/attribution";
import { possibleProcesses, processKey, resolve, waitingBinding } from "./resolve.ts";
import { createIdentityView, type Interval } from "./view.ts";

const facts: ResourceFacts = {
  podUid: "",
  namespace: "",
  pod: "",
  container: "",
  node: "",
  containerId: "",
  pid: undefined,
  visibleDevices: undefined,
  gpuUuids: [],
  peer: undefined,
};
const question = (given: Partial<DeviceQuestion> & { facts: ResourceFacts }): DeviceQuestion => ({
  tenantNum: 1,
  resourceFp: { lo: 0, hi: 0 },
  ordinals: [],
  sdkUuids: [],
  isNamed: false,
  startMs: 1_000,
  ...given,
});
let made = 0;
const interval = (given: Partial<Interval>): Interval => {
  made += 1;
  return {
    id: `interval-${made}`,
    kind: "allocation",
    cluster: "",
    node: "node-a",
    fromMs: 0,
    toMs: Infinity,
    podUid: "",
    namespace: "",
    pod: "",
    container: "",
    containerId: "",
    pid: undefined,
    ownPid: undefined,
    ordinal: undefined,
    level: "",
    uuids: [],
    candidates: [],
    reason: "",
    warnings: [],
    evidence: [],
    ...given,
  };
};
const ask = (
  intervals: readonly Interval[],
  given: Partial<DeviceQuestion> & { facts: ResourceFacts },
  options = { checksTenants: false },
) => {
  const view = createIdentityView();
  view.put(intervals);
  const { devices, level, candidates, reason } = resolve(view, question(given), options);
  return { devices, level, candidates, reason };
};
const pod = { ...facts, podUid: "u1", namespace: "team-a", pod: "vllm-0" };
const given = (uuid: string, more: Partial<Interval> = {}): Interval =>
  interval({
    podUid: "u1",
    namespace: "team-a",
    pod: "vllm-0",
    container: "main",
    uuids: [uuid],
    ...more,
  });

test("a process's own binding is surer than its container's, and of several ordinals the least sure tells the level", () => {
  const binding = (more: Partial<Interval>): Interval =>
    interval({ kind: "binding", podUid: "u1", container: "main", ...more });
  const intervals = [
    given("GPU-a"),
    given("GPU-b"),
    binding({ ordinal: 0, uuids: ["GPU-a"], level: "derived.pci" }),
    binding({ ordinal: 1, uuids: ["GPU-b"], level: "exact.uuidlist" }),
    binding({ ordinal: 0, uuids: ["GPU-b"], level: "exact.uuidlist", pid: 7, ownPid: 1 }),
  ];
  assert.deepEqual(ask(intervals, { facts: pod, ordinals: [0, 1] }), {
    devices: ["GPU-a", "GPU-b"],
    level: "derived.pci",
    candidates: [],
    reason: "",
  });
  const mine = ask(intervals, { facts: { ...pod, pid: 1 }, ordinals: [0] });
  assert.deepEqual([mine.devices, mine.level], [["GPU-b"], "exact.uuidlist"]);
});

test("the process's own word is checked against what its container was given", () => {
  const intervals = [given("GPU-a")];
  const said = (uuid: string) => ask(intervals, { facts: pod, sdkUuids: [uuid], ordinals: [0] });
  assert.deepEqual(said("GPU-a").level, "exact.sdk");
  assert.deepEqual(said("GPU-x"), {
    devices: [],
    level: "identity.conflict",
    candidates: ["GPU-a"],
    reason: "sdk_contradicts",
  });
});

test("a connection's process is asked only where the resource names no pod and no container", () => {
  const peer = { node: "node-a", pid: 42, podUid: "", containerId: "" };
  const intervals = [
    interval({ kind: "binding", pid: 42, uuids: ["GPU-h"], level: "exact.runtime" }),
    given("GPU-a"),
  ];
  assert.deepEqual(ask(intervals, { facts: { ...facts, peer } }).devices, ["GPU-h"]);
  assert.deepEqual(ask(intervals, { facts: { ...pod, peer } }).devices, ["GPU-a"]);
  const elsewhere = { ...facts, peer: { ...peer, node: "node-b" } };
  assert.deepEqual(ask(intervals, { facts: elsewhere }).level, "");
});

test("a pod of several containers is one of them, or it is not certain which", () => {
  const intervals = [given("GPU-a"), given("GPU-b", { container: "other" })];
  assert.deepEqual(ask(intervals, { facts: { ...pod, container: "other" } }).devices, ["GPU-b"]);
  assert.deepEqual(ask(intervals, { facts: pod }), {
    devices: [],
    level: "ambiguous",
    candidates: ["GPU-a", "GPU-b"],
    reason: "several_containers",
  });
});

test("an ordinal in a pod of several containers is nobody's in particular, unless its connection tells", () => {
  const binding = (container: string, uuid: string, pid: number): Interval =>
    interval({
      kind: "binding",
      podUid: "u1",
      container,
      ordinal: 0,
      uuids: [uuid],
      level: "exact.single",
      pid,
      ownPid: 1,
    });
  const intervals = [
    given("GPU-a"),
    given("GPU-b", { container: "other" }),
    binding("main", "GPU-a", 71),
    binding("other", "GPU-b", 72),
  ];
  const ofPod = { ...pod, pid: 1 };
  assert.deepEqual(ask(intervals, { facts: ofPod, ordinals: [0] }), {
    devices: [],
    level: "ambiguous",
    candidates: ["GPU-a", "GPU-b"],
    reason: "several_containers",
  });
  const named = { ...ofPod, container: "other" };
  assert.deepEqual(ask(intervals, { facts: named, ordinals: [0] }).devices, ["GPU-b"]);
  const peer = { node: "node-a", pid: 72, podUid: "", containerId: "" };
  const told = { ...ofPod, peer };
  assert.deepEqual(ask(intervals, { facts: told, ordinals: [0] }).devices, ["GPU-b"]);
});

/** A container of ranks: each process computes on one device; some report one ordinal, some several. */
const ranks = fc.array(
  fc.record({
    device: fc.nat(5),
    ordinals: fc.uniqueArray(fc.nat(3), { minLength: 1, maxLength: 3 }),
    list: fc.constantFrom(undefined, "3", "GPU-ab", "0,1", "-1", ""),
  }),
  { minLength: 1, maxLength: 6 },
);

test("a process on one device alone has it, if its spans name one ordinal and no other", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(ranks, (all) => {
      const view = createIdentityView();
      const own = all.flatMap(({ device }, rank) =>
        [0, 1, 2, 3].map((ordinal) =>
          interval({
            kind: "binding",
            podUid: "u1",
            container: "main",
            ordinal,
            pid: 100 + rank,
            ownPid: 1 + rank,
            level: "ambiguous",
            reason: otherOrdinals,
            candidates: [`GPU-${device}`],
          }),
        ),
      );
      view.put([...all.map((_, n) => given(`GPU-${n}`)), ...own]);
      // As claims know it: of a process with several ordinals there is no only one.
      const reported = new Map(all.map(({ ordinals }, n) => [`\0node-a\0${100 + n}`, ordinals]));
      const sole = (process: string): number | undefined => {
        const ordinals = reported.get(process) ?? [];
        return ordinals.length === 1 ? ordinals[0] : undefined;
      };
      for (const [rank, { device, ordinals, list }] of all.entries()) {
        const facts = { ...pod, pid: 1 + rank, visibleDevices: list };
        for (const ordinal of ordinals) {
          const asked = question({ facts, ordinals: [ordinal] });
          const { level, devices, candidates } = resolve(view, asked, options, sole);
          const isOne = list === "3" || list === "GPU-ab";
          const isTold = ordinals.length === 1 || (isOne && ordinal === 0);
          assert.equal(level, isTold ? "exact.runtime" : "ambiguous");
          assert.deepEqual(isTold ? devices : candidates, [`GPU-${device}`]);
          seen.add(level);
          const waits = waitingBinding(view, asked, options);
          assert.equal(waits && processKey(waits), `\0node-a\0${100 + rank}`);
        }
        // Who tells no pid may be any of them; a process that computes nowhere is none of them.
        assert.equal(possibleProcesses(view, pod).length, all.length);
        assert.deepEqual(possibleProcesses(view, { ...pod, pid: 99 }), []);
        const anonymous = question({ facts: pod, ordinals: [ordinals[0] ?? 0] });
        assert.notEqual(resolve(view, anonymous, options, sole).level, "exact.runtime");
      }
    }),
  );
  assert.deepEqual([...seen].sort(), ["ambiguous", "exact.runtime"]);
});
const options = { checksTenants: false };

test("a process whose container is not known yet does not make its neighbour's named container unsure", () => {
  const early = interval({
    kind: "binding",
    podUid: "u1",
    containerId: "c1",
    level: "ambiguous",
    reason: "allocation_unknown",
    candidates: ["GPU-a"],
    pid: 71,
  });
  const named = { ...pod, container: "main" };
  assert.deepEqual(ask([given("GPU-a"), early], { facts: named }).level, "exact.single");
  assert.deepEqual(ask([early], { facts: named }).level, "ambiguous");
  const unlearned = given("GPU-a", { podUid: "" });
  assert.deepEqual(ask([unlearned, early], { facts: named }).level, "exact.single");
});

test("a binding that was first seen soon after the span counts, one after a pod had another does not", () => {
  const soon = [given("GPU-a", { fromMs: 60_000 })];
  assert.deepEqual(ask(soon, { facts: pod }).devices, ["GPU-a"]);
  assert.deepEqual(ask([given("GPU-a", { fromMs: 600_000 })], { facts: pod }).devices, []);
  const again = [given("GPU-b", { fromMs: 0, toMs: 500 }), ...soon];
  assert.deepEqual(ask(again, { facts: pod }).level, "unattributed");
  const over = [given("GPU-a", { fromMs: 60_000, toMs: 70_000 })];
  assert.deepEqual(ask(over, { facts: pod }).devices, [], "only while it is open");
});

test("a process that is listed soon after its span speaks for it, unless its pid was another's before", () => {
  const own = (more: Partial<Interval>): Interval =>
    interval({
      kind: "binding",
      podUid: "u1",
      container: "main",
      ordinal: 0,
      pid: 71,
      ownPid: 1,
      uuids: ["GPU-b"],
      level: "exact.uuidlist",
      fromMs: 5_000,
      ...more,
    });
  const both = [given("GPU-a"), given("GPU-b")];
  const asked = { facts: { ...pod, pid: 1 }, ordinals: [0] };
  assert.deepEqual(ask([...both, own({})], asked).devices, ["GPU-b"]);
  const before = own({ pid: 70, fromMs: 0, toMs: 500, uuids: ["GPU-a"] });
  assert.equal(ask([...both, own({}), before], asked).reason, "environment_unknown");
  assert.equal(ask([...both, own({ fromMs: 200_000 })], asked).level, "ambiguous");
});

/** One container's exclusive history: intervals that never overlap. */
const history = fc
  .array(
    fc.record({
      gapMs: fc.integer({ min: 0, max: 300_000 }),
      lastsMs: fc.integer({ min: 1, max: 300_000 }),
    }),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  .map((lives) => {
    let at = 0;
    return lives.map(({ gapMs, lastsMs }, life) => {
      const fromMs = at + gapMs;
      at = fromMs + lastsMs;
      return given(`GPU-${life}`, { fromMs, toMs: at });
    });
  });

test("in any history a span resolves to what was true at its start, and all through the answer's window", () => {
  fc.assert(
    fc.property(
      history,
      fc.integer({ min: 0, max: 4_000_000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (lives, t, part) => {
        const view = createIdentityView();
        view.put(lives);
        const at = (startMs: number) =>
          resolve(view, question({ facts: pod, startMs }), { checksTenants: false });
        const answer = at(t);
        const truth = lives.filter(({ fromMs, toMs }) => fromMs <= t && t < toMs);
        assert.deepEqual(
          answer.devices,
          truth.flatMap(({ uuids }) => uuids),
        );
        assert.ok(answer.fromMs <= t && t < answer.toMs);
        const from = Math.max(answer.fromMs, 0);
        const other = from + part * (Math.min(answer.toMs, 4_000_000) - from) * 0.999_999;
        assert.deepEqual(
          at(other).devices,
          answer.devices,
          `${other} in ${answer.fromMs}…${answer.toMs}`,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("the view forgets what is pruned, replaces what is told again and refuses what does not fit", () => {
  const view = createIdentityView();
  const old = given("GPU-a", { toMs: 10 });
  view.put([old, given("GPU-b")]);
  view.put([{ ...old, uuids: ["GPU-c"] }]);
  assert.equal(view.size, 2);
  assert.deepEqual(
    view
      .by("podUid", "u1")
      .flatMap(({ uuids }) => uuids)
      .sort(),
    ["GPU-b", "GPU-c"],
  );
  view.prune(10);
  assert.deepEqual(
    view.by("podUid", "u1").flatMap(({ uuids }) => uuids),
    ["GPU-b"],
  );
  const { version } = view;
  view.setTenants(new Map([["\0team-a", 1]]));
  assert.ok(view.version > version);
  const same = view.version;
  view.setTenants(new Map([["\0team-a", 1]]));
  assert.equal(view.version, same, "what says nothing new asks nobody again");
});
