/**
 * What the tests of AxonizeTenant do to a cluster: tenants, namespaces, Secrets, and operators (the real
 * manager and the real controller) that are started, stopped and killed within a step.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { createAccess as createKeyAccess, isRefusal } from "@axonize/core/runtime/access";
import { createLog, silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { createTenantReconciler } from "../../../operator/controllers/tenant/reconciler.ts";
import type { TenantOptions } from "../../../operator/controllers/tenant/types.ts";
import { createAccess } from "../../../operator/kube/access.ts";
import { createManager } from "../../../operator/kube/manager.ts";
import type { ControllerBuilder, KubeClient } from "../../../operator/kube/types.ts";
import type { AxonizeTenantStatus } from "../../../operator/resources/crds/tenant.ts";
import { startTcpProxy, type TcpProxy } from "../../../ingest/testing/tcp-proxy.ts";
import { startControlPlane, type ControlPlane } from "../../../tools/k8s/control-plane.ts";
import { useStores, type Stores } from "../../support/stores.ts";
import { eventually } from "./eventually.ts";

export const operatorNamespace = "axonize-system";
export const clusterName = "test";
const defaults: TenantOptions = {
  cluster: clusterName,
  operatorNamespace,
  deniedNamespaces: ["axonize-agents"],
  injectionEndpoint: "http://axonize-ingest.axonize-system.svc:4318",
  allowForcedAdoption: false,
  injection: () => ({ reason: "PolicyActive", message: "By the admission policy." }),
  secretAccess: { kind: "Cluster" },
};

export interface SecretObject {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly type: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface OperatorOptions extends Partial<TenantOptions> {
  readonly postgresUrl: string;
  /** Stands between the controller and the API: a test stops it there. */
  readonly wrap?: (client: KubeClient) => KubeClient;
  readonly user?: string;
}

export type TenantCluster = ReturnType<typeof createTenantCluster>;

export function createTenantCluster(cluster: ControlPlane) {
  const read = async <T>(path: string): Promise<T | undefined> => {
    const { status, body } = await cluster.request("GET", path);
    if (status === 404) return undefined;
    assert.equal(status, 200, `${path}: ${body}`);
    // The API server keeps to its schemas; the test says what it reads.
    return JSON.parse(body) as T;
  };
  const tenantPath = (name: string): string => `/apis/axonize.io/v1alpha1/axonizetenants/${name}`;
  const statusOf = async (name: string): Promise<AxonizeTenantStatus | undefined> =>
    (await read<{ status?: AxonizeTenantStatus }>(tenantPath(name)))?.status;
  const secret = async (namespace: string, name = "axonize-ingest") =>
    await read<SecretObject>(`/api/v1/namespaces/${namespace}/secrets/${name}`);
  return {
    read,
    statusOf,
    secret,
    namespace: async (...names: readonly string[]): Promise<void> => {
      await cluster.apply(
        names.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })),
      );
    },
    tenant: async (name: string, spec: object, annotations: object = {}): Promise<void> => {
      await cluster.apply([
        {
          apiVersion: "axonize.io/v1alpha1",
          kind: "AxonizeTenant",
          metadata: { name, annotations },
          spec,
        },
      ]);
    },
    /** Waits until the condition has this reason, and this generation where it counts. */
    reason: async (name: string, type: string, reason: string): Promise<string> =>
      await eventually(`${name}: ${type} ${reason}`, async () => {
        const status = await statusOf(name);
        const found = status?.conditions?.find((each) => each.type === type);
        if (found?.reason === reason) return found.message;
        throw new Error(JSON.stringify(status?.conditions));
      }),
    labels: async (namespace: string): Promise<Readonly<Record<string, string>>> =>
      (
        await read<{ metadata: { labels?: Readonly<Record<string, string>> } }>(
          `/api/v1/namespaces/${namespace}`,
        )
      )?.metadata.labels ?? {},
    profile: async (namespace: string) =>
      await read<{ spec: Readonly<Record<string, unknown>> }>(
        `/apis/axonize.io/v1alpha1/namespaces/${namespace}/injectionprofiles/axonize`,
      ),
    events: async (reason: string): Promise<readonly string[]> => {
      const list = await read<{ items: { reason: string; note: string }[] }>(
        "/apis/events.k8s.io/v1/events",
      );
      return (list?.items ?? []).filter((each) => each.reason === reason).map(({ note }) => note);
    },
    operator: async (options: OperatorOptions) => await startOperator(cluster, options),
  };
}

export const keyIn = (secret: SecretObject | undefined): string =>
  Buffer.from(secret?.data?.["AXONIZE_API_KEY"] ?? "", "base64").toString();
export const keyIdIn = (secret: SecretObject | undefined): string =>
  Buffer.from(secret?.data?.["AXONIZE_API_KEY_ID"] ?? "", "base64").toString();

export type Operator = Awaited<ReturnType<typeof startOperator>>;

