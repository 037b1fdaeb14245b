/**
 * What the tests of GpuPool do to a cluster: nodes without a kubelet, pods that are said to run, and
 * operators (the real manager and the real controller) one after the other.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { every, systemClock as clock } from "@axonize/core/runtime/clock";
import { createLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import type { Sql } from "@axonize/core/runtime/postgres";
import { createGpuPoolMetrics } from "../../../operator/controllers/gpupool/metrics.ts";
import { createGpuPoolReconciler } from "../../../operator/controllers/gpupool/reconciler.ts";
import { createPoolStore } from "../../../operator/controllers/gpupool/store.ts";
import { createAccess } from "../../../operator/kube/access.ts";
import { createManager, type Manager } from "../../../operator/kube/manager.ts";
import type { ControllerBuilder, Reconciler } from "../../../operator/kube/types.ts";
import { createClusterName, createNamedFence } from "../../../operator/store/clusters.ts";
import { createFence } from "../../../operator/store/fence.ts";
import { group } from "../../../operator/resources/crds/names.ts";
import { startControlPlane, type ControlPlane } from "../../../tools/k8s/control-plane.ts";
import { useStores } from "../../support/stores.ts";

const namespace = "axonize-agents";
const clusterName = "test";
const userAgent = "axonize-operator/test-of-gpupool";
const waitMs = 120_000;

export interface Status {
  readonly observedGeneration?: number;
  readonly conditions: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly nodes: Readonly<
    Record<"matched" | "assigned" | "ready" | "unhealthy" | "conflicting", number>
  >;
  readonly agent: Readonly<Record<"desired" | "updated" | "ready" | "unavailable", number>> & {
    readonly image: string;
  };
  readonly gpus: Readonly<Record<"total" | "allocatable" | "allocated" | "unhealthy", number>>;
  readonly products: readonly object[];
}

interface PodSpec {
  readonly nodeName?: string;
  readonly containers: readonly {
    readonly image: string;
    readonly resources?: { readonly limits?: Readonly<Record<string, string>> };
  }[];
  readonly volumes?: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string };
    readonly projected?: {
      readonly sources: readonly { readonly serviceAccountToken?: { readonly audience: string } }[];
    };
  }[];
}
interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: PodSpec;
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}
interface DaemonSet {
  readonly metadata: { readonly generation: number };
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

export type GpuCluster = Awaited<ReturnType<typeof startGpuCluster>>;

/** A control plane with the CRD, the agents' namespace and migrated stores; no operator yet. */
export async function startGpuCluster() {
  const [cluster, stores] = await Promise.all([
    startControlPlane({ controllers: true, scheduler: true }),
    useStores(),
  ]);
  const crd = join(import.meta.dirname, `../../../crds/${group}_gpupools.yaml`);
  await cluster.apply(readFileSync(crd, "utf8"));
  await cluster.kubectl("wait", "--for=condition=Established", `crd/gpupools.${group}`);
  const gpus = await createGpuCluster(cluster, stores.sql);
  return {
    ...gpus,
    cluster,
    stores,
    [Symbol.asyncDispose]: async () => {
      await gpus[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

async function createGpuCluster(cluster: ControlPlane, sql: Sql) {
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace, labels: { "pod-security.kubernetes.io/enforce": "privileged" } },
    },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "axonize-agent", namespace } },
  ]);
  let operator: Operator | undefined;
  const stopping = new AbortController();
  const kubelet = confirmDeletions(cluster, stopping.signal);
  const read = async <T>(path: string): Promise<T> => {
    const { status, body } = await cluster.request("GET", path);
    assert.equal(status, 200, `${path}: ${body}`);
    // The API server keeps to its schemas; the test says what it reads.
    return JSON.parse(body) as T;
  };
  const patchStatus = async (path: string, status: object): Promise<void> =>
    void (await cluster.kubectl(
      "patch",
      "--subresource=status",
      "--type=merge",
      ...path.split(" "),
      "-p",
      JSON.stringify({ status }),
    ));
  const agentPods = async (pool: string): Promise<readonly Pod[]> =>
    (
      await read<{ items: Pod[] }>(
        `/api/v1/namespaces/${namespace}/pods?labelSelector=axonize.io%2Fgpu-pool%3D${pool}`,
      )
    ).items;
  const statusOf = async (pool: string): Promise<Status> => {
    const { status } = await read<{ status?: Status }>(
      `/apis/axonize.io/v1alpha1/gpupools/${pool}`,
    );
    assert.ok(status?.conditions, `${pool} has no status`);
    return status;
  };
  return {
    namespace,
    clusterName,
    userAgent,
    eventually,
    agentPods,
    statusOf,
    /** An operator with this image bundled; the one before stops. */
    startOperator: async (options: OperatorOptions) => {
      await operator?.stop();
      operator = await startOperator(cluster, sql, options);
    },
    /** Has every pool reconciled once. */
    reconcileAll: async () => await operator?.reconcileAll(),
    nudge: (pool: string) => operator?.nudge(pool),
    node: async (name: string, given: { labels?: Readonly<Record<string, string>> }) => {
      await cluster.apply([
        {
          apiVersion: "v1",
          kind: "Node",
          metadata: { name, labels: { "kubernetes.io/hostname": name, ...given.labels } },
        },
      ]);
      await patchStatus(`node ${name}`, {
        capacity: { cpu: "8", memory: "64Gi", pods: "110" },
        allocatable: { cpu: "8", memory: "64Gi", pods: "110" },
        conditions: [
          {
            type: "Ready",
            status: "True",
            reason: "Test",
            lastHeartbeatTime: new Date().toISOString(),
            lastTransitionTime: new Date().toISOString(),
          },
        ],
      });
    },
    pool: async (name: string, spec: object) => {
      await cluster.apply([
        { apiVersion: "axonize.io/v1alpha1", kind: "GpuPool", metadata: { name }, spec },
      ]);
    },
    poolOf: async (...nodes: string[]): Promise<(string | undefined)[]> =>
      await Promise.all(
        nodes.map(async (name) => {
          const { metadata } = await read<{ metadata: { labels?: Record<string, string> } }>(
            `/api/v1/nodes/${name}`,
          );
          return metadata.labels?.["axonize.io/gpu-pool"];
        }),
      ),
    uidOf: async (name: string): Promise<string> =>
      (await read<{ metadata: { uid: string } }>(`/api/v1/nodes/${name}`)).metadata.uid,
    daemonSet: async (pool: string): Promise<DaemonSet> =>
      await read<DaemonSet>(
        `/apis/apps/v1/namespaces/${namespace}/daemonsets/axonize-agent-${pool}`,
      ),
    configFile: async (pool: string): Promise<Record<string, unknown>> => {
      const { data } = await read<{ data: Record<string, string> }>(
        `/api/v1/namespaces/${namespace}/configmaps/axonize-agent-${pool}`,
      );
      return JSON.parse(data["pool.json"] ?? "{}") as Record<string, unknown>;
    },
    /** What a kubelet says of an image that it cannot pull. */
    failPull: async (pool: string) => {
      for (const { metadata } of await agentPods(pool)) {
        await patchStatus(`pod ${metadata.name} -n ${namespace}`, {
          containerStatuses: [
            {
              name: "agent",
              image: "",
              imageID: "",
              ready: false,
              restartCount: 0,
              state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } },
            },
          ],
        });
      }
    },
    /** Says of the pool's pods what a kubelet would once their containers run. */
    runPods: async (pool: string) => {
      for (const { metadata, status } of await agentPods(pool)) {
        if (status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"))
          continue;
        const lastTransitionTime = new Date().toISOString();
        const conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"].map(
          (type) => ({ type, status: "True", lastTransitionTime }),
        );
        await patchStatus(`pod ${metadata.name} -n ${namespace}`, { phase: "Running", conditions });
      }
    },
    [Symbol.asyncDispose]: async () => {
      await operator?.stop();
      stopping.abort();
      await kubelet;
    },
  };
}

