// The whole product on a real cluster, as its README promises: helm install, apply a pool and two tenants, and
// the call of a pod with nothing of ours in it is shown with the very slice that the kubelet gave it.
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { after, before, test } from "node:test";
import { keepScreenshot, openBrowser, openPage } from "../e2e/support/browser.ts";
import { gpus } from "../../tools/k8s/gpus/fake-gpus.ts";
import { namespace } from "./support/helm.ts";
import {
  agentNamespace,
  example,
  secretValue,
  startInstallation,
  type Installation,
} from "./support/installation.ts";
import { appPod, assertAllStored, drained, flows, stateOf } from "./support/load.ts";
import { eventually, patienceMs } from "./support/eventually.ts";
import { readyPods } from "./support/objects.ts";
import { buildPlugin } from "./support/plugin.ts";
import { portForward } from "./support/port-forward.ts";
import { settled, type PoolStatus, type TenantStatus } from "./support/wishes.ts";

let axonize: Installation;

before(async () => {
  const began = performance.now();
  axonize = await startInstallation((line) => {
    console.log(`${((performance.now() - began) / 1000).toFixed(1)} s  ${line}`);
  });
});
after(async () => {
  await axonize?.[Symbol.asyncDispose]();
});

interface TraceList {
  readonly items: readonly {
    readonly traceId: string;
    readonly gpus: readonly string[];
    readonly gpuLevel: string;
    readonly podName?: string;
    readonly service: string;
  }[];
}

const traces = async (key: string): Promise<TraceList["items"]> =>
  (await axonize.api<TraceList>("/api/v1/traces?from=-1h&limit=50", key)).items;

test("a pool of one node has its agent, as a pod on the kubelet's own answers", async () => {
  await axonize.cluster.apply(example("gpu-pool.yaml"));
  await readyPods(axonize.cluster, agentNamespace, "axonize.io/gpu-pool=gpus", 1);
  const { gpus: counted } = await settled<PoolStatus>(
    axonize.cluster,
    "gpupool",
    "gpus",
    (status) => status.gpus?.total === gpus.length,
  );
  assert.equal(counted?.total, gpus.length);
});

test("two tenants are applied, and each has its keys", async () => {
  await axonize.cluster.apply(example("tenant.yaml"));
  await axonize.cluster.apply(otherTenant());
  for (const name of ["team-vision", "team-search"]) {
    const status = await settled<TenantStatus>(axonize.cluster, "axonizetenant", name);
    assert.deepEqual(
      status.namespaces?.map(({ state }) => state),
      ["Bound"],
    );
  }
  for (const space of ["vision", "search"]) {
    const key = await secretValue(axonize.cluster, space, "axonize-ingest", "AXONIZE_API_KEY");
    assert.match(key, /^axk_\w+_\w+_\w+$/);
  }
});

test("an application with no line of ours is told where to send, and which slice it has", async () => {
  await axonize.cluster.apply(example("application.yaml"));
  const pod = await appPod(axonize.cluster, "vision");
  const { environment } = await stateOf(pod);
  assert.equal(
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"],
    `http://axonize-ingest.${namespace}.svc:4318`,
  );
  assert.match(environment["OTEL_RESOURCE_ATTRIBUTES"] ?? "", new RegExp(pod.metadata.uid));
  assert.match(environment["NVIDIA_VISIBLE_DEVICES"] ?? "", /^MIG-/);
  await flows(pod);
});