async function startOperator(cluster: ControlPlane, options: OperatorOptions) {
  const { postgresUrl, wrap, user, ...more } = options;
  const registry = createRegistry();
  const log = createLog({ component: "operator", level: "error" });
  const sql = createPostgres({ url: postgresUrl, application: "operator-test", log });
  const kubeconfig = user ?? cluster.kubeconfigFile;
  const access = await createAccess(
    { clock },
    { kubeconfig, serviceHost: undefined, servicePort: undefined },
  );
  const manager = createManager(
    {
      access,
      clock,
      log,
      registry,
      random: Math.random,
      onFatal: (reason) => log.error({ event: "operator.ended", reason }),
    },
    {
      userAgent: "axonize-operator/test-of-tenant",
      lease: {
        namespace: "default",
        name: "tenant-test",
        identity: crypto.randomUUID(),
        leaseMs: 15_000,
      },
    },
  );
  const source = createTenantReconciler({ sql, clock, log, registry }, { ...defaults, ...more });
  let wired: ControllerBuilder | undefined;
  manager.add("tenant", {
    wire: (builder) => {
      wired = builder;
      return source.wire(
        wrap === undefined ? builder : { ...builder, client: wrap(builder.client) },
      );
    },
  });
  await manager.start();
  await eventually("the operator leads", async () => {
    await Promise.resolve();
    return manager.isLeading() ? true : undefined;
  });
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    await manager.stop();
    await sql.end();
  };
  return {
    stop,
    metrics: async () => await registry.metrics(),
    nudge: (key: string) => wired?.enqueue(key),
    [Symbol.asyncDispose]: stop,
  };
}

const root = join(import.meta.dirname, "../../..");

/** What the tests of one file share: filled in before the first of them, gone after the last. */
export interface TenantSuite {
  cluster: ControlPlane;
  stores: Stores;
  /** Before the operator's PostgreSQL. */
  proxy: TcpProxy;
  /** Cuts it in the midst of the transaction that the operator begins because of this. */
  cutInTransaction(because: () => Promise<unknown>): Promise<void>;
  postgresUrl: string;
  t: TenantCluster;
  /** The one that runs; a test that stops it puts another in its place. */
  operator: Operator;
  keysOf(tenant: string): Promise<{ id: string; state: string; namespace: string }[]>;
  /** Ingest and dashboard would take this key. */
  assertTaken(key: string, what: string): Promise<void>;
}

export function useTenantSuite(): TenantSuite {
  // Filled in by `before`; no test runs earlier.
  const suite = {} as TenantSuite;
  before(async () => {
    const [cluster, stores] = await Promise.all([
      startControlPlane({ controllers: true }),
      useStores(),
    ]);
    for (const plural of ["axonizetenants", "injectionprofiles"]) {
      await cluster.apply(readFileSync(join(root, `crds/axonize.io_${plural}.yaml`), "utf8"));
      await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}.axonize.io`);
    }
    const url = new URL(stores.postgresUrl);
    const proxy = await startTcpProxy({ host: url.hostname, port: Number(url.port) });
    url.port = String(proxy.port);
    url.hostname = "127.0.0.1";
    const t = createTenantCluster(cluster);
    await t.namespace(operatorNamespace, "axonize-agents");
    const cutInTransaction: TenantSuite["cutInTransaction"] = async (because) => {
      await stores.sql.within(120_000).begin(async (tx) => {
        // Reads pass, writes wait.
        await tx`LOCK TABLE tenants IN EXCLUSIVE MODE`;
        await because();
        await eventually("the operator's transaction waits", async () => {
          const [waiting] = await tx`
            SELECT FROM pg_stat_activity WHERE datname = current_database()
              AND application_name = 'operator-test' AND wait_event_type = 'Lock'`;
          return waiting;
        });
        proxy.cut();
      });
    };
    const rows = rowsOf(stores);
    Object.assign(suite, {
      cluster,
      stores,
      proxy,
      cutInTransaction,
      t,
      postgresUrl: url.href,
      ...rows,
    });
    suite.operator = await t.operator({ postgresUrl: url.href });
  });
  after(async () => {
    await suite.operator?.stop();
    await suite.proxy?.[Symbol.asyncDispose]();
    await suite.cluster?.[Symbol.asyncDispose]();
  });
  return suite;
}

function rowsOf({ sql }: Stores): Pick<TenantSuite, "keysOf" | "assertTaken"> {
  return {
    keysOf: async (tenant) =>
      await sql<{ id: string; state: string; namespace: string }[]>`
        SELECT id, state, namespace FROM api_keys WHERE tenant_id = ${tenant} ORDER BY created_at`,
    assertTaken: async (key, what) => {
      await using access = await createKeyAccess(
        { sql, clock, log: silentLog },
        { adminKey: undefined, loopbackTenant: undefined },
      );
      const grant = access.authenticate(key, { peerLoopback: false });
      assert.ok(!isRefusal(grant), `${what}: ${isRefusal(grant) ? grant.message : ""}`);
    },
  };
}
