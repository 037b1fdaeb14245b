/**
 * A pool's status from what is known: pure, and quiet. Nothing in it moves by itself; times are kept from the
 * status before unless what they stand at changed.
 */
import type { GpuPoolConditionReason, GpuPoolConditionType } from "../crds/conditions.ts";
import type { GpuPoolStatus } from "../crds/gpu-pool.ts";
import { consistencyOf, findingReasons, type Consistency } from "./consistency.ts";
import { reportOf, type PodFacts, type PoolFacts } from "./facts.ts";
import { inventoryOf, isReduced } from "./inventory.ts";
import * as limits from "./limits.ts";
import { hashOf } from "./template.ts";

/** Of the DaemonSet's status; undefined: it is not there yet. */
export interface RolloutFacts {
  readonly name: string;
  readonly generation: number;
  readonly observedGeneration: number;
  readonly desired: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
}

export interface StatusFacts {
  readonly nowMs: number;
  readonly generation: number | undefined;
  /** The selector can select nothing, and why. */
  readonly selectorProblem: string | undefined;
  /** Nodes that the selector matches, and of them those of other pools by the pool's name. */
  readonly matched: number;
  readonly conflicts: ReadonlyMap<string, number>;
  readonly rollout: RolloutFacts | undefined;
  readonly image: string;
  readonly templateHash: string;
  /** The operator would render another template and was not told to. */
  readonly isHeldBack: boolean;
  /** Why pods could not even be made, as the DaemonSet's events tell. */
  readonly refusal:
    | { readonly reason: "PodSecurityRejected" | "QuotaExceeded"; readonly message: string }
    | undefined;
  /** Nothing of the rollout has moved for longer than the deadline. */
  readonly isStuck: boolean;
  readonly pool: PoolFacts;
  /** Reports could be read. Else the inventory stays as it was. */
  readonly isInventoryKnown: boolean;
}

export interface PlannedCondition {
  readonly type: Exclude<GpuPoolConditionType, "Ready" | "Stalled" | "Reconciling">;
  readonly status: "True" | "False" | "Unknown";
  readonly reason: GpuPoolConditionReason;
  readonly message: string;
}

export interface PlannedStatus {
  readonly status: Omit<GpuPoolStatus, "conditions">;
  readonly conditions: readonly PlannedCondition[];
  readonly ready: {
    readonly ready: "True" | "False";
    readonly reason: GpuPoolConditionReason;
    readonly message: string;
    readonly stalled: boolean;
    readonly reconciling: boolean;
  };
}

/** As it is; conditions are set by whoever writes it. */
export type StatusBefore = Omit<GpuPoolStatus, "conditions"> | undefined;

export function planStatus(facts: StatusFacts, before: StatusBefore): PlannedStatus {
  const consistency = facts.isInventoryKnown ? consistencyOf(facts.pool) : undefined;
  const conditions = [
    nodesSelected(facts),
    agentAvailable(facts),
    ...(consistency === undefined ? [] : [inventoryConsistent(consistency)]),
    overlapping(facts),
    ...(facts.isInventoryKnown ? [overheadWithinBudget(facts.pool)] : []),
  ];
  const inventory = facts.isInventoryKnown
    ? inventoryOf(facts.pool)
    : {
        gpus: before?.gpus,
        products: before?.products,
        mig: before?.mig,
        sampling: before?.sampling,
      };
  const { gpus, products, mig } = inventory;
  const isSame =
    hashOf([gpus, products, mig]) === hashOf([before?.gpus, before?.products, before?.mig]);
  const problems = problemsOf(facts, consistency, before);
  const time = timeOf(facts.nowMs);
  const lastInventoryTime = isSame ? (before?.lastInventoryTime ?? time) : time;
  return {
    status: {
      ...(facts.generation === undefined ? {} : { observedGeneration: facts.generation }),
      nodes: nodesOf(facts),
      agent: agentOf(facts),
      ...inventory,
      ...(problems.length > 0 ? { topProblems: problems } : {}),
      ...(gpus === undefined ? {} : { lastInventoryTime }),
    },
    conditions,
    ready: readyOf(conditions),
  };
}

