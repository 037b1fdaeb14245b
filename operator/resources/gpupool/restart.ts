/**
 * Which agents to restart: pure, and without memory, so that an operator that has just taken over has the
 * same budget as the one before. A pod that runs on a healthy node and has not been heard of for five minutes
 * is stuck; at most a tenth of the pool, and at least one, is tried at a time; and none where so many are
 * silent, or ingest itself, that the fault is elsewhere.
 */
import { reportOf, type PodFacts, type PoolFacts } from "./facts.ts";
import * as limits from "./limits.ts";

export interface RestartPlan {
  readonly restart: readonly PodFacts[];
  /** Stuck ones that wait for the budget. */
  readonly waiting: number;
  /** Too many are silent: nothing is restarted. */
  readonly isElsewhere: boolean;
}

export function planRestarts(facts: PoolFacts): RestartPlan {
  const { nowMs } = facts;
  const stuck: PodFacts[] = [];
  let running = 0;
  let heard = 0;
  let trying = 0;
  for (const node of facts.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const pods = facts.pods.filter((pod) => pod.node === node.name);
    const pod = pods.find(({ isDeleting }) => !isDeleting);
    if (pod === undefined) continue;
    const lastMs = reportOf(facts, node)?.lastMs ?? 0;
    const isHeard = nowMs - lastMs <= limits.silentMs;
    running += 1;
    if (isHeard) heard += 1;
    if (!isHeard && nowMs - pod.createdMs <= limits.restartWindowMs) trying += 1;
    const silentMs = nowMs - Math.max(lastMs, pod.createdMs);
    // A container that waits is the kubelet's to restart, a node that is away cannot be helped from here.
    if (!isHeard && silentMs > limits.stuckMs && node.isReady && pod.waiting === undefined) {
      stuck.push(pod);
    }
  }
  const isQuorum = running === 1 || heard >= running * limits.restartQuorumRatio;
  const isElsewhere = stuck.length > 0 && !(facts.isIngestUp && isQuorum);
  if (isElsewhere) return { restart: [], waiting: stuck.length, isElsewhere };
  const budget = Math.max(1, Math.floor(running * limits.restartRatio));
  // The longest silent first is the fairest; the name decides among equals, which is the order here.
  const room = Math.max(0, budget - trying);
  const ripe = stuck.filter((pod) => nowMs - pod.createdMs > limits.restartWindowMs);
  return {
    restart: ripe.slice(0, room),
    waiting: stuck.length - Math.min(room, ripe.length),
    isElsewhere,
  };
}
