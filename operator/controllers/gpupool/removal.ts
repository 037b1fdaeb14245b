/**
 * The end of a pool: its label leaves the nodes, its agents go in the foreground, its rows are closed, then
 * the finalizer goes. Each step is looked at again until it is done; none of them waits inside.
 *
 * A pool is cluster-scoped and holds no namespace up. Where PostgreSQL is gone for good, the annotation
 * `axonize.io/force-delete: "true"` lets it go without.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { isNotFound } from "../../kube/api-error.ts";
import type { ApplyStatus } from "../../kube/apply.ts";
import { setReady } from "../../kube/conditions.ts";
import { gpuPools } from "../../kube/kinds.ts";
import type { Informer, KubeClient, ReconcileContext, ReconcileResult } from "../../kube/types.ts";
import { annotations, finalizers, labels } from "../../resources/crds/names.ts";
import type { GpuPoolMetrics } from "./metrics.ts";
import { assignmentOf, labelChanges, writeLabels } from "./nodes.ts";
import type { GpuPoolObject, NodeObject } from "./objects.ts";
import { isClusterNameTaken } from "../../store/clusters.ts";
import type { PoolStore } from "./store.ts";
import type { Workload } from "./workload.ts";

/** Nodes and the DaemonSet ask for the pool when they change; this is for what was missed. */
const againMs = 2_000;

export interface RemovalParts {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly applyStatus: ApplyStatus;
  readonly metrics: GpuPoolMetrics;
  readonly store: PoolStore;
  readonly pools: Informer<GpuPoolObject>;
  readonly nodes: Informer<NodeObject>;
  readonly workload: Workload;
}

export function createRemoval(
  parts: RemovalParts,
): (pool: GpuPoolObject, context: ReconcileContext) => Promise<ReconcileResult> {
  return async (pool, { epoch, signal }) => {
    const { name, uid = "" } = pool.metadata;
    if (!(pool.metadata.finalizers ?? []).includes(finalizers.gpuPool)) return undefined;
    const nodes = parts.nodes.list();
    const exists = (other: string): boolean =>
      other !== name && parts.pools.get(other) !== undefined;
    const changes = labelChanges(name, nodes, { assignment: assignmentOf(parts), exists });
    await writeLabels(parts, changes, signal);
    // Those of them that are another pool's now get its label from its own reconcile.
    const isLabelled = nodes.some(({ metadata }) => metadata.labels?.[labels.gpuPool] === name);
    const isRemoved = await parts.workload.remove(name);
    if (isLabelled || !isRemoved) {
      const what = isLabelled ? "nodes still have its label" : "its agents are ending";
      await tellDeleting(parts, pool, `Waits: ${what}.`);
      return { requeueAfterMs: againMs };
    }
    try {
      await parts.store.forgetPool(epoch, uid);
    } catch (error) {
      const isForced = pool.metadata.annotations?.[annotations.forceDelete] === "true";
      if (!isForced && !isClusterNameTaken(error)) throw error;
      // Its owner said so, or the rows of this name are another cluster's: they stay.
      parts.log.warn({ event: "gpupool.forced", pool: name, reason: errorMessage(error) });
    }
    await removeFinalizer(parts.client, pool);
    return undefined;
  };
}

async function tellDeleting(
  { applyStatus, clock }: RemovalParts,
  pool: GpuPoolObject,
  message: string,
): Promise<void> {
  const { generation } = pool.metadata;
  const of = { generation, ready: "False", reason: "Deleting", message } as const;
  const conditions = setReady(pool.status?.conditions, of, new Date(clock.now()));
  // All of the status is sent: what an apply leaves out, it takes away.
  await applyStatus(pool, gpuPools, { ...pool.status, conditions });
}

async function removeFinalizer(client: KubeClient, { metadata }: GpuPoolObject): Promise<void> {
  const left = (metadata.finalizers ?? []).filter((each) => each !== finalizers.gpuPool);
  try {
    await client.jsonPatch({ kind: gpuPools, name: metadata.name }, [
      { op: "test", path: "/metadata/uid", value: metadata.uid },
      { op: "test", path: "/metadata/finalizers", value: metadata.finalizers },
      { op: "replace", path: "/metadata/finalizers", value: left },
    ]);
  } catch (error) {
    // Gone already: that was the aim.
    if (!isNotFound(error)) throw error;
  }
}
