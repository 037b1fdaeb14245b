/**
 * Rows without a resource: a resource that was deleted by force, or whose finalizer somebody took away.
 * Their keys are revoked, their namespaces freed, their data is kept without an owner. And rows with a
 * resource are told seen, and so is the cluster, so that no other one takes them or its name over.
 */
import { axonizeTenants } from "../../kube/kinds.ts";
import { tellClusterSeen } from "../../store/clusters.ts";
import { endTenant, leaveTenant, readOwned, tellOwnersSeen } from "../../store/tenants.ts";
import type { TenantObject, World } from "./types.ts";

export async function reap(
  world: World,
  writer: { clusterUid: string; epoch: number },
): Promise<void> {
  const { fence, client, log, metrics, options } = world;
  const cluster = { name: options.cluster, uid: writer.clusterUid };
  await fence.write(writer, async (tx) => await tellClusterSeen(tx, cluster));
  const owned = await fence.read(async (sql) => await readOwned(sql, writer.clusterUid));
  if (owned.length === 0) return;
  const cached = new Set(world.caches.tenants.list().map(({ metadata }) => metadata.uid));
  const isSuspect = owned.some(({ uid }) => !cached.has(uid));
  // Asked for once more, past the cache, before anything is taken away.
  const living = isSuspect
    ? new Set(
        (await client.list<TenantObject>(axonizeTenants)).items.map(({ metadata }) => metadata.uid),
      )
    : cached;
  const seen = owned.filter(({ uid }) => living.has(uid)).map(({ uid }) => uid);
  await fence.write(writer, async (tx) => await tellOwnersSeen(tx, writer.clusterUid, seen));
  for (const owner of owned) {
    if (living.has(owner.uid)) continue;
    // Also where its end was begun: forced after its first step, nobody would ever let go of the row.
    await fence.write(writer, async (tx) => {
      await endTenant(tx, owner);
      await leaveTenant(tx, owner, "Retain");
    });
    metrics.orphaned.inc();
    log.warn({ event: "tenant.orphaned", tenant: owner.id, uid: owner.uid });
  }
}
