/**
 * The operator's own process under a real API server with a real PostgreSQL: it starts, works, says how it
 * is, hands over, and `cleanup` leaves nothing in the way.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { silentLog } from "@axonize/core/runtime/log";
import { migratePostgres } from "@axonize/core/runtime/migrate";
import { createPostgres } from "@axonize/core/runtime/postgres";
import { crdFiles, crdOf } from "../../scripts/generate/crds.ts";
import { gpuPool } from "../../operator/resources/crds/gpu-pool.ts";
import { mutatingWebhookConfiguration } from "../../operator/injection/webhook-config.ts";
import { freePort } from "../../tools/k8s/parts.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { eventually } from "./support/eventually.ts";
import { startHostStores, type HostStores } from "./support/host-stores.ts";

const root = join(import.meta.dirname, "../..");
let cluster: ControlPlane;
let stores: HostStores;
const children = new Set<ChildProcess>();

before(async () => {
  cluster = await startControlPlane({ controllers: true });
  stores = await startHostStores("127.0.0.1");
  const sql = createPostgres({ url: stores.postgresUrl, application: "test", log: silentLog });
  await migratePostgres(sql, { dir: join(root, "migrations/postgres"), log: silentLog });
  await sql.end();
  for (const [path, text] of crdFiles()) if (path.startsWith("crds/")) await cluster.apply(text);
  for (const name of ["axonizetenants", "gpupools", "injectionprofiles"]) {
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${name}.axonize.io`);
  }
  for (const name of ["axonize-system", "axonize-agents", "team-a"]) {
    await cluster.kubectl("create", "namespace", name);
  }
});
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await stores[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

interface Operator {
  readonly process: ChildProcess;
  readonly ended: Promise<number | string>;
  log(): string;
  ready(): Promise<string>;
  metrics(): Promise<string>;
}

function run(args: readonly string[] = [], env: Record<string, string> = {}): Operator {
  const child = spawn(process.execPath, [join(root, "operator/main.ts"), ...args], {
    env: {
      PATH: `${dirname(process.execPath)}:/usr/bin:/bin`,
      KUBECONFIG: cluster.kubeconfigFile,
      AXONIZE_POSTGRES_URL: stores.postgresUrl,
      AXONIZE_OPERATOR_NAMESPACE: "axonize-system",
      AXONIZE_AGENT_IMAGE: "axonize.io/agent:test",
      AXONIZE_INGEST_ENDPOINT: "axonize-ingest.axonize-system.svc:4317",
      AXONIZE_INJECTION_ENDPOINT: "http://axonize-ingest.axonize-system.svc:4318",
      AXONIZE_OPERATOR_OPS_LISTEN: "127.0.0.1:0",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  }
  const ended = once(child, "exit").then(([code, signal]: (number | string | null)[]) => {
    children.delete(child);
    return code ?? signal ?? "";
  });
  const ask = async (path: string): Promise<string> => {
    const port = /"operator\.started","ops":\{"host":"127\.0\.0\.1","port":(\d+)\}/.exec(text)?.[1];
    assert.ok(port, `not started:\n${text}`);
    return await (await fetch(`http://127.0.0.1:${port}${path}`)).text();
  };
  return {
    process: child,
    ended,
    log: () => text,
    ready: async () => await ask("/readyz"),
    metrics: async () => await ask("/metrics"),
  };
}

const isThere = async (path: string): Promise<boolean> =>
  (await cluster.request("GET", path)).status === 200;

async function json<T>(path: string): Promise<T> {
  const { status, body } = await cluster.request("GET", path);
  assert.equal(status, 200, `${path}: ${body}`);
  // The API server keeps to its schemas; the test says what it reads.
  return JSON.parse(body) as T;
}

interface Conditions {
  readonly metadata: { readonly finalizers?: readonly string[]; readonly labels?: object };
  readonly status?: {
    readonly conditions?: readonly { type: string; status: string; reason: string }[];
  };
}
const secretPath = "/api/v1/namespaces/team-a/secrets/axonize-ingest";

test("the operator leads, serves a tenant and a pool, is followed by its second, and cleans up", async () => {
  const first = run();
  await eventually(`it leads\n${first.log()}`, async () =>
    (await first.ready()).startsWith("ready, leading") ? true : undefined,
  );
  const second = run();
  await eventually(`the second stands by\n${second.log()}`, async () =>
    (await second.ready()).startsWith("ready, standing by") ? true : undefined,
  );
  await cluster.apply([
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "AxonizeTenant",
      metadata: { name: "team-a" },
      spec: { namespaces: [{ name: "team-a" }] },
    },
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "GpuPool",
      metadata: { name: "pool" },
      spec: { nodeSelector: { matchLabels: { gpu: "yes" } } },
    },
    { apiVersion: "v1", kind: "Node", metadata: { name: "node-1", labels: { gpu: "yes" } } },
  ]);
  await eventually(`the tenant has its Secret\n${first.log()}`, async () =>
    (await isThere(secretPath)) ? true : undefined,
  );
  await eventually(`the pool has its node\n${first.log()}`, async () => {
    const { metadata } = await json<Conditions>("/api/v1/nodes/node-1");
    return JSON.stringify(metadata.labels).includes('"axonize.io/gpu-pool":"pool"') || undefined;
  });
  const metrics = await first.metrics();
  assert.match(metrics, /axonize_operator_crd_outdated\{crd="gpupools.axonize.io"\} 0/);
  assert.match(metrics, /leader_election_master_status\{name="axonize-operator"\} 1/);
  assert.match(
    metrics,
    /controller_runtime_reconcile_total\{controller="tenant",result="error"\} 0/,
  );

  first.process.kill("SIGTERM");
  assert.equal(await first.ended, 0, first.log());
  await eventually(`the second leads\n${second.log()}`, async () =>
    (await second.ready()).startsWith("ready, leading") ? true : undefined,
  );
  // Put right by whoever leads now.
  await cluster.kubectl("delete", "secret", "axonize-ingest", "-n", "team-a");
  await eventually(`the Secret is made again\n${second.log()}`, async () =>
    (await isThere(secretPath)) ? true : undefined,
  );
  second.process.kill("SIGTERM");
  assert.equal(await second.ended, 0, second.log());

  const cleanup = run(["cleanup"]);
  assert.equal(await cleanup.ended, 0, cleanup.log());
  assert.equal(await isThere(secretPath), false);
  for (const path of ["axonizetenants/team-a", "gpupools/pool"]) {
    const { metadata } = await json<Conditions>(`/apis/axonize.io/v1alpha1/${path}`);
    assert.deepEqual(metadata.finalizers ?? [], [], `${path} is kept, and free`);
  }
  for (const path of ["/api/v1/nodes/node-1", "/api/v1/namespaces/team-a"]) {
    const { metadata } = await json<Conditions>(path);
    assert.doesNotMatch(JSON.stringify(metadata.labels), /axonize\.io/, path);
  }
  const profiles = "/apis/axonize.io/v1alpha1/namespaces/team-a/injectionprofiles/axonize";
  assert.equal(await isThere(profiles), false);
  const daemonSets = "/apis/apps/v1/namespaces/axonize-agents/daemonsets";
  assert.deepEqual((await json<{ items: unknown[] }>(daemonSets)).items, []);
  const again = run(["cleanup"]);
  assert.equal(await again.ended, 0, "a second run finds nothing");
  assert.match(again.log(), /"done":0/);
  await cluster.kubectl("delete", "gpupool/pool", "axonizetenant/team-a", "--timeout=30s");
});

test("with a right per namespace, cleanup goes on where one before it was ended midway", async () => {
  for (const name of ["begun", "untouched"]) {
    await cluster.kubectl("create", "namespace", name);
    await cluster.kubectl("label", "namespace", name, "axonize.io/tenant=t");
  }
  const kubeconfig = await cleanerAccount();
  const rbac = "rbac.authorization.k8s.io";
  const secret = (namespace: string, name: string) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, labels: { "axonize.io/tenant-uid": "some-uid" } },
  });
  // "begun" has lost its right already, and its Secrets before that.
  await cluster.apply([
    {
      apiVersion: `${rbac}/v1`,
      kind: "RoleBinding",
      metadata: { name: "axonize-tenant-secrets", namespace: "untouched" },
      roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "cleaner-secrets" },
      subjects: [{ kind: "ServiceAccount", name: "cleaner", namespace: "axonize-system" }],
    },
    secret("untouched", "axonize-ingest"),
    // Of a key that no workload gets.
    secret("axonize-system", "axonize-reader-t"),
  ]);
  const env = { KUBECONFIG: kubeconfig, AXONIZE_SECRET_ACCESS: "PerNamespace" };
  const cleanup = run(["cleanup"], env);
  assert.equal(await cleanup.ended, 0, cleanup.log());
  for (const [namespace, name] of [
    ["untouched", "axonize-ingest"],
    ["axonize-system", "axonize-reader-t"],
  ]) {
    assert.equal(await isThere(`/api/v1/namespaces/${namespace}/secrets/${name}`), false, name);
  }
  for (const name of ["begun", "untouched"]) {
    const { metadata } = await json<Conditions>(`/api/v1/namespaces/${name}`);
    assert.doesNotMatch(JSON.stringify(metadata.labels), /axonize\.io/, name);
  }
});

/** A ServiceAccount with all that cleanup needs, but for Secrets: those of the release's namespace alone. */
async function cleanerAccount(): Promise<string> {
  const rbac = "rbac.authorization.k8s.io";
  const namespace = "axonize-system";
  const subjects = [{ kind: "ServiceAccount", name: "cleaner", namespace }];
  const role = (name: string, rules: object[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRole",
    metadata: { name },
    rules,
  });
  const all = (apiGroups: string[], resources: string[]) => ({
    apiGroups,
    resources,
    verbs: ["get", "list", "patch", "delete"],
  });
  const bind = (kind: string, name: string) => ({
    apiVersion: `${rbac}/v1`,
    kind,
    metadata: { name, ...(kind === "RoleBinding" ? { namespace } : {}) },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name },
    subjects,
  });
  await cluster.apply([
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "cleaner", namespace } },
    role("cleaner-secrets", [all([""], ["secrets"])]),
    role("cleaner", [
      all(["axonize.io", "apps", rbac], ["*"]),
      all([""], ["namespaces", "nodes", "configmaps"]),
    ]),
    bind("RoleBinding", "cleaner-secrets"),
    bind("ClusterRoleBinding", "cleaner"),
  ]);
  const path = join(cluster.dir, "cleaner.kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "c", cluster: { server: cluster.url, "certificate-authority": cluster.caFile } },
    ],
    users: [{ name: "u", user: { token: await cluster.tokenFor(namespace, "cleaner") } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

test("a definition that is older than the operator is named in readiness and metrics", async () => {
  const current = crdOf(gpuPool);
  const old = JSON.parse(JSON.stringify(current)) as {
    spec: {
      versions: { schema: { openAPIV3Schema: { properties: { spec: { properties: object } } } } }[];
    };
  };
  const { properties } = old.spec.versions[0]?.schema.openAPIV3Schema.properties.spec ?? {};
  assert.ok(properties && "pricing" in properties);
  delete (properties as Record<string, unknown>)["pricing"];
  for (const version of old.spec.versions as { additionalPrinterColumns?: unknown }[]) {
    delete version.additionalPrinterColumns;
  }
  const put = async (definition: object): Promise<void> => {
    const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gpupools.axonize.io";
    const { metadata } = await json<{ metadata: { resourceVersion: string } }>(path);
    const body = { ...definition, metadata: { name: "gpupools.axonize.io", ...metadata } };
    const answer = await cluster.request("PUT", path, body);
    assert.equal(answer.status, 200, answer.body);
  };
  await put(old);
  const operator = run();
  await eventually(`it says so\n${operator.log()}`, async () =>
    /warning: gpupools\.axonize\.io is older than this operator, it lacks spec\.pricing/.test(
      await operator.ready(),
    )
      ? true
      : undefined,
  );
  assert.match(await operator.ready(), /^ready/);
  assert.match(
    await operator.metrics(),
    /axonize_operator_crd_outdated\{crd="gpupools.axonize.io"\} 1/,
  );
  await put(current);
  operator.process.kill("SIGTERM");
  assert.equal(await operator.ended, 0, operator.log());
});

test("under a name that another cluster has the operator is not ready, and makes and keeps nothing", async () => {
  const sql = createPostgres({ url: stores.postgresUrl, application: "test", log: silentLog });
  await sql`INSERT INTO clusters (name, cluster_uid) VALUES ('prod', 'another')`;
  const operator = run([], { AXONIZE_CLUSTER: "prod" });
  await eventually(`it says so\n${operator.log()}`, async () =>
    /^not ready\nAnother Kubernetes cluster \(.* UID another\)/.test(await operator.ready())
      ? true
      : undefined,
  );
  await cluster.apply([
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "AxonizeTenant",
      metadata: { name: "second" },
      spec: { namespaces: [{ name: "team-a" }] },
    },
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "GpuPool",
      metadata: { name: "second" },
      spec: { nodeSelector: { matchLabels: { gpu: "yes" } } },
    },
  ]);
  for (const plural of ["axonizetenants", "gpupools"]) {
    await eventually(`${plural} say so\n${operator.log()}`, async () => {
      const { status } = await json<Conditions>(`/apis/axonize.io/v1alpha1/${plural}/second`);
      const ready = status?.conditions?.find(({ type }) => type === "Ready");
      return ready?.status === "False" && ready.reason === "ClusterNameTaken" ? true : undefined;
    });
  }
  const daemonSets = "/apis/apps/v1/namespaces/axonize-agents/daemonsets";
  assert.deepEqual((await json<{ items: unknown[] }>(daemonSets)).items, []);
  assert.equal(await isThere(secretPath), false);
  assert.match(operator.log(), /"level":"error".*operator\.cluster_name/);
  // Nobody is kept from taking their wishes back.
  await cluster.kubectl("delete", "gpupool/second", "axonizetenant/second", "--timeout=30s");
  operator.process.kill("SIGTERM");
  assert.equal(await operator.ended, 0, operator.log());
  await sql.end();
});