/** A kubelet's last word on a pod: it has ended, so that it can go. */
async function confirmDeletions(cluster: ControlPlane, signal: AbortSignal): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/pods`;
  await every(
    { clock, ms: 300, signal, onError: (error) => process.stderr.write(`${String(error)}\n`) },
    async () => {
      const { body } = await cluster.request("GET", path);
      // The API server keeps to its schemas.
      const { items } = JSON.parse(body) as {
        items: { metadata: { name: string; deletionTimestamp?: string } }[];
      };
      for (const { metadata } of items) {
        if (metadata.deletionTimestamp === undefined) continue;
        const answer = await cluster.request(
          "DELETE",
          `${path}/${metadata.name}?gracePeriodSeconds=0`,
        );
        if (answer.status >= 400 && answer.status !== 404) throw new Error(answer.body);
      }
    },
  );
}

interface OperatorOptions {
  readonly bundledImage: string;
  /** The controller's clock goes so far ahead: what takes minutes is looked at now. */
  readonly aheadMs?: number;
}

interface Operator {
  stop(): Promise<void>;
  reconcileAll(): Promise<void>;
  nudge(pool: string): void;
}

async function startOperator(
  cluster: ControlPlane,
  sql: Sql,
  options: OperatorOptions,
): Promise<Operator> {
  const log = createLog({ component: "operator", level: "warn" });
  const registry = createRegistry();
  const access = await createAccess(
    { clock },
    { kubeconfig: cluster.kubeconfigFile, serviceHost: undefined, servicePort: undefined },
  );
  const manager: Manager = createManager(
    {
      access,
      clock,
      log,
      registry,
      random: Math.random,
      onFatal: (reason) => assert.fail(`the operator ended: ${reason}`),
    },
    {
      userAgent,
      lease: {
        namespace: "default",
        name: "gpupool-test",
        identity: crypto.randomUUID(),
        leaseMs: 15_000,
      },
    },
  );
  const clusterUid = "of-the-test";
  const fence = createNamedFence(createFence({ sql }), { cluster: clusterName });
  const store = createPoolStore({ sql, fence }, { cluster: clusterName, clusterUid });
  let wired: { reconciler: Reconciler; builder: ControllerBuilder } | undefined;
  const source = createGpuPoolReconciler(
    {
      store,
      clusterName: createClusterName({ fence, clock }, { name: clusterName, uid: clusterUid }),
      clock: { ...clock, now: () => clock.now() + (options.aheadMs ?? 0) },
      log,
      metrics: createGpuPoolMetrics(registry),
    },
    {
      bundledImage: options.bundledImage,
      agents: {
        namespace,
        cluster: clusterName,
        ingestEndpoint: "axonize-ingest.axonize-system.svc:4317",
        kubeletDirectory: "/var/lib/kubelet",
        stateDirectory: "/var/lib/axonize-agent",
        fakeDriverDirectory: "/var/lib/axonize-fake-driver",
      },
    },
  );
  /** Runs of each pool that have ended. */
  const runs = new Map<string, number>();
  manager.add("gpupool", {
    wire: (builder) => {
      const reconciler = source.wire(builder);
      wired = { reconciler, builder };
      return {
        name: reconciler.name,
        reconcile: async (key, context) => {
          try {
            return await reconciler.reconcile(key, context);
          } finally {
            runs.set(key, (runs.get(key) ?? 0) + 1);
          }
        },
      };
    },
  });
  await manager.start();
  await eventually("it leads", () => assert.ok(manager.isLeading()));
  return {
    stop: async () => await manager.stop(),
    nudge: (pool) => wired?.builder.enqueue(pool),
    reconcileAll: async () => {
      const before = new Map(runs);
      for (const key of before.keys()) wired?.builder.enqueue(key);
      await eventually("every pool ran", () => {
        for (const [key, count] of before) assert.ok((runs.get(key) ?? 0) > count, key);
      });
    },
  };
}

async function eventually<T>(what: string, check: () => Promise<T> | T): Promise<T> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline)
        throw new Error(`${what}: not within ${waitMs} ms`, { cause: error });
    }
    await clock.sleep(100);
  }
}