function nodesOf({ pool, matched, conflicts }: StatusFacts): NonNullable<GpuPoolStatus["nodes"]> {
  const ready = pool.nodes.filter(({ isReady }) => isReady).length;
  return {
    matched,
    assigned: pool.nodes.length,
    ready,
    unhealthy: pool.nodes.length - ready,
    conflicting: sumOf(conflicts),
  };
}

function agentOf({
  rollout,
  image,
  templateHash,
}: StatusFacts): NonNullable<GpuPoolStatus["agent"]> {
  return {
    ...(rollout === undefined
      ? {}
      : {
          daemonSet: rollout.name,
          desired: rollout.desired,
          updated: rollout.updated,
          ready: rollout.ready,
          unavailable: Math.max(0, rollout.desired - rollout.available),
        }),
    image,
    templateHash,
  };
}

function nodesSelected({ selectorProblem, matched, pool }: StatusFacts): PlannedCondition {
  const type = "NodesSelected";
  if (selectorProblem !== undefined) {
    return { type, status: "False", reason: "InvalidSelector", message: selectorProblem };
  }
  if (matched === 0) {
    return {
      type,
      status: "False",
      reason: "NoNodesMatched",
      message: "No node matches nodeSelector.",
    };
  }
  if (pool.nodes.length === 0) {
    const message = `All ${matched} nodes that match are other pools'.`;
    return { type, status: "False", reason: "AllNodesClaimed", message };
  }
  return { type, status: "True", reason: "NodesMatched", message: `${pool.nodes.length} nodes.` };
}

const pullReasons = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "RegistryUnavailable",
]);

function agentAvailable(facts: StatusFacts): PlannedCondition {
  const { rollout, pool, refusal, isHeldBack } = facts;
  const type = "AgentAvailable";
  const no = (reason: GpuPoolConditionReason, message: string): PlannedCondition => ({
    type,
    status: "False",
    reason,
    message,
  });
  const wanted = pool.nodes.length;
  if (isComplete(rollout, wanted)) {
    const waits = isHeldBack
      ? " This operator would run them otherwise; annotate the pool with axonize.io/agent-upgrade to let it."
      : "";
    return {
      type,
      status: "True",
      reason: "RolloutComplete",
      message: `${wanted} agents run.${waits}`,
    };
  }
  if (refusal !== undefined) return no(refusal.reason, refusal.message);
  const pulls = pool.pods.filter(({ waiting }) => pullReasons.has(waiting?.reason ?? ""));
  const [first] = pulls;
  if (first !== undefined) {
    const where = namesOf(pulls.map(({ node }) => node));
    return no(
      "ImagePullFailed",
      `${where} cannot pull ${facts.image}: ${first.waiting?.message ?? ""}`,
    );
  }
  const { updated = 0, available = 0 } = rollout ?? {};
  const message = `${updated} of ${wanted} agents are of the current template, ${available} are available.`;
  if (!facts.isStuck) return no("RolloutInProgress", message);
  const waiting = pool.pods.filter((pod) => pod.waiting !== undefined);
  const why = waiting.map(({ node, waiting: w }) => `${node}: ${w?.reason ?? ""}`).sort();
  return no("RolloutStuck", [message, ...why.slice(0, limits.named)].join(" "));
}

/** Never from a moment when the DaemonSet's controller has not yet seen the template, or the labels. */
function isComplete(rollout: RolloutFacts | undefined, wanted: number): boolean {
  return (
    rollout !== undefined &&
    rollout.observedGeneration >= rollout.generation &&
    rollout.desired === wanted &&
    rollout.updated === wanted &&
    rollout.available === wanted
  );
}

