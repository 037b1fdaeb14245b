/**
 * Ends and beginnings of tenants on a real control plane and a real PostgreSQL: deletion, adoption, purging,
 * a finalizer without PostgreSQL, and the operator without a right to Secrets at large.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "./support/eventually.ts";
import { clusterName, keyIn, operatorNamespace, useTenantSuite } from "./support/tenant-cluster.ts";

const suite = useTenantSuite();

test("a deleted tenant leaves nothing in its namespaces; its data waits and is adopted again", async () => {
  await suite.t.namespace("leaving");
  await suite.t.tenant("leaving", { namespaces: [{ name: "leaving" }] });
  await suite.t.reason("leaving", "Ready", "Reconciled");
  const [before] = await suite.stores.sql`SELECT num FROM tenants WHERE id = 'leaving'`;
  await suite.cluster.kubectl("delete", "axonizetenant", "leaving", "--timeout=60s");
  assert.equal(await suite.t.secret("leaving"), undefined);
  assert.equal(await suite.t.profile("leaving"), undefined);
  assert.deepEqual(Object.keys(await suite.t.labels("leaving")), ["kubernetes.io/metadata.name"]);
  const [row] = await suite.stores.sql`SELECT * FROM tenants WHERE id = 'leaving'`;
  assert.deepEqual([row?.["lifecycle"], row?.["owner_uid"]], ["orphaned", null]);
  assert.ok((await suite.keysOf("leaving")).every(({ state }) => state === "revoked"));
  await suite.t.tenant("leaving-2", { tenantID: "leaving", namespaces: [{ name: "leaving" }] });
  await suite.t.reason("leaving-2", "Ready", "Reconciled");
  const [adopted] = await suite.stores.sql`SELECT num, lifecycle FROM tenants WHERE id = 'leaving'`;
  assert.deepEqual([adopted?.["num"], adopted?.["lifecycle"]], [before?.["num"], "active"]);
  await suite.t.tenant("leaving-3", { tenantID: "leaving" });
  await suite.t.reason("leaving-3", "DatabaseSynced", "OwnedByOtherTenant");
});

test("a tenant of another cluster is left alone while its owner is seen, and adopted when it is silent", async () => {
  await suite.stores.sql`
    INSERT INTO tenants (id, name, owner, owner_cluster_uid, owner_uid, owner_seen_at)
    VALUES ('abroad', 'Abroad', 'operator', 'another-cluster', 'another-uid', now())`;
  await suite.t.tenant("abroad", { adoptionPolicy: "Force" });
  await suite.t.reason("abroad", "DatabaseSynced", "OwnedByOtherCluster");
  const [kept] = await suite.stores.sql`SELECT owner_uid FROM tenants WHERE id = 'abroad'`;
  assert.equal(kept?.["owner_uid"], "another-uid", "force needs the operator's leave, too");
  await suite.stores.sql`
    UPDATE tenants SET owner_seen_at = now() - interval '31 minutes' WHERE id = 'abroad'`;
  suite.operator.nudge("abroad");
  await suite.t.reason("abroad", "Ready", "Reconciled");
});

test("under a name that another cluster has, nothing is written, and the tenant says what to do", async () => {
  const bindings = async () =>
    await suite.stores.sql`SELECT tenant_id FROM tenant_namespaces WHERE namespace = 'named'`;
  await suite.t.namespace("named");
  await suite.stores.sql`UPDATE clusters SET cluster_uid = 'another' WHERE name = ${clusterName}`;
  try {
    await suite.t.tenant("named", { namespaces: [{ name: "named" }] });
    const message = await suite.t.reason("named", "DatabaseSynced", "ClusterNameTaken");
    assert.match(message, /the UID another\).*Give this one a clusterName of its own/);
    await suite.t.reason("named", "Ready", "ClusterNameTaken");
    assert.deepEqual([...(await bindings())], []);
    assert.equal(await suite.t.secret("named"), undefined);
    await suite.t.tenant("named-briefly", {});
    await suite.t.reason("named-briefly", "DatabaseSynced", "ClusterNameTaken");
    await suite.cluster.kubectl("delete", "axonizetenant", "named-briefly", "--timeout=30s");
    // The other one is gone for good.
    await suite.stores.sql`
      UPDATE clusters SET seen_at = now() - interval '31 minutes' WHERE name = ${clusterName}`;
    suite.operator.nudge("named");
    await suite.t.reason("named", "Ready", "Reconciled");
    assert.equal((await bindings()).length, 1);
  } finally {
    await suite.stores.sql`DELETE FROM clusters WHERE name = ${clusterName}`;
  }
});

test("pods from before the tenant are counted until they are made anew, and one Event names some", async () => {
  const pod = (name: string, annotations?: object) => podOf("before", name, annotations);
  const injected = { "axonize.io/injected": "01234567-1" };
  await suite.t.namespace("before", "before-in");
  await apply(
    ...Array.from({ length: 12 }, (_, index) => pod(`old-${index}`)),
    pod("new", injected),
    pod("unwanted", { "axonize.io/inject": "false" }),
  );
  await suite.t.tenant("before", {
    namespaces: [{ name: "before", injection: "OptOut" }, { name: "before-in" }],
  });
  const counts = async (): Promise<readonly (number | undefined)[]> =>
    ((await suite.t.statusOf("before"))?.namespaces ?? []).map((each) => each.uninjectedPods);
  await eventually("ten and some are counted", async () => {
    const found = await counts();
    if (found.join() === "10,") return true;
    throw new Error(JSON.stringify(found));
  });
  assert.match(
    await suite.t.reason("before", "InjectionReady", "PolicyActive"),
    /run without until they are restarted: 10 of before$/,
  );
  const [event, ...others] = await eventually("the Event", async () => {
    const told = await suite.t.events("PodsNotInjected");
    return told.length > 0 ? told : undefined;
  });
  assert.match(String(event), /^10 pods were .*before\/old-\d+, .* and others\./);
  assert.deepEqual(others, []);
  const text = await suite.operator.metrics();
  assert.match(text, /axonize_operator_uninjected_pods\{tenant_namespace="before"\} 10/);
  // Made anew, they are injected; the last ones end.
  await suite.cluster.kubectl("delete", "pods", "--all", "-n", "before", "--force");
  await suite.cluster.apply([pod("old-0", injected)]);
  await eventually("none is counted any more", async () =>
    (await counts()).every((count) => count === undefined) ? true : undefined,
  );
  assert.match(
    await suite.t.reason("before", "InjectionReady", "PolicyActive"),
    /^By the admission policy\.$/,
  );
});

test("with Delete the data is queued for deletion, and the id is free when that is done", async () => {
  await suite.t.tenant("purged", { deletionPolicy: "Delete" });
  await suite.t.reason("purged", "Ready", "Reconciled");
  // From a deletion before that somebody took back.
  await suite.stores.sql`
    INSERT INTO purge_jobs (tenant_num, tenant_id, requested_at, tables_done, finished_at, error)
    SELECT num, id, '2026-01-01', '{spans}', now(), 'the tenant was taken up again'
    FROM tenants WHERE id = 'purged'`;
  await suite.cluster.kubectl("delete", "axonizetenant", "purged", "--timeout=60s");
  const [job] = await suite.stores
    .sql`SELECT finished_at, error, tables_done FROM purge_jobs WHERE tenant_id = 'purged'`;
  assert.deepEqual({ ...job }, { finished_at: null, error: null, tables_done: [] });
  await suite.t.tenant("purged", {});
  await suite.t.reason("purged", "DatabaseSynced", "Pending");
  await suite.stores.sql`DELETE FROM tenants WHERE id = 'purged'`;
  suite.operator.nudge("purged");
  await suite.t.reason("purged", "Ready", "Reconciled");
});

test("a deletion without PostgreSQL waits and says so, never holds a namespace, and can be forced", async () => {
  await suite.t.namespace("stuck");
  await suite.t.tenant("stuck", { namespaces: [{ name: "stuck" }] });
  await suite.t.reason("stuck", "Ready", "Reconciled");
  const pod = keyIn(await suite.t.secret("stuck"));
  await suite.cutInTransaction(
    async () => await suite.cluster.kubectl("delete", "axonizetenant", "stuck", "--wait=false"),
  );
  try {
    await suite.t.reason("stuck", "Ready", "DatabaseUnavailable");
    await eventually("it is told", async () =>
      (await suite.t.events("DeletionWaits")).length > 0 ? true : undefined,
    );
    await suite.cluster.kubectl("delete", "namespace", "stuck", "--timeout=90s");
    await suite.cluster.kubectl(
      "annotate",
      "axonizetenant",
      "stuck",
      "axonize.io/force-delete=true",
    );
    await suite.cluster.kubectl("wait", "--for=delete", "axonizetenant/stuck", "--timeout=60s");
    await suite.assertTaken(pod, "the row is the tombstone");
  } finally {
    suite.proxy.mend();
  }
  suite.operator.nudge("/rows");
  await eventually("the row without a resource is found", async () => {
    const [row] = await suite.stores.sql`SELECT lifecycle FROM tenants WHERE id = 'stuck'`;
    return row?.["lifecycle"] === "orphaned" ? true : undefined;
  });
  assert.ok((await suite.keysOf("stuck")).every(({ state }) => state === "revoked"));
});

test("an end that was begun and then forced lets the data go; one that is queued for deletion goes on", async () => {
  const ask = ["get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}"];
  const clusterUid = (await suite.cluster.kubectl(...ask)).trim();
  // As the first step leaves a row; then the resource goes by force, or its finalizer at an uninstall.
  for (const id of ["begun", "queued"]) {
    await suite.stores.sql`
      INSERT INTO tenants (id, name, owner, lifecycle, owner_cluster_uid, owner_uid)
      VALUES (${id}, ${id}, 'operator', 'terminating', ${clusterUid}, ${`uid-of-${id}`})`;
  }
  await suite.stores.sql`
    INSERT INTO purge_jobs (tenant_num, tenant_id) SELECT num, id FROM tenants WHERE id = 'queued'`;
  suite.operator.nudge("/rows");
  await eventually("the row is let go", async () => {
    const [row] = await suite.stores.sql`SELECT lifecycle FROM tenants WHERE id = 'begun'`;
    return row?.["lifecycle"] === "orphaned" ? true : undefined;
  });
  await suite.t.tenant("begun", {});
  await suite.t.reason("begun", "Ready", "Reconciled");
  const [queued] = await suite.stores.sql`SELECT lifecycle FROM tenants WHERE id = 'queued'`;
  assert.equal(queued?.["lifecycle"], "terminating");
});

test("in hardened mode the operator sees Secrets of bound namespaces only, and leaves no right behind", async () => {
  await suite.operator.stop();
  const user = await hardenedAccount();
  await suite.t.namespace("hardened", "elsewhere");
  await suite.cluster.kubectl(
    "-n",
    "elsewhere",
    "create",
    "secret",
    "generic",
    "own",
    "--from-literal=a=b",
  );
  const secretAccess = {
    kind: "PerNamespace",
    clusterRole: "test-operator-secrets",
    serviceAccount: "axonize-operator",
  } as const;
  await using hardened = await suite.t.operator({
    postgresUrl: suite.postgresUrl,
    user: user.kubeconfig,
    secretAccess,
  });
  await apply(podOf("hardened", "early"));
  await suite.t.tenant("hardened", { namespaces: [{ name: "hardened", injection: "OptOut" }] });
  await suite.t.reason("hardened", "Ready", "Reconciled");
  assert.match(keyIn(await suite.t.secret("hardened")), /^axk_/);
  assert.ok(await suite.t.read(roleBinding));
  await suite.cluster.kubectl("-n", "hardened", "delete", "secret", "axonize-ingest");
  hardened.nudge("hardened");
  await eventually("the Secret is back", async () => await suite.t.secret("hardened"));
  // The right itself, too, where somebody takes it away.
  await suite.cluster.kubectl("-n", "hardened", "delete", "rolebinding", "axonize-tenant-secrets");
  await suite.cluster.kubectl("-n", "hardened", "delete", "secret", "axonize-ingest");
  await eventually("the Secret and the right are back", async () => {
    hardened.nudge("hardened");
    return (await suite.t.secret("hardened")) && (await suite.t.read(roleBinding));
  });
  await eventually("its pods may be looked at, too", async () => {
    const [place] = (await suite.t.statusOf("hardened"))?.namespaces ?? [];
    return place?.uninjectedPods === 1 ? true : undefined;
  });
  const places = suite.cluster
    .auditEvents()
    .filter(
      ({ user: by, objectRef }) =>
        by.username === user.name && /^(secrets|pods)$/.test(objectRef?.resource ?? ""),
    )
    .map(({ objectRef }) => objectRef?.namespace ?? "everywhere");
  const asked = new Set(places);
  // The other tests' tenants have namespaces, too; "elsewhere" is nobody's.
  assert.ok(asked.has("hardened") && !asked.has("everywhere") && !asked.has("elsewhere"));
  await suite.cluster.kubectl("delete", "axonizetenant", "hardened", "--timeout=60s");
  assert.equal(await suite.t.secret("hardened"), undefined);
  assert.equal(await suite.t.read(roleBinding), undefined);
});

/** Pods of a namespace that was just made: its ServiceAccount comes a moment later. */
const apply = async (...pods: readonly object[]): Promise<void> => {
  await eventually("the pods are made", async () => {
    await suite.cluster.apply(pods);
    return true;
  });
};

