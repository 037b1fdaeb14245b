/**
 * Which container a process in a pod's cgroup belongs to, and a pod's uid where no pod source told it:
 * from what only one container was given. Pure.
 *
 * pod-resources has names and no uids, cgroups have uids and no names. A device that one container has to
 * itself, and on which the processes of one pod alone compute, ties the two together; anything less does not.
 */
import { claimOf } from "./keys.ts";
import type { ContainerName } from "./records.ts";

export interface Holding extends ContainerName {
  readonly podUid: string | undefined;
  readonly resourceUuid: string;
  /** undefined: to itself. */
  readonly replica: number | undefined;
}
export interface Runner {
  readonly podUid: string | undefined;
  readonly resourceUuid: string;
}

/** `namespace/pod` → uid, for pods whose uid is not known otherwise. */
export function learnedUids(
  holdings: readonly Holding[],
  runners: readonly Runner[],
): ReadonlyMap<string, string> {
  const running = Map.groupBy(runners, ({ resourceUuid }) => resourceUuid);
  const learned = new Map<string, string>();
  const refuted = new Set<string>();
  for (const holding of soleHoldings(holdings)) {
    if (holding.podUid !== undefined) continue;
    const uids = new Set((running.get(holding.resourceUuid) ?? []).map(({ podUid }) => podUid));
    const [uid] = uids;
    if (uids.size !== 1 || uid === undefined) continue;
    const pod = `${holding.namespace}/${holding.pod}`;
    if ((learned.get(pod) ?? uid) !== uid) refuted.add(pod);
    learned.set(pod, uid);
  }
  // One uid for two names is a pod that computes on what it was not given.
  const names = Map.groupBy(learned.keys(), (pod) => learned.get(pod));
  for (const pods of names.values()) if (pods.length > 1) for (const pod of pods) refuted.add(pod);
  for (const pod of refuted) learned.delete(pod);
  return learned;
}

/** The containers that have a device to themselves, and whose pod's uid is known: by device. */
export function soleOwners(
  holdings: readonly Holding[],
): ReadonlyMap<string, { readonly podUid: string; readonly owner: ContainerName }> {
  return new Map(
    soleHoldings(holdings).flatMap(({ resourceUuid, podUid, namespace, pod, container }) =>
      podUid === undefined
        ? []
        : [[resourceUuid, { podUid, owner: { namespace, pod, container } }] as const],
    ),
  );
}

function soleHoldings(holdings: readonly Holding[]): Holding[] {
  return [...Map.groupBy(holdings, ({ resourceUuid }) => resourceUuid).values()].flatMap((held) =>
    new Set(held.map(claimOf)).size === 1 && held.every(({ replica }) => replica === undefined)
      ? held.slice(0, 1)
      : [],
  );
}