test("an operator whose API server is away waits for it, and ends when it is asked to", async () => {
  await cluster.killApiserver();
  const waiting = run();
  await eventually(`it waits\n${waiting.log()}`, async () =>
    waiting.log().includes("operator.waiting") ? true : undefined,
  );
  waiting.process.kill("SIGTERM");
  assert.equal(await waiting.ended, 0, waiting.log());
  const patient = run();
  await eventually(`it waits\n${patient.log()}`, async () =>
    patient.log().includes("operator.waiting") ? true : undefined,
  );
  await cluster.startApiserver();
  await eventually(`it works\n${patient.log()}`, async () =>
    (await patient.ready()).startsWith("ready, leading") ? true : undefined,
  );
  patient.process.kill("SIGTERM");
  assert.equal(await patient.ended, 0);
});

test("below 1.36 the webhook serves also where its configuration comes after the operator, as Helm makes it", async () => {
  await using older = await startControlPlane({
    flags: { apiserver: ["--emulated-version=1.33"] },
  });
  for (const [path, text] of crdFiles()) if (path.startsWith("crds/")) await older.apply(text);
  await older.kubectl("create", "namespace", "axonize-system");
  const port = await freePort("127.0.0.1");
  const operator = run([], {
    KUBECONFIG: older.kubeconfigFile,
    AXONIZE_WEBHOOK_LISTEN: `127.0.0.1:${port}`,
    // It writes to the same stores as the other one.
    AXONIZE_CLUSTER: "older",
  });
  await eventually(`it leads, with nothing to inject by\n${operator.log()}`, async () =>
    (await operator.ready()).startsWith("ready, leading") ? true : undefined,
  );
  await older.apply([mutatingWebhookConfiguration({ url: `https://127.0.0.1:${port}` })]);
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/axonize-inject";
  await eventually(`it is trusted\n${operator.log()}`, async () => {
    const { body } = await older.request("GET", path);
    return body.includes("caBundle") ? true : undefined;
  });
  assert.match(await operator.metrics(), /axonize_operator_webhook_certificate_expiry_seconds 1/);
  operator.process.kill("SIGTERM");
  assert.equal(await operator.ended, 0, operator.log());
});
