/**
 * The stream of changes against the state that it describes, and ordinal bindings through random lives:
 * who replays the stream has the same intervals; a restart loses and doubles none; a binding never
 * outlives its device's epoch and never means two things at once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IdentityHistory, type Change } from "./history.ts";
import type { ObservedBinding, ObservedDevice, ObservedUsage, Observation } from "./records.ts";

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
const devicesOf = (uuids: readonly string[], driverEpoch = "580#1"): Observation => ({
  type: "devices",
  node: "n1",
  bootId: "b1",
  driverEpoch,
  devices: uuids.map((uuid) => device(uuid)),
});
const usage = (pid: number, resourceUuid: string): ObservedUsage => ({
  bootId: "b1",
  pid,
  startTime: pid * 10,
  ownPid: 1,
  command: "python3",
  containerId: `c${pid}`,
  podUid: undefined,
  owner: undefined,
  resourceUuid,
});
function binding(pid: number, resourceUuids: string[], more: Partial<ObservedBinding> = {}) {
  return {
    owner: undefined,
    podUid: "u",
    containerId: `c${pid}`,
    process: { bootId: "b1", pid, startTime: pid * 10, ownPid: 1 },
    ordinal: 0,
    level: resourceUuids.length > 0 ? ("exact.single" as const) : ("ambiguous" as const),
    resourceUuids,
    candidates: [],
    reason: resourceUuids.length > 0 ? undefined : ("environment_unknown" as const),
    warnings: [],
    evidence: [],
    ...more,
  };
}
const meanings = (history: IdentityHistory, atMs: number): string[] =>
  history.ordinals.allAt(atMs).map(({ value }) => value.resourceUuids.join("+") || value.level);

test("late evidence speaks for the whole open interval of a process's ordinal", () => {
  const history = new IdentityHistory();
  history.observe(1000, devicesOf(["GPU-1", "GPU-2"]));
  history.observe(2000, { type: "ordinals", bindings: [binding(7, [])] });
  history.observe(3000, { type: "ordinals", bindings: [binding(7, ["GPU-2"])] });
  assert.deepEqual([meanings(history, 2500), meanings(history, 3500)], [["GPU-2"], ["GPU-2"]]);
});

test("a set, and what a container's processes mean, change from then on only", () => {
  for (const more of [{ ordinal: undefined }, { process: undefined }]) {
    const history = new IdentityHistory();
    history.observe(1000, devicesOf(["GPU-1", "GPU-2"]));
    history.observe(2000, { type: "ordinals", bindings: [binding(7, ["GPU-1"], more)] });
    history.observe(3000, { type: "ordinals", bindings: [binding(7, ["GPU-2"], more)] });
    history.observe(4000, { type: "ordinals", bindings: [binding(7, [], more)] });
    assert.deepEqual(
      [2500, 3500, 4500].map((ms) => meanings(history, ms)),
      [["GPU-1"], ["GPU-2"], ["ambiguous"]],
    );
  }
});

test("a container's binding goes on when its processes are seen, and not when it starts again", () => {
  const history = new IdentityHistory();
  const owner = { namespace: "ml", pod: "llm", container: "main" };
  const of = (containerId: string | undefined, uuids: string[]): Observation => ({
    type: "ordinals",
    bindings: [binding(7, uuids, { process: undefined, owner, containerId })],
  });
  history.observe(1000, devicesOf(["GPU-1"]));
  history.observe(2000, of(undefined, []));
  history.observe(3000, of("c1", ["GPU-1"]));
  assert.equal(history.ordinals.allAt(2500)[0]?.value.containerId, "c1");
  history.observe(4000, of("c2", ["GPU-1"]));
  const containers = [2500, 4500].map((ms) => history.ordinals.allAt(ms)[0]?.value.containerId);
  assert.deepEqual(containers, ["c1", "c2"]);
});

test("a binding ends with its device's epoch and with its process", () => {
  const history = new IdentityHistory();
  history.observe(1000, devicesOf(["GPU-1"]));
  history.observe(2000, { type: "ordinals", bindings: [binding(7, ["GPU-1"])] });
  history.observe(3000, devicesOf(["GPU-1"], "580#2"));
  assert.deepEqual(meanings(history, 3500), []);
  history.observe(4000, { type: "ordinals", bindings: [binding(7, ["GPU-1"])] });
  assert.deepEqual(history.ordinals.allOpen()[0]?.value.resourceIds, ["GPU-1@3000"]);
  history.observe(5000, { type: "ordinals", bindings: [] });
  assert.deepEqual(meanings(history, 5500), []);
});

test("an observation that says nothing new is no change", () => {
  const history = new IdentityHistory();
  const rounds = (): void => {
    history.observe(1000, devicesOf(["GPU-1"]));
    history.observe(2000, { type: "usages", usages: [usage(7, "GPU-1")] });
    history.observe(3000, { type: "ordinals", bindings: [binding(7, ["GPU-1"])] });
  };
  rounds();
  assert.deepEqual(
    history.takeChanges().map(({ layer }) => layer),
    ["placement", "resource", "usage", "ordinal"],
  );
  rounds();
  assert.deepEqual(history.takeChanges(), []);
});

const uuids = ["GPU-1", "GPU-2", "GPU-3"];
const some = fc.subarray(uuids);
const observation: fc.Arbitrary<Observation | "restart"> = fc.oneof(
  fc.tuple(some, fc.constantFrom("580#1", "580#1", "580#2")).map(([u, e]) => devicesOf(u, e)),
  fc
    .array(fc.tuple(fc.nat(3), fc.constantFrom(...uuids)), { maxLength: 4 })
    .map((list) => ({ type: "usages" as const, usages: list.map(([p, u]) => usage(p, u)) })),
  fc
    .array(
      fc.record({
        pid: fc.nat(3),
        uuids: some,
        own: fc.boolean(),
        ordinal: fc.constantFrom(0, 1, undefined),
      }),
      { maxLength: 4 },
    )
    .map((list) => ({
      type: "ordinals" as const,
      bindings: list.map((each) => {
        const more = each.own ? {} : { process: undefined };
        return binding(each.pid, each.uuids, { ordinal: each.ordinal, ...more });
      }),
    })),
  fc.constantFrom("x", "y", "z").chain((pod) =>
    some.map((held) => ({
      type: "allocations" as const,
      podCount: held.length + 1,
      allocations: held.map((deviceUuid) => ({
        namespace: "ns",
        pod,
        container: "c",
        podUid: undefined,
        resourceName: "nvidia.com/gpu",
        deviceUuid,
        replica: undefined,
        podEnded: false,
      })),
    })),
  ),
  fc.constant("restart" as const),
);

/** What a server has that knows nothing but the stream. */
class Replay {
  readonly intervals = new Map<string, Change>();

