/**
 * The end of a tenant, in an order that leaves nothing behind and can stop anywhere: the row takes nothing
 * in any more and its keys are revoked, then injection stops, Secrets and labels go, then the data is let go
 * or queued for deletion, then the finalizer.
 *
 * It never waits for a namespace. While PostgreSQL is away it stays and says so; with the annotation
 * `axonize.io/force-delete: "true"` it does without, and the row that is left is the tombstone: whoever
 * looks for rows without a resource (`reap.ts`) finds it. Its data is kept then, whatever the policy.
 */
import { errorMessage } from "@axonize/core/runtime/error";
import { isApiError, isNotFound } from "../../kube/api-error.ts";
import { createApplyStatus } from "../../kube/apply.ts";
import { setReady } from "../../kube/conditions.ts";
import { axonizeTenants } from "../../kube/kinds.ts";
import type { Condition, ReconcileResult } from "../../kube/types.ts";
import { finalizers } from "../../resources/crds/names.ts";
import type { AxonizeTenantSpec } from "../../resources/crds/tenant.ts";
import { annotationOf, centralSecretNameOf, secretNameOf } from "../../resources/tenant/objects.ts";
import { endTenant, leaveTenant } from "../../store/tenants.ts";
import { claimedNames, refusalOf } from "./database.ts";
import { databaseRetryMs, waitingEventMs } from "./limits.ts";
import { cleanUp } from "./namespaces.ts";
import type { Run, World } from "./types.ts";

export const hasFinalizer = ({ object }: Pick<Run, "object">): boolean =>
  object.metadata.finalizers?.includes(finalizers.tenant) ?? false;

/** Before the first thing that outlives the resource. */
export async function addFinalizer({ client }: World, { object }: Run): Promise<void> {
  const { name, uid, finalizers: there } = object.metadata;
  await client.jsonPatch({ kind: axonizeTenants, name }, [
    { op: "test", path: "/metadata/uid", value: uid },
    // Only onto the list that was seen.
    ...(there === undefined
      ? [{ op: "add" as const, path: "/metadata/finalizers", value: [finalizers.tenant] }]
      : [
          { op: "test" as const, path: "/metadata/finalizers", value: there },
          { op: "add" as const, path: "/metadata/finalizers/-", value: finalizers.tenant },
        ]),
  ]);
}

/** When a deletion that waits was last told, by UID: few at any time, and gone with the resource. */
const told = new WeakMap<World, Map<string, number>>();

export async function finalize(
  world: World,
  run: Run,
  spec: AxonizeTenantSpec | undefined,
): Promise<ReconcileResult> {
  if (!hasFinalizer(run)) return undefined;
  const isForced = annotationOf(run.object, "forceDelete") === "true";
  const writer = { clusterUid: run.clusterUid, epoch: run.epoch };
  const owner = { id: run.owner.tenantId, uid: run.owner.uid };
  try {
    if (!isForced) await world.fence.write(writer, async (tx) => await endTenant(tx, owner));
    await removeObjects(world, run, spec);
    if (!isForced) {
      const policy = spec?.deletionPolicy ?? "Retain";
      await world.fence.write(writer, async (tx) => await leaveTenant(tx, owner, policy));
    }
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal === undefined) throw error;
    if (refusal.reason !== "ClusterNameTaken") {
      await tellWaiting(world, run, errorMessage(error));
      return { requeueAfterMs: databaseRetryMs };
    }
    // Under another cluster's name there is nothing of this resource to let go of.
    await removeObjects(world, run, spec);
  }
  if (isForced) {
    world.recorder.event(run.object, {
      type: "Warning",
      reason: "ForceDeleted",
      action: "DeleteTenant",
      note: "Deleted without PostgreSQL: its keys are revoked and its data is orphaned, not deleted, once PostgreSQL answers.",
    });
  }
  await removeFinalizer(world, run);
  told.get(world)?.delete(run.owner.uid);
  return undefined;
}

async function removeObjects(
  world: World,
  run: Run,
  spec: AxonizeTenantSpec | undefined,
): Promise<void> {
  const names = (spec?.apiKeys ?? []).flatMap((key) => [
    secretNameOf(key),
    centralSecretNameOf(key, run.owner.tenantId),
  ]);
  await cleanUp(world, run.owner, {
    secrets: new Set(),
    namespaces: new Set(),
    left: [
      ...claimedNames(run.object).filter((name) => world.caches.namespaces.get(name) !== undefined),
      world.options.operatorNamespace,
    ],
    secretNames: names,
  });
}

async function tellWaiting(world: World, run: Run, because: string): Promise<void> {
  const { object, nowMs } = run;
  const times = told.get(world) ?? new Map<string, number>();
  told.set(world, times);
  const last = times.get(run.owner.uid) ?? -Infinity;
  if (nowMs - last >= waitingEventMs) {
    times.set(run.owner.uid, nowMs);
    world.recorder.event(object, {
      type: "Warning",
      reason: "DeletionWaits",
      action: "DeleteTenant",
      note: `PostgreSQL does not answer (${because}). The deletion goes on when it does; the annotation axonize.io/force-delete: "true" does without.`,
    });
  }
  const { generation } = object.metadata;
  const conditions = setReady(
    // The schema says `| undefined` where JSON has nothing.
    (object.status?.conditions ?? []) as readonly Condition[],
    {
      generation,
      ready: "False",
      reason: "DatabaseUnavailable",
      message: "The deletion waits for PostgreSQL.",
    },
    new Date(nowMs),
  );
  const applyStatus = createApplyStatus({ client: world.client }, { controller: "tenant" });
  await applyStatus(object, axonizeTenants, { ...object.status, conditions: [...conditions] });
}

async function removeFinalizer({ client }: World, { object }: Run): Promise<void> {
  const { name, uid, finalizers: there = [] } = object.metadata;
  const index = there.indexOf(finalizers.tenant);
  try {
    await client.jsonPatch({ kind: axonizeTenants, name }, [
      { op: "test", path: "/metadata/uid", value: uid },
      { op: "test", path: `/metadata/finalizers/${index}`, value: finalizers.tenant },
      { op: "remove", path: `/metadata/finalizers/${index}` },
    ]);
  } catch (error) {
    // It is gone, or the finalizer is: either way the cache will know. A failed test is a 422.
    if (!isNotFound(error) && !isApiError(error, 422)) throw error;
  }
}
