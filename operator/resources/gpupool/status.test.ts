/** A pool's conditions and status: each reason from what brings it about, and quiet when nothing changed. */
import assert from "node:assert/strict";
import test from "node:test";
import type { PodFacts, PoolFacts } from "./facts.ts";
import { planStatus, type RolloutFacts, type StatusFacts } from "./status.ts";

const nowMs = Date.parse("2026-11-29T12:00:00Z");
const pool: PoolFacts = {
  nowMs,
  nodes: ["n-1", "n-2"].map((name) => ({
    uid: name,
    name,
    createdMs: 0,
    labels: {},
    capacity: {},
    allocatable: {},
    isReady: true,
  })),
  reports: new Map(
    ["n-1", "n-2"].map((name) => [
      name,
      {
        lastMs: nowMs,
        driverVersion: "580",
        trouble: undefined,
        periodMs: 100,
        wantedPeriodMs: 100,
        resources: [],
      },
    ]),
  ),
  pods: [],
  draGpus: new Map(),
  isIngestUp: true,
};
const complete: RolloutFacts = {
  name: "axonize-agent-p",
  generation: 2,
  observedGeneration: 2,
  desired: 2,
  updated: 2,
  ready: 2,
  available: 2,
};
const good: StatusFacts = {
  nowMs,
  generation: 5,
  selectorProblem: undefined,
  matched: 2,
  conflicts: new Map(),
  rollout: complete,
  image: "agent:1",
  templateHash: "0123",
  isHeldBack: false,
  refusal: undefined,
  isStuck: false,
  pool,
  isInventoryKnown: true,
};
const reasonOf = (facts: StatusFacts, type: string): string => {
  const found = planStatus(facts, undefined).conditions.find((each) => each.type === type);
  return `${found?.status} ${found?.reason}`;
};
const rollout = (given: Partial<RolloutFacts>): StatusFacts => ({
  ...good,
  rollout: { ...complete, ...given },
});
const waiting = (reason: string): PodFacts => ({
  name: "p",
  uid: "p",
  node: "n-1",
  createdMs: nowMs,
  isReady: false,
  isDeleting: false,
  waiting: { reason, message: "no such image" },
});

test("a pool of which everything holds is Ready", () => {
  const { ready, conditions, status } = planStatus(good, undefined);
  assert.deepEqual(
    [ready.ready, ready.reason, ready.stalled, ready.reconciling],
    ["True", "Reconciled", false, false],
  );
  assert.deepEqual(
    conditions.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`),
    [
      "NodesSelected True NodesMatched",
      "AgentAvailable True RolloutComplete",
      "InventoryConsistent True Consistent",
      "Overlapping False Exclusive",
      "OverheadWithinBudget True WithinBudget",
    ],
  );
  assert.equal(status.observedGeneration, 5);
});

test("agents are available once the controller has seen template and labels and all of them run", () => {
  const type = "AgentAvailable";
  for (const given of [
    { observedGeneration: 1 },
    { desired: 1, updated: 1, available: 1 },
    { updated: 1 },
    { available: 1 },
  ]) {
    assert.equal(reasonOf(rollout(given), type), "False RolloutInProgress", JSON.stringify(given));
    const { ready } = planStatus(rollout(given), undefined);
    assert.deepEqual([ready.ready, ready.reconciling], ["False", true]);
  }
  const late = { ...rollout({ available: 1 }), isStuck: true };
  assert.equal(reasonOf(late, type), "False RolloutStuck");
  for (const reason of ["ImagePullBackOff", "ErrImagePull", "InvalidImageName"]) {
    const of = { ...late, pool: { ...pool, pods: [waiting(reason)] } };
    assert.equal(reasonOf(of, type), "False ImagePullFailed");
  }
  for (const reason of ["PodSecurityRejected", "QuotaExceeded"] as const) {
    const of = { ...late, refusal: { reason, message: "forbidden" } };
    assert.equal(reasonOf(of, type), `False ${reason}`);
    assert.equal(planStatus(of, undefined).ready.stalled, reason === "PodSecurityRejected");
  }
});

test("nodes, overlap and a selector that can match nothing have their reasons", () => {
  const none = { ...good, matched: 0, pool: { ...pool, nodes: [] } };
  assert.equal(reasonOf(none, "NodesSelected"), "False NoNodesMatched");
  const claimed = { ...none, matched: 2, conflicts: new Map([["other", 2]]) };
  assert.equal(reasonOf(claimed, "NodesSelected"), "False AllNodesClaimed");
  assert.equal(reasonOf(claimed, "Overlapping"), "True LowerPriority");
  const wrong = planStatus({ ...none, selectorProblem: "it names nothing" }, undefined);
  assert.deepEqual([wrong.ready.reason, wrong.ready.stalled], ["InvalidSelector", true]);
});

test("sampling less often is told and is no failure", () => {
  const reports = new Map(
    [...pool.reports].map(([name, each]) => [name, { ...each, periodMs: 400 }]),
  );
  const slower = { ...good, pool: { ...pool, reports } };
  assert.equal(reasonOf(slower, "OverheadWithinBudget"), "False SamplingReduced");
  const { ready, status } = planStatus(slower, undefined);
  assert.equal(ready.ready, "True");
  assert.equal(status.sampling?.effectivePeriodMilliseconds, 400);
});

test("the same facts later give the same status, and an inventory that cannot be read stays", () => {
  const first = planStatus(good, undefined).status;
  // As the API server gives it back: with its keys in another order.
  const stored = JSON.parse(
    JSON.stringify(first, (_, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).toReversed())
        : value,
    ),
  ) as typeof first;
  const laterMs = nowMs + 90_000;
  const later = { ...good, nowMs: laterMs, pool: { ...pool, nowMs: laterMs } };
  assert.deepEqual(planStatus(later, stored).status, first);
  const blind = planStatus(
    { ...later, isInventoryKnown: false, pool: { ...pool, reports: new Map() } },
    stored,
  );
  assert.deepEqual(blind.status.gpus, first.gpus);
  assert.deepEqual(blind.status.lastInventoryTime, first.lastInventoryTime);
  assert.ok(blind.conditions.every(({ type }) => type !== "InventoryConsistent"));
});

test("problems keep their time and are bounded", () => {
  const nodes = Array.from({ length: 50 }, (_, index) => ({
    ...(pool.nodes[0] ?? assert.fail()),
    name: `n-${String(index).padStart(2, "0")}`,
    uid: `n-${index}`,
  }));
  const pods = nodes.map(({ name }) => ({ ...waiting("CrashLoopBackOff"), node: name }));
  const of = { ...good, pool: { ...pool, nodes, pods } };
  const first = planStatus(of, undefined).status;
  assert.equal(first.topProblems?.length, 20);
  const later = planStatus({ ...of, nowMs: nowMs + 60_000 }, first).status;
  assert.deepEqual(later.topProblems, first.topProblems);
});