function inventoryConsistent({ findings, collecting }: Consistency): PlannedCondition {
  const type = "InventoryConsistent";
  for (const reason of findingReasons) {
    const mine = findings.filter((each) => each.reason === reason);
    const [first] = mine;
    if (first === undefined) continue;
    const others =
      mine.length > 1 ? ` The same on ${namesOf(mine.slice(1).map(({ node }) => node))}.` : "";
    return { type, status: "False", reason, message: `${first.node}: ${first.message}.${others}` };
  }
  if (collecting.length > 0) {
    const message = `Not told yet: ${namesOf(collecting)}.`;
    return { type, status: "Unknown", reason: "Collecting", message };
  }
  return { type, status: "True", reason: "Consistent", message: "All tell of the same GPUs." };
}

function overlapping({ conflicts }: StatusFacts): PlannedCondition {
  const type = "Overlapping";
  if (conflicts.size === 0) {
    return {
      type,
      status: "False",
      reason: "Exclusive",
      message: "No other pool has nodes that match.",
    };
  }
  const words = [...conflicts].map(([pool, count]) => `${pool} has ${count}`).sort();
  const message = `Of the nodes that match, ${words.slice(0, limits.named).join(", ")}.`;
  return { type, status: "True", reason: "LowerPriority", message };
}

function overheadWithinBudget(pool: PoolFacts): PlannedCondition {
  const type = "OverheadWithinBudget";
  const reduced = pool.nodes.filter((node) => {
    const report = reportOf(pool, node);
    return report !== undefined && isReduced(report);
  });
  return reduced.length === 0
    ? { type, status: "True", reason: "WithinBudget", message: "All agents sample as configured." }
    : {
        type,
        status: "False",
        reason: "SamplingReduced",
        message: `Less often, to stay within the budget: ${namesOf(reduced.map(({ name }) => name))}.`,
      };
}

/**
 * The first that does not hold. Sampling less often is how the budget is kept and no failure; an inventory
 * that is only being collected is none either.
 */
function readyOf(conditions: readonly PlannedCondition[]): PlannedStatus["ready"] {
  const failing = conditions.find(
    ({ type, status }) =>
      status === "False" && type !== "Overlapping" && type !== "OverheadWithinBudget",
  );
  if (failing === undefined) {
    return {
      ready: "True",
      reason: "Reconciled",
      message: "All of the spec is in effect.",
      stalled: false,
      reconciling: false,
    };
  }
  const { reason, message } = failing;
  const stalled = reason === "InvalidSelector" || reason === "PodSecurityRejected";
  return { ready: "False", reason, message, stalled, reconciling: reason === "RolloutInProgress" };
}

function problemsOf(
  facts: StatusFacts,
  consistency: Consistency | undefined,
  before: StatusBefore,
): NonNullable<GpuPoolStatus["topProblems"]> {
  const found = [
    ...facts.pool.pods.flatMap(({ node, waiting }: PodFacts) =>
      waiting === undefined ? [] : [{ node, reason: waiting.reason }],
    ),
    ...(consistency?.findings ?? []).map(({ node, reason, message }) => ({
      node,
      reason: `${reason}: ${message}`.slice(0, 256),
    })),
  ];
  const known = new Map(
    (before?.topProblems ?? []).map(({ node, reason, since }) => [`${node}\0${reason}`, since]),
  );
  return found
    .sort((a, b) => (a.node + a.reason < b.node + b.reason ? -1 : 1))
    .slice(0, limits.problems)
    .map((problem) => ({
      ...problem,
      since: known.get(`${problem.node}\0${problem.reason}`) ?? timeOf(facts.nowMs),
    }));
}

function namesOf(names: readonly string[]): string {
  const sorted = names.toSorted();
  const rest = sorted.length - limits.named;
  const shown = sorted.slice(0, limits.named).join(", ");
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}

const sumOf = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);

/** `metav1.Time`: whole seconds. */
const timeOf = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
