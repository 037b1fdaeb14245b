/**
 * Whose a cluster's name is. Bindings, pools and identity are kept by name (`clusterName`), so that two
 * Kubernetes clusters of one name on one store would take each other's namespaces and nodes. The first has it;
 * the second writes nothing and says what to do. A name whose cluster was silent for half an hour is free:
 * a cluster that was built anew takes over where the old one was.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Sql } from "@axonize/core/runtime/postgres";
import type { Fence, Tx } from "./fence.ts";

/** As for tenants of another cluster: six times as long as the operator takes to tell that it is there. */
const silentMinutes = 30;
/** How long an answer about the name is good. */
const freshMs = 30_000;

const takenCode = "cluster_name_taken";

/** `DatabaseSynced` and `/readyz` say its message. */
export const isClusterNameTaken = (error: unknown): error is Error =>
  error instanceof Error && "code" in error && error.code === takenCode;

function taken(name: string, uid: string): Error {
  const which = name === "" ? "without a name" : `named "${name}"`;
  const message = `Another Kubernetes cluster (its kube-system has the UID ${uid}) writes to these stores as the cluster ${which}, and two of one name would take each other's namespaces and nodes. Give this one a clusterName of its own (helm upgrade --reuse-values --set clusterName=<name>). If the other one is gone for good, wait: ${silentMinutes} minutes after its last word its name is this one's.`;
  return Object.assign(new Error(message), { code: takenCode });
}

/** Every transaction of this fence first makes sure that the name is the writer's. */
export function createNamedFence(fence: Fence, options: { readonly cluster: string }): Fence {
  let isThere = false;
  return {
    read: async (run) => await fence.read(run),
    write: async (writer, run) =>
      await fence.write(writer, async (tx) => {
        // The schema of the version before has no names; ingest and dashboard migrate.
        isThere ||= await hasTable(tx);
        if (isThere) await claim(tx, options.cluster, writer.clusterUid);
        return await run(tx);
      }),
  };
}

/** Others wait as long as we are heard of. */
export async function tellClusterSeen(
  tx: Tx,
  cluster: { readonly name: string; readonly uid: string },
): Promise<void> {
  if (!(await hasTable(tx))) return;
  await tx`
    UPDATE clusters SET seen_at = now() WHERE name = ${cluster.name} AND cluster_uid = ${cluster.uid}`;
}

async function hasTable(sql: Sql | Tx): Promise<boolean> {
  const [row] = await sql<{ is: boolean }[]>`SELECT to_regclass('clusters') IS NOT NULL AS is`;
  return row?.is === true;
}

async function claim(tx: Tx, name: string, uid: string): Promise<void> {
  // Locked, so that nobody takes it over while the transaction runs.
  const [row] = await tx<{ cluster_uid: string }[]>`
    SELECT cluster_uid FROM clusters WHERE name = ${name} FOR SHARE`;
  if (row?.cluster_uid === uid) return;
  const [claimed] = await tx<{ cluster_uid: string }[]>`
    INSERT INTO clusters AS old (name, cluster_uid) VALUES (${name}, ${uid})
    ON CONFLICT (name) DO UPDATE
      SET cluster_uid = excluded.cluster_uid, claimed_at = now(), seen_at = now()
      WHERE old.cluster_uid = excluded.cluster_uid
        OR old.seen_at < now() - make_interval(mins => ${silentMinutes})
    RETURNING cluster_uid`;
  if (claimed === undefined) throw taken(name, row?.cluster_uid ?? "unknown");
}

export interface ClusterName {
  /** Why nothing may be done under this name; undefined: nothing is known against it. */
  problem(): Promise<string | undefined>;
}

/** What stands against the name, asked at most every half minute; while PostgreSQL is away, the last answer. */
export function createClusterName(
  { fence, clock }: { fence: Fence; clock: Clock },
  cluster: { readonly name: string; readonly uid: string },
): ClusterName {
  let known: { readonly atMs: number; readonly problem: string | undefined } | undefined;
  return {
    problem: async () => {
      const atMs = clock.monotonic();
      if (known !== undefined && atMs - known.atMs < freshMs) return known.problem;
      const owner = await fence
        .read(async (sql) => await readOwner(sql, cluster))
        .catch(
          () => undefined, // Whoever writes is refused all the same; this only tells it early.
        );
      const before = known?.problem;
      const problem = owner === undefined ? before : owner.problem;
      known = { atMs, problem };
      return problem;
    },
  };
}

async function readOwner(
  sql: Sql,
  { name, uid }: { readonly name: string; readonly uid: string },
): Promise<{ readonly problem: string | undefined }> {
  if (!(await hasTable(sql))) return { problem: undefined };
  const [row] = await sql<{ cluster_uid: string }[]>`
    SELECT cluster_uid FROM clusters WHERE name = ${name} AND cluster_uid <> ${uid}
      AND seen_at >= now() - make_interval(mins => ${silentMinutes})`;
  return { problem: row === undefined ? undefined : taken(name, row.cluster_uid).message };
}