test("its calls are shown on that slice, for sure, to its tenant alone", async () => {
  const { cluster } = axonize;
  const pod = await appPod(cluster, "vision");
  const slice = (await stateOf(pod)).environment["NVIDIA_VISIBLE_DEVICES"];
  const key = await secretValue(cluster, namespace, "team-vision-read", "AXONIZE_API_KEY");
  const call = await eventually("a call on the slice", async () => {
    const items = await traces(key);
    const found = items.find(({ gpuLevel }) => gpuLevel === "exact.single");
    if (found === undefined) throw new Error(JSON.stringify(items.slice(0, 3)));
    return found;
  });
  assert.deepEqual(call.gpus, [slice]);
  assert.equal(call.service, "chat", "it names no service: its Deployment does");
  // What was sent before the binding was known is written again with it.
  await eventually("every call of the pod is on its slice", async () => {
    const other = (await traces(key)).find(({ gpuLevel }) => gpuLevel !== "exact.single");
    if (other !== undefined) throw new Error(JSON.stringify(other));
    return true;
  });
  const otherKey = await secretValue(cluster, namespace, "team-search-read", "AXONIZE_API_KEY");
  assert.deepEqual(await traces(otherKey), []);
  await assert.rejects(axonize.api(`/api/v1/traces/${call.traceId}`, otherKey), /404/);
  const devices = await axonize.api<{ items: readonly unknown[] }>("/api/v1/gpus?from=-1h", key);
  assert.match(JSON.stringify(devices), new RegExp(String(slice)));
  const none = await axonize.api<{ items: readonly unknown[] }>("/api/v1/gpus?from=-1h", otherKey);
  assert.doesNotMatch(JSON.stringify(none), /MIG-|GPU-/);
});

test("a person sees the call on screen, with its slice", async () => {
  const { cluster } = axonize;
  const slice = (await stateOf(await appPod(cluster, "vision"))).environment[
    "NVIDIA_VISIBLE_DEVICES"
  ];
  const key = await secretValue(cluster, namespace, "team-vision-read", "AXONIZE_API_KEY");
  const [call] = await traces(key);
  assert.ok(call);
  // As NOTES and README say; a browser trusts localhost as it would trust TLS.
  const { kubeconfigFile } = cluster;
  await using dashboard = await portForward(kubeconfigFile, namespace, "svc/axonize-dashboard", 80);
  await using browser = await openBrowser();
  const { page, problems } = await openPage(browser);
  // As after typing the key on the Settings page.
  const keys = JSON.stringify({ query: key, admin: "", tenant: "" });
  await page.addInitScript(`sessionStorage.setItem("axonize.keys", ${JSON.stringify(keys)})`);
  await page.goto(`${dashboard.url}/requests/${call.traceId}`);
  const device = page.locator(`a[title="${slice}"]`).first();
  await device.waitFor({ timeout: patienceMs });
  assert.match(await device.innerText(), /node-1.*slice 1g\.10gb/);
  await keepScreenshot(page, "cluster-call-on-its-slice");
  assert.deepEqual(problems, []);
});

