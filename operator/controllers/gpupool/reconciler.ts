/**
 * GpuPool: labels its nodes, keeps one DaemonSet of agents and the ConfigMap that they watch, appends prices,
 * and tells in the status what agents, device plugin and DRA say of its GPUs.
 *
 * What is decided is in `operator/resources/gpupool/` (pure); here it is read and written. Kubernetes comes
 * first: without PostgreSQL nodes are labelled and agents run, the inventory stays as it was, and the
 * reconcile fails and is tried again.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { TerminalError } from "../../kube/api-error.ts";
import { createApplyStatus } from "../../kube/apply.ts";
import { conditionOf, isDeepEqual, setCondition, setReady } from "../../kube/conditions.ts";
import * as kinds from "../../kube/kinds.ts";
import { concernsContent, concernsSpec } from "../../kube/predicates.ts";
import type {
  CacheEvent,
  Condition,
  ControllerBuilder,
  KubeObject,
  Reconciler,
  ReconcileContext,
  ReconcileResult,
} from "../../kube/types.ts";
import { finalizers, labels } from "../../resources/crds/names.ts";
import { GpuPoolSpec } from "../../resources/crds/gpu-pool.ts";
import { selectorProblem, type Assignment } from "../../resources/gpupool/assign.ts";
import type { AgentReport, PoolFacts } from "../../resources/gpupool/facts.ts";
import * as limits from "../../resources/gpupool/limits.ts";
import * as names from "../../resources/gpupool/names.ts";
import { planPrices } from "../../resources/gpupool/prices.ts";
import { planRestarts } from "../../resources/gpupool/restart.ts";
import { planRollout, type Rollout } from "../../resources/gpupool/rollout.ts";
import { planStatus, type PlannedStatus } from "../../resources/gpupool/status.ts";
import { configMapOf, poolConfigOf, type AgentOptions } from "../../resources/gpupool/template.ts";
import type { GpuPoolMetrics } from "./metrics.ts";
import { assignmentOf, labelChanges, writeLabels } from "./nodes.ts";
import {
  nodeFacts,
  podFacts,
  rolloutFacts,
  type ConfigMapObject,
  type DaemonSetObject,
  type GpuPoolObject,
  type NodeObject,
  type PodObject,
} from "./objects.ts";
import { createRemoval } from "./removal.ts";
import type { ClusterName } from "../../store/clusters.ts";
import type { PoolStore } from "./store.ts";
import { createDraReader, createProgress, readRefusal } from "./witnesses.ts";
import { createWorkload } from "./workload.ts";

export interface GpuPoolDeps {
  readonly store: PoolStore;
  readonly clusterName: ClusterName;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: GpuPoolMetrics;
}

export interface GpuPoolOptions {
  readonly agents: AgentOptions;
  /** The agents' image that came with this operator. */
  readonly bundledImage: string;
}

export function createGpuPoolReconciler(
  deps: GpuPoolDeps,
  options: GpuPoolOptions,
): { wire(builder: ControllerBuilder): Reconciler } {
  return { wire: (builder) => createReconciler(createParts(deps, options, builder)) };
}

type Parts = ReturnType<typeof createParts>;

function createParts(deps: GpuPoolDeps, options: GpuPoolOptions, builder: ControllerBuilder) {
  const { client } = builder;
  const { namespace } = options.agents;
  const labelSelector = `${names.appLabel}=${names.agentApp}`;
  const pools = builder.informer<GpuPoolObject>(kinds.gpuPools);
  const nodes = builder.informer<NodeObject>(kinds.nodes);
  const pods = builder.informer<PodObject>(kinds.pods, { namespace, labelSelector });
  const owned = { namespace, labelSelector };
  const daemonSets = builder.informer<DaemonSetObject>(kinds.daemonSets, owned);
  const configMaps = builder.informer<ConfigMapObject>(kinds.configMaps, owned);
  const all = (): string[] => pools.list().map(({ metadata }) => metadata.name);
  const ofLabel = (event: CacheEvent<KubeObject>): string[] => {
    const pool = event.object.metadata.labels?.[labels.gpuPool];
    return pool === undefined ? [] : [pool];
  };
  // A pool's selector and priority concern all pools: who has which node.
  builder.watch(pools, (event) =>
    concernsSpec(event) ? [...new Set([event.object.metadata.name, ...all()])] : [],
  );
  builder.watch(nodes, (event) => (concernsPools(event) ? all() : []));
  builder.watch(pods, (event) => (concernsContent(event) ? ofLabel(event) : []));
  builder.watch(daemonSets, (event) => (concernsContent(event) ? ofLabel(event) : []));
  builder.watch(configMaps, (event) => (concernsContent(event) ? ofLabel(event) : []));
  const workload = createWorkload({ ...deps, client, daemonSets, configMaps }, { namespace });
  const progress = createProgress(deps);
  const parts = {
    ...deps,
    options,
    client,
    recorder: builder.recorder,
    pools,
    nodes,
    pods,
    workload,
    progress,
    applyStatus: createApplyStatus({ client }, { controller: "gpupool" }),
  };
  return {
    ...parts,
    dra: createDraReader({ ...deps, client }),
    remove: createRemoval(parts),
  };
}