  apply(changes: readonly Change[]): void {
    for (const change of changes) {
      const id = `${change.layer} ${change.key} ${change.validFromMs}`;
      const before = this.intervals.get(id);
      assert.equal(before?.validToMs, undefined, `${id} changes after its end`);
      this.intervals.set(id, change);
    }
  }
  open(): Change[] {
    return [...this.intervals.values()].filter(({ validToMs }) => validToMs === undefined);
  }
}
const sorted = (changes: readonly Change[]): string[] =>
  changes.map((change) => JSON.stringify(change)).sort();

test("random lives: who replays the changes has the same intervals, through restarts, too", () => {
  let bindings = 0;
  fc.assert(
    fc.property(fc.array(observation, { maxLength: 50 }), (life) => {
      let history = new IdentityHistory();
      const replay = new Replay();
      let atMs = 1000;
      for (const each of [devicesOf(uuids), ...life]) {
        atMs += 1000;
        if (each === "restart") {
          const next = new IdentityHistory();
          next.restore(history.open(), history.lastMs);
          replay.apply(next.openAsChanges());
          history = next;
        } else {
          history.observe(atMs, each);
          replay.apply(history.takeChanges());
        }
        assert.deepEqual(sorted(replay.open()), sorted(history.openAsChanges()));
        const keys = replay.open().map(({ layer, key }) => `${layer} ${key}`);
        assert.equal(new Set(keys).size, keys.length, "a key has two open intervals");
        for (const { value } of history.ordinals.allOpen()) {
          bindings += 1;
          const now = value.resourceUuids.map((uuid) => {
            const resource = history.resources.openOf(uuid)?.value;
            return `${uuid}@${resource?.epochMs}`;
          });
          assert.deepEqual(value.resourceIds, now, "a binding is on an epoch that is over");
        }
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(bindings > 1000, `only ${bindings} bindings were ever open`);
});