test("kubectl axonize lists the slice by all of its id, and its doctor finds nothing wrong with the pod", async () => {
  const { cluster } = axonize;
  const pod = await appPod(cluster, "vision");
  const slice = String((await stateOf(pod)).environment["NVIDIA_VISIBLE_DEVICES"]);
  const plugin = await buildPlugin(cluster);
  const listed = await plugin("gpus");
  assert.equal(listed.code, 0, listed.text);
  const row = listed.text.split("\n").find((line) => line.includes(slice));
  assert.match(String(row), new RegExp(`1g\\.10gb ${slice} .*vision/${pod.metadata.name}`));
  assert.match(listed.text, /^node-1 +0 .* by slice$/m, "the card that the slice is of");
  const doctor = await plugin("doctor", pod.metadata.name, "-n", "vision");
  assert.equal(doctor.code, 0, doctor.text);
  assert.match(doctor.text, /✓ Its last request arrived .* ago: trace [0-9a-f]{32}/);
  assert.match(doctor.text, /✓ The agent on node-1 is ready/);
  // From the dashboard, not the status: the first use is written within seconds after it.
  assert.match(doctor.text, /✓ (The tenant's key was last used \d+s ago|A key of this tenant was)/);
});

test("the operator's metrics are read by accounts that may, and by nobody else", async () => {
  const { cluster } = axonize;
  const [pod] = await readyPods(cluster, namespace, "app.kubernetes.io/component=operator", 2);
  const ask = async (token: string | undefined): Promise<{ status: number; text: string }> =>
    await askTls(`https://${pod?.status.podIP}:8443/metrics`, token);
  assert.equal((await ask(undefined)).status, 401);
  assert.equal((await ask("made-up")).status, 401);
  await cluster.kubectl("create", "serviceaccount", "prometheus", "-n", "vision");
  const token = (await cluster.kubectl("create", "token", "prometheus", "-n", "vision")).trim();
  const refused = await ask(token);
  assert.equal(refused.status, 403);
  assert.match(refused.text, /axonize-metrics-reader/);
  await cluster.kubectl(
    "create",
    "clusterrolebinding",
    "axonize-test:prometheus",
    "--clusterrole=axonize-metrics-reader",
    "--serviceaccount=vision:prometheus",
  );
  // A verdict is kept for a minute; another token of the account is asked about anew.
  const other = (await cluster.kubectl("create", "token", "prometheus", "-n", "vision")).trim();
  const answer = await eventually("the right is there", async () => {
    const found = await ask(other);
    return found.status === 200 ? found : undefined;
  });
  assert.match(answer.text, /controller_runtime_reconcile_total\{/);
  const open = await fetch(`http://${pod?.status.podIP}:8080/metrics`);
  assert.equal(open.status, 404);
});

test("keys rotate under load and not one span is lost", async () => {
  const { cluster, stores } = axonize;
  const old = await appPod(cluster, "vision");
  const before = await settled<TenantStatus>(cluster, "axonizetenant", "team-vision");
  const keyId = before.apiKeys?.find(({ name }) => name === "ingest")?.currentKeyID;
  const rotate = "axonize.io/rotate-keys=ingest-1";
  await cluster.kubectl("annotate", "axonizetenant", "team-vision", rotate);
  await settled<TenantStatus>(cluster, "axonizetenant", "team-vision", ({ apiKeys }) => {
    const ingest = apiKeys?.find(({ name }) => name === "ingest");
    return ingest?.currentKeyID !== keyId && ingest?.previousKeyID === keyId;
  });
  // The pod that runs has the key of before; one that starts now has the new one.
  await flows(old);
  const oldId = (await stateOf(old)).environment["AXONIZE_API_KEY_ID"];
  const drainedOld = await drained(old);
  await cluster.kubectl("rollout", "restart", "deployment/chat", "-n", "vision");
  await cluster.kubectl("rollout", "status", "deployment/chat", "-n", "vision", "--timeout=120s");
  const fresh = await appPod(cluster, "vision");
  await flows(fresh);
  const { environment } = await stateOf(fresh);
  assert.notEqual(environment["AXONIZE_API_KEY_ID"], oldId);
  const drainedFresh = await drained(fresh);
  for (const state of [drainedOld, drainedFresh]) {
    assert.deepEqual(state.failures, []);
    assert.equal(state.acknowledgedCount, 2 * state.started);
    await assertAllStored(stores, state.acknowledged);
  }
});

/** Without a look at the certificate, which is the process's own. */
async function askTls(
  url: string,
  token: string | undefined,
): Promise<{ status: number; text: string }> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const call = request(url, { headers, rejectUnauthorized: false });
  call.end();
  // The one argument of `response` is the answer.
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, text: await new Response(answer).text() };
}

function otherTenant(): object[] {
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "search" } },
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "AxonizeTenant",
      metadata: { name: "team-search" },
      spec: {
        namespaces: [{ name: "search" }],
        apiKeys: [
          { name: "ingest" },
          {
            name: "read",
            scopes: ["Query"],
            distribution: "OperatorNamespace",
            secretName: "team-search-read",
          },
        ],
      },
    },
  ];
}