const podOf = (namespace: string, name: string, annotations: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace, annotations },
  spec: { automountServiceAccountToken: false, containers: [{ name: "app", image: "app:1" }] },
});

const roleBinding =
  "/apis/rbac.authorization.k8s.io/v1/namespaces/hardened/rolebindings/axonize-tenant-secrets";

/** A ServiceAccount with what the tenant controller needs and nothing else. */
async function hardenedAccount(): Promise<{ name: string; kubeconfig: string }> {
  const { cluster } = suite;
  const rbac = "rbac.authorization.k8s.io";
  const rule = (group: string, resource: string, verbs: string[], resourceNames?: string[]) => ({
    apiGroups: [group],
    resources: [resource],
    verbs,
    ...(resourceNames === undefined ? {} : { resourceNames }),
  });
  const role = (name: string, rules: object[]) => ({
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRole",
    metadata: { name },
    rules,
  });
  const account = { name: "axonize-operator", namespace: operatorNamespace };
  const bind = (kind: string, metadata: object, name: string) => ({
    apiVersion: `${rbac}/v1`,
    kind,
    metadata,
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name },
    subjects: [{ kind: "ServiceAccount", ...account }],
  });
  const secretsRole = "test-operator-secrets";
  await cluster.apply([
    { apiVersion: "v1", kind: "ServiceAccount", metadata: account },
    role(secretsRole, [
      rule("", "secrets", ["list", "create", "patch", "delete"]),
      rule("", "pods", ["list"]),
    ]),
    role("test-operator", [
      rule("axonize.io", "axonizetenants", ["list", "watch", "patch"]),
      rule("axonize.io", "axonizetenants/status", ["patch"]),
      rule("axonize.io", "injectionprofiles", ["list", "watch", "create", "patch", "delete"]),
      rule("", "namespaces", ["list", "watch", "patch"]),
      rule("events.k8s.io", "events", ["create", "patch"]),
      rule("coordination.k8s.io", "leases", ["get", "create", "update"]),
      rule(rbac, "rolebindings", ["create"]),
      rule(rbac, "rolebindings", ["get", "patch", "delete"], ["axonize-tenant-secrets"]),
      rule(rbac, "clusterroles", ["bind"], [secretsRole]),
    ]),
    bind("ClusterRoleBinding", { name: "test-operator" }, "test-operator"),
    bind("RoleBinding", { name: secretsRole, namespace: operatorNamespace }, secretsRole),
  ]);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "c", cluster: { server: cluster.url, "certificate-authority": cluster.caFile } },
    ],
    users: [
      { name: "u", user: { token: await cluster.tokenFor(operatorNamespace, account.name) } },
    ],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  };
  const kubeconfig = join(cluster.dir, "hardened.kubeconfig");
  writeFileSync(kubeconfig, JSON.stringify(config));
  return { name: `system:serviceaccount:${operatorNamespace}:axonize-operator`, kubeconfig };
}
