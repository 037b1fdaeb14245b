/**
 * `kubectl axonize` as kubectl runs it, against a real apiserver: the plug-in is built into one file and
 * found on the PATH. What needs running pods (port-forward to the dashboard) is in `e2e.test.ts`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { mutatingWebhookConfiguration } from "../../operator/injection/webhook-config.ts";
import { group } from "../../operator/resources/crds/names.ts";
import { customResources } from "../../scripts/generate/crds.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { buildPlugin, type Plugin } from "./support/plugin.ts";

const root = join(import.meta.dirname, "../..");
let cluster: ControlPlane;
let axonize: Plugin;

before(async () => {
  cluster = await startControlPlane();
  axonize = await buildPlugin(cluster);
  for (const { plural } of customResources) {
    await cluster.apply(readFileSync(join(root, "crds", `${group}_${plural}.yaml`), "utf8"));
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}.${group}`);
  }
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
});

const deployment = (component: string) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: {
    name: `axonize-${component}`,
    namespace: "axonize-system",
    labels: {
      "app.kubernetes.io/part-of": "axonize",
      "app.kubernetes.io/instance": "axonize",
      "app.kubernetes.io/component": component,
    },
  },
  spec: {
    replicas: 2,
    selector: { matchLabels: { c: component } },
    template: {
      metadata: { labels: { c: component } },
      spec: { containers: [{ name: "c", image: "none" }] },
    },
  },
});

const namespace = (name: string) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } });

test("a cluster without Axonize is told how to install it", async () => {
  const { code, text } = await axonize("status");
  assert.equal(code, 2, text);
  assert.match(text, /There is no Axonize in this cluster\. Install it: helm install/);
});

test("a tenant is made with one line, and what is missing is said in status", async () => {
  await cluster.apply([
    namespace("axonize-system"),
    namespace("shop"),
    ...["operator", "ingest", "dashboard"].map(deployment),
  ]);
  const dry = await axonize("tenant", "create", "team-shop", "--namespaces", "shop", "--dry-run");
  assert.equal(dry.code, 0, dry.text);
  assert.match(dry.text, /^kind: AxonizeTenant$/m, "YAML, for Git");
  await cluster.apply(dry.text);
  await cluster.kubectl("delete", "axonizetenant", "team-shop");

  const made = await axonize("tenant", "create", "team-shop", "--namespaces", "shop");
  assert.equal(made.code, 0, made.text);
  assert.match(made.text, /axonizetenant\.axonize\.io\/team-shop created/);
  assert.match(made.text, /annotated axonize\.io\/inject: "true"/);
  const again = await axonize("tenant", "create", "team-shop");
  assert.equal(again.code, 2);
  assert.match(again.text, /already exists/);
  const bad = await axonize("tenant", "create", "Not_A_Name", "--namespaces", "kube-system");
  assert.equal(bad.code, 2);
  assert.match(bad.text, /may not begin with kube-|DNS/);

  const { code, text } = await axonize("status");
  assert.equal(code, 0, text);
  assert.match(text, /axonize-operator +0\/2/);
  assert.match(text, /team-shop +Active +not looked at yet/);
  assert.match(text, /No GpuPool yet/);
});

test("keys, usage and conditions are shown as the status has them", async () => {
  const condition = (type: string, status: string, reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastTransitionTime: "2026-01-01T00:00:00Z",
  });
  const answer = await cluster.request(
    "PUT",
    "/apis/axonize.io/v1alpha1/axonizetenants/team-shop/status",
    {
      ...(JSON.parse(
        await cluster.kubectl("get", "axonizetenant", "team-shop", "-o", "json"),
      ) as object),
      status: {
        tenantID: "team-shop",
        boundNamespaces: 1,
        namespaces: [{ name: "shop", state: "Bound", keyID: "abc123", uninjectedPods: 3 }],
        apiKeys: [
          { name: "ingest", currentKeyID: "abc123", lastUsedTime: new Date().toISOString() },
        ],
        usage: {
          windowStart: "2026-01-01T00:00:00Z",
          windowEnd: "2026-01-01T01:00:00Z",
          spans: "1234",
          ingestBytes: "56789",
          gpuSeconds: "1.5",
          quotaUsedPercent: 12,
        },
        conditions: [
          condition("Ready", "False", "SecretConflict", ""),
          condition("CredentialsReady", "False", "SecretConflict", "Secret shop/axonize-ingest"),
          condition("QuotaExceeded", "False", "WithinQuota", ""),
        ],
      },
    },
  );
  assert.equal(answer.status, 200, answer.body);
  const status = await axonize("status");
  assert.match(status.text, /team-shop +Active +SecretConflict +1 +12 %/);
  assert.match(status.text, /tenant team-shop: CredentialsReady SecretConflict: Secret shop/);
  assert.match(status.text, /team-shop: 3 pods of shop were made before injection and report noth/);
  assert.doesNotMatch(status.text, /QuotaExceeded/);
  assert.match((await axonize("tenant", "keys", "team-shop")).text, /ingest +abc123 +today/);
  assert.match((await axonize("tenant", "usage", "team-shop")).text, /1234 +56789 +1\.5 +12 %/);
  const rotated = await axonize("tenant", "rotate", "team-shop");
  assert.equal(rotated.code, 0, rotated.text);
  const annotations = await cluster.kubectl(
    "get",
    "axonizetenant",
    "team-shop",
    "-o",
    "jsonpath={.metadata.annotations}",
  );
  assert.match(annotations, /axonize\.io\/rotate-keys/);
  const nobody = await axonize("tenant", "keys", "nobody");
  assert.equal(nobody.code, 2);
  assert.match(nobody.text, /There is no AxonizeTenant nobody/);
});

test("the doctor names each step that is wrong, with what mends it", async () => {
  await cluster.apply([namespace("bare")]);
  for (const place of ["shop", "bare"]) {
    await cluster.request("POST", `/api/v1/namespaces/${place}/serviceaccounts`, {
      metadata: { name: "default" },
    });
    await cluster.apply([
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "web-1", namespace: place },
        spec: { containers: [{ name: "c", image: "none" }] },
      },
    ]);
  }
  const before = await axonize("doctor", "web-1", "-n", "shop");
  assert.equal(before.code, 1, before.text);
  assert.match(before.text, /✗ Bound to tenant team-shop, but the namespace's label is missing/);
  assert.match(before.text, /✗ Neither admission policy nor webhook of Axonize is installed/);
  assert.match(before.text, /✗ Secret axonize-ingest is not in namespace shop/);
  assert.match(before.text, /✗ The pod is on no node/);

  await cluster.kubectl(
    "label",
    "namespace",
    "shop",
    "axonize.io/tenant=team-shop",
    "axonize.io/injection=OptIn",
  );
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "axonize-ingest", namespace: "shop" },
      stringData: { AXONIZE_API_KEY_ID: "abc123", AXONIZE_API_KEY: "a-secret-value" },
    },
    // As the chart installs it.
    mutatingWebhookConfiguration({ service: { name: "hook", namespace: "axonize-system" } }),
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "InjectionProfile",
      metadata: { name: "axonize", namespace: "shop" },
      spec: { endpoint: "http://ingest:4318", secretName: "axonize-ingest" },
    },
  ]);
  const after = await axonize("doctor", "web-1", "-n", "shop");
  assert.match(after.text, /✓ Namespace shop is bound to tenant team-shop/);
  assert.match(after.text, /✓ Variables are injected by the webhook/);
  assert.match(after.text, /✗ The namespace is OptIn, and the pod does not ask/);
  assert.match(after.text, /✓ Secret axonize-ingest holds key abc123/);
  assert.match(after.text, /✓ The tenant's key was last used/);
  assert.doesNotMatch(after.text, /a-secret-value/);
  const bare = await axonize("doctor", "web-1", "-n", "bare");
  assert.equal(bare.code, 1, bare.text);
  assert.match(
    bare.text,
    /^✗ No tenant claims namespace bare\.\n +→ .*\n\? Variables, Secret, key and/,
  );
  assert.doesNotMatch(bare.text, /✗ .*(Secret|key|span|Injection)/, "what follows is no cause");
  const gone = await axonize("doctor", "web-2", "-n", "shop");
  assert.equal(gone.code, 2);
  assert.match(gone.text, /There is no pod web-2 in shop/);
});
