/** Custom resources and what the operator says of them. */
import assert from "node:assert/strict";
import type { Cluster } from "../../../tools/k8s/cluster.ts";
import { eventually } from "./eventually.ts";
import { getJson } from "./objects.ts";

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export interface Custom<Status> {
  readonly metadata: {
    readonly name: string;
    readonly generation: number;
    readonly finalizers?: readonly string[];
  };
  readonly status?: Status & {
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
  };
}

export interface TenantStatus {
  readonly lastHandledRotateAt?: string;
  readonly apiKeys?: readonly {
    readonly name: string;
    readonly currentKeyID?: string;
    readonly previousKeyID?: string;
  }[];
  readonly namespaces?: readonly {
    readonly name: string;
    readonly state: string;
    readonly uninjectedPods?: number;
  }[];
}

export interface PoolStatus {
  readonly nodes?: { readonly assigned: number; readonly ready: number };
  readonly gpus?: { readonly total: number; readonly allocatable: number };
}

/** After an uninstall: every condition says that nobody knows. */
export async function assertUninstalled(
  cluster: Cluster,
  kind: "axonizetenant" | "gpupool",
  name: string,
): Promise<void> {
  const { status } = await getJson<Custom<object>>(cluster, kind, name);
  const said = (status?.conditions ?? []).map(
    (each) => `${each.type}: ${each.status} ${each.reason}`,
  );
  assert.ok(said.includes("Ready: Unknown Uninstalled"), said.join());
  assert.deepEqual(
    said.filter((each) => !each.endsWith(": Unknown Uninstalled")),
    [],
  );
}

/** The resource once its generation was looked at and it is Ready and `also` holds. */
export async function settled<Status>(
  cluster: Cluster,
  kind: "axonizetenant" | "gpupool",
  name: string,
  also: (status: Status) => boolean = () => true,
): Promise<Status> {
  return await eventually(`${kind} ${name} settled`, async () => {
    const found = await getJson<Custom<Status>>(cluster, kind, name);
    const { status } = found;
    const wrong = status?.conditions?.filter(
      (each) => each.type === "Ready" && each.status !== "True",
    );
    if (status === undefined || wrong === undefined) throw new Error("no status yet");
    const [first] = wrong;
    if (first !== undefined) throw new Error(`${first.reason}: ${first.message}`);
    if (status.observedGeneration !== found.metadata.generation) throw new Error("an older one");
    if (!also(status)) throw new Error(JSON.stringify(status));
    return status;
  });
}
