/** What tests ask of a cluster about pods and nodes, as objects. */
import type { Cluster } from "../../../tools/k8s/cluster.ts";
import { eventually } from "./eventually.ts";

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: {
    readonly containers: readonly {
      readonly name: string;
      readonly env?: readonly { readonly name: string; readonly value?: string }[];
    }[];
  };
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly message?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly ready: boolean;
      readonly restartCount: number;
      readonly state: Readonly<Record<string, unknown>>;
    }[];
  };
}

export async function getJson<T>(cluster: Cluster, ...args: readonly string[]): Promise<T> {
  // The caller names the type of what it asked for.
  return JSON.parse(await cluster.kubectl("get", ...args, "-o", "json")) as T;
}

/** The pod once all its containers are ready; a pod that has failed is told with its reason. */
export async function readyPod(cluster: Cluster, namespace: string, name: string): Promise<Pod> {
  return await eventually(`pod ${namespace}/${name} ready`, async () => {
    const pod = await getJson<Pod>(cluster, "pod", name, "-n", namespace);
    return isReady(pod) ? pod : explain(pod);
  });
}

/** All pods of a selector once there are so many and each is ready. */
export async function readyPods(
  cluster: Cluster,
  namespace: string,
  selector: string,
  count: number,
): Promise<Pod[]> {
  return await eventually(`${count} pods of ${selector} in ${namespace} ready`, async () => {
    const { items } = await getJson<{ items: Pod[] }>(
      cluster,
      "pods",
      "-n",
      namespace,
      "-l",
      selector,
    );
    const living = items.filter((pod) => pod.metadata.deletionTimestamp === undefined);
    if (living.length === count && living.every(isReady)) return living;
    for (const pod of living) if (!isReady(pod)) return explain(pod);
    throw new Error(`there are ${living.length}`);
  });
}

export function isReady(pod: Pod): boolean {
  const statuses = pod.status.containerStatuses ?? [];
  return statuses.length > 0 && statuses.every(({ ready }) => ready);
}

function explain(pod: Pod): never {
  const { phase, reason, message, containerStatuses } = pod.status;
  const states = (containerStatuses ?? []).map(
    ({ name, state }) => `${name} ${JSON.stringify(state)}`,
  );
  throw new Error(
    `${pod.metadata.name} is ${phase} ${reason ?? ""} ${message ?? ""}: ${states.join("; ")}`,
  );
}

export async function allocatable(cluster: Cluster): Promise<Record<string, string>> {
  const node = await getJson<{ status: { allocatable: Record<string, string> } }>(
    cluster,
    "node",
    cluster.nodeName,
  );
  return node.status.allocatable;
}
