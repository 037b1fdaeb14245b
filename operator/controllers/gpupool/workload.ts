/**
 * A pool's ConfigMap and DaemonSet in the cluster: applied when they differ from what is wanted, left alone
 * when they do not. A DaemonSet's spec comes back with the server's defaults and spellings, so it is not
 * compared field by field: its hash and its generation tell whether anybody changed it since our last apply.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import { isDeepEqual } from "../../kube/conditions.ts";
import { configMaps, daemonSets } from "../../kube/kinds.ts";
import type { Informer, KubeClient, KubeObject } from "../../kube/types.ts";
import * as names from "../../resources/gpupool/names.ts";
import type { Rollout } from "../../resources/gpupool/rollout.ts";
import type { configMapOf } from "../../resources/gpupool/template.ts";
import type { GpuPoolMetrics } from "./metrics.ts";
import { manager } from "./nodes.ts";
import type { ConfigMapObject, DaemonSetObject } from "./objects.ts";

export interface Workload {
  /** The pool's DaemonSet. undefined: none, or one of an earlier life that has to go first. */
  live(pool: string): DaemonSetObject | undefined;
  applyConfig(wanted: ReturnType<typeof configMapOf>): Promise<void>;
  /** Resolves to the DaemonSet as it is now; undefined: an earlier life's is in the way. */
  applyDaemonSet(
    pool: { name: string; uid: string },
    rollout: Rollout,
  ): Promise<DaemonSetObject | undefined>;
  /** false: something of it is still there. */
  remove(pool: string): Promise<boolean>;
  forget(pool: string): void;
}

/**
 * How long a pool's end waits for its agents to end. A pod on a node that is away ends when the node comes
 * back or is deleted; the API server goes on with that by itself.
 */
const patienceMs = 60_000;

export function createWorkload(
  deps: {
    readonly client: KubeClient;
    readonly clock: Clock;
    readonly metrics: GpuPoolMetrics;
    readonly daemonSets: Informer<DaemonSetObject>;
    readonly configMaps: Informer<ConfigMapObject>;
  },
  options: { readonly namespace: string },
): Workload {
  const { client, metrics } = deps;
  const { namespace } = options;
  /** By pool: what our last apply left. */
  const applied = new Map<string, { hash: string; uid: string; generation: number }>();
  const live = (pool: string): DaemonSetObject | undefined =>
    deps.daemonSets.get(`${namespace}/${names.daemonSetName(pool)}`);
  const apply = { manager, force: true } as const;
  return {
    live,
    applyConfig: async (wanted) => {
      const is = deps.configMaps.get(`${namespace}/${wanted.metadata.name}`);
      if (is !== undefined && isDeepEqual(is.data, wanted.data) && isOurs(is, wanted)) return;
      await client.apply({ ...wanted }, configMaps, apply);
    },
    applyDaemonSet: async ({ name, uid }, rollout) => {
      const is = live(name);
      if (is !== undefined && isOfAnother(is, uid)) return undefined;
      if (rollout.isHeldBack) return is;
      const { daemonSet: wanted, templateHash: template } = rollout;
      const hash = `${template} ${JSON.stringify(wanted.spec.updateStrategy)}`;
      const before = applied.get(name);
      const isUnchanged =
        is !== undefined &&
        before?.hash === hash &&
        before.uid === is.metadata.uid &&
        before.generation === is.metadata.generation &&
        isOurs(is, wanted);
      if (isUnchanged) return is;
      const after = await client.apply<DaemonSetObject>({ ...wanted }, daemonSets, apply);
      applied.set(name, {
        hash,
        uid: after.metadata.uid ?? "",
        generation: after.metadata.generation ?? 0,
      });
      if (after.metadata.resourceVersion !== is?.metadata.resourceVersion) metrics.rollouts.inc();
      return after;
    },
    remove: async (pool) => {
      const is = live(pool);
      const ref = { name: names.daemonSetName(pool), namespace };
      if (is !== undefined && is.metadata.deletionTimestamp === undefined) {
        // Foreground: it is gone when its pods are.
        await client.delete(
          { kind: daemonSets, ...ref },
          { propagation: "Foreground", ...uidOf(is) },
        );
      }
      const config = deps.configMaps.get(`${namespace}/${names.configMapName(pool)}`);
      if (is !== undefined && deps.clock.now() < deletedMs(is) + patienceMs) return false;
      if (config !== undefined) await client.delete({ kind: configMaps, ...ref }, uidOf(config));
      return config === undefined;
    },
    forget: (pool) => void applied.delete(pool),
  };
}

const deletedMs = ({ metadata }: KubeObject): number =>
  metadata.deletionTimestamp === undefined ? Infinity : Date.parse(metadata.deletionTimestamp);

const uidOf = ({ metadata }: KubeObject): { uid?: string } =>
  metadata.uid === undefined ? {} : { uid: metadata.uid };

/** Its owner is a pool that had the same name and is gone, or it is on its way out. */
function isOfAnother({ metadata }: KubeObject, uid: string): boolean {
  if (metadata.deletionTimestamp !== undefined) return true;
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  return owner !== undefined && owner.uid !== uid;
}

/** Labels, annotations and owner that are wanted are there; what others added may stay. */
function isOurs(is: KubeObject, wanted: KubeObject): boolean {
  const has = (
    there: Readonly<Record<string, string>> | undefined,
    all: Readonly<Record<string, string>> | undefined,
  ): boolean => Object.entries(all ?? {}).every(([key, value]) => there?.[key] === value);
  const owners = is.metadata.ownerReferences ?? [];
  return (
    has(is.metadata.labels, wanted.metadata.labels) &&
    has(is.metadata.annotations, wanted.metadata.annotations) &&
    (wanted.metadata.ownerReferences ?? []).every(({ uid }) =>
      owners.some((each) => each.uid === uid),
    )
  );
}
