/**
 * The pool's label on nodes: set where a node is assigned, removed where it is not. Each write names the
 * node's UID, so that it meets this very node or none: an apply would otherwise make one that is gone.
 */
import { isConflict, isNotFound } from "../../kube/api-error.ts";
import { nodes as nodeKind } from "../../kube/kinds.ts";
import type { Informer, KubeClient } from "../../kube/types.ts";
import { GpuPoolSpec } from "../../resources/crds/gpu-pool.ts";
import { labels } from "../../resources/crds/names.ts";
import { assignNodes, type Assignment } from "../../resources/gpupool/assign.ts";
import type { GpuPoolMetrics } from "./metrics.ts";
import type { GpuPoolObject, NodeObject } from "./objects.ts";

export const manager = "axonize-operator/gpupool";

/** Writes at once: a share of the client's burst. */
const atOnce = 8;

/** Who has which node now, by all pools and nodes of the caches. */
export function assignmentOf(caches: {
  readonly pools: Informer<GpuPoolObject>;
  readonly nodes: Informer<NodeObject>;
}): Assignment {
  const selecting = caches.pools.list().flatMap((object) => {
    const read = GpuPoolSpec.safeParse(object.spec ?? {});
    if (!read.success) return [];
    const { priority, nodeSelector } = read.data;
    return {
      name: object.metadata.name,
      priority,
      creationTimestamp: object.metadata.creationTimestamp ?? "",
      selector: nodeSelector,
      isDeleting: object.metadata.deletionTimestamp !== undefined,
    };
  });
  return assignNodes(
    selecting,
    caches.nodes.list().map(({ metadata }) => ({
      uid: metadata.uid ?? "",
      name: metadata.name,
      labels: metadata.labels ?? {},
    })),
  );
}

interface LabelChange {
  readonly node: NodeObject;
  /** undefined: it goes. */
  readonly pool: string | undefined;
}

/**
 * What this pool's reconcile has to change: its own nodes, and labels that name it, or a pool that does not
 * exist, on nodes that are nobody's. A node that is another pool's is that pool's to label.
 */
export function labelChanges(
  pool: string,
  nodes: readonly NodeObject[],
  given: { readonly assignment: Assignment; readonly exists: (pool: string) => boolean },
): LabelChange[] {
  const changes: LabelChange[] = [];
  for (const node of nodes) {
    const is = node.metadata.labels?.[labels.gpuPool];
    const should = given.assignment.poolOf.get(node.metadata.uid ?? "");
    if (is === should || node.metadata.deletionTimestamp !== undefined) continue;
    if (should === pool) changes.push({ node, pool });
    else if (should === undefined && is !== undefined && (is === pool || !given.exists(is))) {
      changes.push({ node, pool: undefined });
    }
  }
  return changes;
}

export async function writeLabels(
  deps: { readonly client: KubeClient; readonly metrics: GpuPoolMetrics },
  changes: readonly LabelChange[],
  signal: AbortSignal,
): Promise<void> {
  const left = [...changes];
  const work = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      signal.throwIfAborted();
      await writeLabel(deps.client, next);
      deps.metrics.labels.inc({ change: next.pool === undefined ? "removed" : "set" });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

async function writeLabel(client: KubeClient, { node, pool }: LabelChange): Promise<void> {
  const { name, uid } = node.metadata;
  try {
    const after = await client.apply<NodeObject>(
      {
        apiVersion: "v1",
        kind: "Node",
        metadata: {
          name,
          ...(uid === undefined ? {} : { uid }),
          ...(pool === undefined ? {} : { labels: { [labels.gpuPool]: pool } }),
        },
      },
      nodeKind,
      { manager, force: true },
    );
    const left = after.metadata.labels?.[labels.gpuPool];
    if (pool !== undefined || left === undefined) return;
    // Somebody else put it there: applying nothing gives up only what is ours.
    const path = `/metadata/labels/${labels.gpuPool.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    await client.jsonPatch({ kind: nodeKind, name }, [
      { op: "test", path: "/metadata/uid", value: uid },
      { op: "test", path, value: left },
      { op: "remove", path },
    ]);
  } catch (error) {
    // The node is gone or is another one by now: its own event asks for the pool again.
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}