/** Heartbeats and images of a node are nobody's news. */
function concernsPools(event: CacheEvent<NodeObject>): boolean {
  if (event.type !== "updated") return true;
  const [now, then] = [nodeFacts(event.object), nodeFacts(event.before)];
  return !isDeepEqual(now, then) || event.object.metadata.deletionTimestamp !== undefined;
}

function createReconciler(parts: Parts): Reconciler {
  return {
    name: "gpupool",
    reconcile: async (key, context) => {
      const pool = parts.pools.get(key);
      if (pool === undefined) {
        parts.workload.forget(key);
        parts.progress.forget(key);
        return undefined;
      }
      if (pool.metadata.deletionTimestamp !== undefined) return await parts.remove(pool, context);
      const problem = await parts.clusterName.problem();
      if (problem !== undefined) return await tellNameTaken(parts, pool, problem);
      const spec = readSpec(pool);
      await ensureFinalizer(parts, pool);
      return await reconcilePool(parts, { pool, spec }, context);
    },
  };
}

/** Agents would write another cluster's nodes as theirs: nothing is made. */
async function tellNameTaken(
  { applyStatus, clock }: Parts,
  pool: GpuPoolObject,
  message: string,
): Promise<ReconcileResult> {
  const { generation } = pool.metadata;
  const ready = { generation, ready: "False", reason: "ClusterNameTaken", message } as const;
  const conditions = setReady(pool.status?.conditions, ready, new Date(clock.now()));
  await applyStatus(pool, kinds.gpuPools, { ...pool.status, conditions: [...conditions] });
  return { requeueAfterMs: limits.inventoryMs };
}

interface Pool {
  readonly pool: GpuPoolObject;
  readonly spec: GpuPoolSpec;
}

function readSpec({ spec, metadata }: GpuPoolObject): GpuPoolSpec {
  const read = GpuPoolSpec.safeParse(spec ?? {});
  if (read.success) return read.data;
  // The API server took it by another version's rules: only a change of the object helps.
  throw new TerminalError(`GpuPool ${metadata.name} cannot be read: ${read.error.message}`);
}

async function ensureFinalizer({ client }: Parts, { metadata }: GpuPoolObject): Promise<void> {
  const there = metadata.finalizers ?? [];
  if (there.includes(finalizers.gpuPool)) return;
  await client.jsonPatch({ kind: kinds.gpuPools, name: metadata.name }, [
    { op: "test", path: "/metadata/resourceVersion", value: metadata.resourceVersion },
    { op: "add", path: "/metadata/finalizers", value: [...there, finalizers.gpuPool] },
  ]);
}

async function reconcilePool(
  parts: Parts,
  { pool, spec }: Pool,
  context: ReconcileContext,
): Promise<ReconcileResult> {
  const { name, uid = "" } = pool.metadata;
  const { agents } = parts.options;
  const assignment = assignmentOf(parts);
  const nodes = parts.nodes.list();
  const exists = (other: string): boolean => parts.pools.get(other) !== undefined;
  await writeLabels(parts, labelChanges(name, nodes, { assignment, exists }), context.signal);
  await parts.workload.applyConfig(configMapOf({ name, uid }, spec, agents.namespace));
  const live = parts.workload.live(name);
  const rollout = planRollout(
    { name, uid, upgrade: pool.metadata.annotations?.[names.poolAnnotations.agentUpgrade] },
    spec,
    {
      options: agents,
      bundledImage: parts.options.bundledImage,
      live: live && (live.metadata.annotations ?? {}),
    },
  );
  const daemonSet = await parts.workload.applyDaemonSet({ name, uid }, rollout);
  const mine = nodes.filter((node) => assignment.poolOf.get(node.metadata.uid ?? "") === name);
  const told = await exchange(parts, { pool, spec }, mine, context);
  const facts: PoolFacts = {
    nowMs: parts.clock.now(),
    nodes: mine.map(nodeFacts),
    pods: parts.pods
      .list()
      .filter(({ metadata }) => metadata.labels?.[labels.gpuPool] === name)
      .map(podFacts),
    ...told.facts,
  };
  if (told.error === undefined) await restartStuck(parts, pool, facts);
  const isRolling = await writeStatus(parts, pool, {
    spec,
    assignment,
    rollout,
    daemonSet,
    facts,
    isKnown: told.error === undefined,
  });
  if (told.error !== undefined) throw told.error;
  return { requeueAfterMs: isRolling ? limits.rolloutMs : limits.inventoryMs };
}

type Told = Pick<PoolFacts, "reports" | "draGpus" | "isIngestUp">;

/** With PostgreSQL: what the pool is, what it costs; back comes what agents told. */
async function exchange(
  parts: Parts,
  { pool, spec }: Pool,
  nodes: readonly NodeObject[],
  { epoch }: ReconcileContext,
): Promise<{ readonly facts: Told; readonly error?: unknown }> {
  const { store, clock, log, metrics } = parts;
  const { name, uid = "" } = pool.metadata;
  const draGpus = await parts.dra();
  try {
    await store.putPool(epoch, {
      uid,
      name,
      vendor: spec.vendor,
      config: poolConfigOf(spec),
      nodes: nodes.map(({ metadata }) => ({ uid: metadata.uid ?? "", name: metadata.name })),
    });
    const plan = (rows: Parameters<typeof planPrices>[0]) =>
      planPrices(rows, spec.pricing, clock.now());
    const appended = await store.appendPrices(epoch, { uid, name }, plan);
    metrics.prices.inc(appended.length);
    const reports = await store.readReports(nodes.map(({ metadata }) => metadata.name));
    return { facts: { draGpus, reports, isIngestUp: await store.isIngestUp() } };
  } catch (error) {
    // Told with the reconcile's end; until then the status is written without an inventory.
    log.warn({ event: "gpupool.store", pool: name, reason: errorMessage(error) });
    const reports: ReadonlyMap<string, AgentReport> = new Map();
    return { facts: { draGpus, reports, isIngestUp: false }, error };
  }
}

async function restartStuck(parts: Parts, pool: GpuPoolObject, facts: PoolFacts): Promise<void> {
  const { client, recorder, metrics, log, options } = parts;
  for (const { name, uid, node } of planRestarts(facts).restart) {
    const { namespace } = options.agents;
    const isDeleted = await client.delete({ kind: kinds.pods, name, namespace }, { uid });
    if (!isDeleted) continue;
    metrics.restarts.inc();
    log.warn({ event: "gpupool.agent_restarted", pool: pool.metadata.name, node, pod: name });
    recorder.event(pool, {
      type: "Warning",
      reason: "AgentRestarted",
      action: "RestartAgent",
      note: `The agent on ${node} ran and did not report; its pod ${name} was deleted.`,
    });
  }
}

/** true: a rollout goes on. */
async function writeStatus(
  parts: Parts,
  pool: GpuPoolObject,
  given: {
    readonly spec: GpuPoolSpec;
    readonly assignment: Assignment;
    readonly rollout: Rollout;
    readonly daemonSet: DaemonSetObject | undefined;
    readonly facts: PoolFacts;
    readonly isKnown: boolean;
  },
): Promise<boolean> {
  const { spec, assignment, rollout, daemonSet, facts } = given;
  const { name, generation } = pool.metadata;
  const matched = assignment.matched.get(name) ?? [];
  const conflicts = new Map<string, number>();
  for (const { uid } of matched) {
    const owner = assignment.poolOf.get(uid);
    if (owner !== undefined && owner !== name)
      conflicts.set(owner, (conflicts.get(owner) ?? 0) + 1);
  }
  const state = daemonSet && rolloutFacts(daemonSet);
  const isMissing = facts.pods.length < facts.nodes.length;
  const planned = planStatus(
    {
      nowMs: facts.nowMs,
      generation,
      selectorProblem: selectorProblem(spec.nodeSelector),
      matched: matched.length,
      conflicts,
      rollout: state,
      image: rollout.image.image,
      templateHash: rollout.templateHash,
      isHeldBack: rollout.isHeldBack,
      refusal: isMissing
        ? await readRefusal(parts, { namespace: parts.options.agents.namespace, pool: name })
        : undefined,
      isStuck: parts.progress.isStuck(name, state),
      pool: facts,
      isInventoryKnown: given.isKnown,
    },
    pool.status,
  );
  const conditions = conditionsOf(planned, pool, new Date(facts.nowMs));
  await parts.applyStatus(pool, kinds.gpuPools, { ...planned.status, conditions });
  tellTransitions(parts, pool, conditions);
  return planned.conditions.some(
    (each) => each.type === "AgentAvailable" && each.reason !== "RolloutComplete",
  );
}

function conditionsOf(
  planned: PlannedStatus,
  { metadata, status }: GpuPoolObject,
  now: Date,
): readonly Condition[] {
  const { generation } = metadata;
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  let conditions = setReady(status?.conditions, { generation, ...planned.ready }, now);
  for (const condition of planned.conditions) {
    conditions = setCondition(conditions, { ...condition, ...observed }, now);
  }
  return conditions;
}

/** What a user should see in `kubectl describe`: a condition that turned. */
function tellTransitions(
  { recorder }: Parts,
  pool: GpuPoolObject,
  conditions: readonly Condition[],
): void {
  for (const { type, status, reason, message } of conditions) {
    if (type === "Ready" || type === "Reconciling" || type === "Stalled") continue;
    const before = conditionOf(pool.status?.conditions, type);
    const isBad = type === "Overlapping" ? status === "True" : status === "False";
    if (before?.status === status && before.reason === reason) continue;
    if (before === undefined && !isBad) continue;
    recorder.event(pool, {
      type: isBad && reason !== "RolloutInProgress" ? "Warning" : "Normal",
      reason,
      action: "Reconcile",
      note: `${type}: ${message}`,
    });
  }
}
