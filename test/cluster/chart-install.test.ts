/**
 * `helm install` as the README has it, on an empty cluster with a node: one command, embedded stores, and a
 * product that works; it rolls under load, scales on CPU, survives its stores' death, and goes without a trace.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { traceRequest } from "../../ingest/testing/otlp.ts";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import { startCluster, type Cluster } from "../../tools/k8s/cluster.ts";
import { installFakeDriver } from "../../tools/k8s/gpus/fake-gpus.ts";
import { buildImages } from "../../tools/k8s/images/build.ts";
import { eventually } from "./support/eventually.ts";
import { chart, createHelm, namespace, type Helm } from "./support/helm.ts";
import { secretValue } from "./support/installation.ts";
import { getJson, readyPods, type Pod } from "./support/objects.ts";
import { assertUninstalled, settled, type TenantStatus } from "./support/wishes.ts";

const home = mkdtempSync(join(tmpdir(), "axonize-install-"));
const opened = new AsyncDisposableStack();
let cluster: Cluster;
let helm: Helm;
let apiKey: string;

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}
/** All rules of the chart's accounts, read before they are uninstalled. */
let rules: readonly Rule[] = [];

/** The images of the working tree, which no registry has; requests that two cores can hold. */
const values = ["--set", "image.tag=dev,image.pullPolicy=Never,ingest.resources.requests.cpu=50m"];

before(async () => {
  const say = (line: string): void => console.log(line);
  const binaries = await ensureBinaries(["helm"], { say });
  const images = buildImages(["ingest", "dashboard", "operator", "agent", "stores"]);
  cluster = opened.use(await startCluster({ metricsServer: true, say }));
  for (const { tar } of images) await cluster.importImage(tar);
  installFakeDriver(cluster);
  helm = createHelm(binaries.helm, { home, kubeconfig: cluster.kubeconfigFile });
});
after(async () => {
  await opened.disposeAsync();
  rmSync(home, { recursive: true, force: true });
});

async function must(...args: readonly string[]): Promise<string> {
  const answer = await helm(...args, "--namespace", namespace);
  if (!answer.ok) {
    const pods = await cluster.kubectl("get", "pods", "-A", "-o", "wide").catch(String);
    const events = await cluster.kubectl("get", "events", "-n", namespace).catch(String);
    throw new Error(`helm ${args.join(" ")}: ${answer.stderr}\n${pods}\n${events}`);
  }
  return answer.stdout;
}

async function addressOf(service: string): Promise<string> {
  const found = await getJson<{ spec: { clusterIP: string } }>(
    cluster,
    "service",
    service,
    "-n",
    namespace,
  );
  return found.spec.clusterIP;
}

/** One connection that is kept, as an exporter has it. */
function createSender(host: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const post = async (body: Buffer): Promise<number> => {
    const sent = request({
      agent,
      host,
      port: 4318,
      method: "POST",
      path: "/v1/traces",
      timeout: 15_000,
      headers: { "content-type": "application/x-protobuf", "x-axonize-key": apiKey },
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer in 15 s")));
    sent.end(body);
    // The one argument of `response` is the answer.
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    answer.resume();
    await once(answer, "end");
    return answer.statusCode ?? 0;
  };
  return { post, close: () => agent.destroy() };
}

interface Load {
  readonly acknowledged: string[];
  /** Stops when everything that was begun is acknowledged. */
  stop(): Promise<void>;
}

/** Exporters that send until they are stopped, and send again what was not acknowledged. */
function startLoad(host: string, senders: number, spansEach: number): Load {
  const over = new AbortController();
  const acknowledged: string[] = [];
  const send = async (): Promise<void> => {
    const { post, close } = createSender(host);
    while (!over.signal.aborted) {
      const spans = Array.from({ length: spansEach }, () => ({ spanId: randomBytes(8) }));
      const body = traceRequest(spans);
      await eventually("a request is acknowledged", async () =>
        (await post(body)) === 200 ? true : undefined,
      );
      acknowledged.push(...spans.map(({ spanId }) => spanId.toString("hex")));
    }
    close();
  };
  const running = Array.from({ length: senders }, send);
  return {
    acknowledged,
    stop: async () => {
      over.abort();
      await Promise.all(running);
    },
  };
}

/** Ids of all stored spans, asked of the embedded ClickHouse. */
async function storedSpans(): Promise<Set<string>> {
  const password = await secretValue(cluster, namespace, "axonize-stores", "clickhouse-password");
  const url = `http://${await addressOf("axonize-stores")}:8123/?database=axonize`;
  const answer = await fetch(url, {
    method: "POST",
    headers: {
      authorization: `Basic ${Buffer.from(`axonize:${password}`).toString("base64")}`,
    },
    body: "SELECT DISTINCT lower(hex(span_id)) FROM spans FORMAT TSV",
  });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  return new Set(text.split("\n"));
}

async function assertStored(acknowledged: readonly string[]): Promise<void> {
  const stored = await storedSpans();
  const lost = acknowledged.filter((id) => !stored.has(id));
  assert.deepEqual(lost, [], `${lost.length} of ${acknowledged.length} spans are lost`);
}

test("one command on an empty cluster gives a working product", async () => {
  const notes = await must(
    "install",
    "axonize",
    chart,
    "--create-namespace",
    ...values,
    "--wait",
    "--timeout",
    "6m",
  );
  assert.match(notes, /NOT FOR PRODUCTION/);
  await cluster.kubectl(
    "label",
    "namespace",
    namespace,
    "pod-security.kubernetes.io/enforce=restricted",
  );
  for (const [component, count] of [
    ["operator", 2],
    ["ingest", 2],
    ["dashboard", 1],
    ["stores", 1],
  ] as const) {
    const pods = await readyPods(
      cluster,
      namespace,
      `app.kubernetes.io/component=${component}`,
      count,
    );
    for (const { metadata, status } of pods) {
      const restarts = status.containerStatuses?.map(({ restartCount }) => restartCount);
      assert.deepEqual(restarts, [0], `${metadata.name} waited for what it needs, and did not die`);
    }
  }
  const logs = await must("test", "axonize", "--logs", "--timeout", "2m");
  assert.match(logs, /Succeeded/);
});

test("a tenant is applied, and what is sent with its key is on the dashboard", async () => {
  await cluster.apply([
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "vision" } },
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "AxonizeTenant",
      metadata: { name: "team-vision" },
      spec: { namespaces: [{ name: "vision" }] },
    },
  ]);
  await settled<TenantStatus>(cluster, "axonizetenant", "team-vision");
  apiKey = await secretValue(cluster, "vision", "axonize-ingest", "AXONIZE_API_KEY");
  const { post, close } = createSender(await addressOf("axonize-ingest"));
  const body = traceRequest([{ name: "chat llama" }]);
  await eventually("the key is known", async () => ((await post(body)) === 200 ? true : undefined));
  close();
  const adminKey = await secretValue(cluster, namespace, "axonize-admin", "admin-key");
  const dashboard = await addressOf("axonize-dashboard");
  await eventually("the call is shown", async () => {
    const answer = await fetch(`http://${dashboard}/api/v1/traces?from=-1h`, {
      headers: { authorization: `Bearer ${adminKey}`, "x-axonize-tenant": "team-vision" },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text.includes("chat llama") ? true : undefined;
  });
});

test("a pool is applied, and its agent runs under the chart's account", async () => {
  await cluster.kubectl("label", "node", cluster.nodeName, "nvidia.com/gpu.present=true");
  await cluster.apply([
    {
      apiVersion: "axonize.io/v1alpha1",
      kind: "GpuPool",
      metadata: { name: "gpus" },
      spec: {
        nodeSelector: { matchLabels: { "nvidia.com/gpu.present": "true" } },
        vendor: "Fake",
        agent: { imagePullPolicy: "Never" },
      },
    },
  ]);
  await readyPods(cluster, "axonize-agents", "axonize.io/gpu-pool=gpus", 1);
});

test("a rolling update under load: every span is acknowledged, and all that were are stored", async () => {
  const load = startLoad(await addressOf("axonize-ingest"), 4, 10);
  await eventually("the load runs", async () => load.acknowledged.length > 200 || undefined);
  const before = await ingestPods();
  await cluster.kubectl("rollout", "restart", "deployment/axonize-ingest", "-n", namespace);
  await cluster.kubectl(
    "rollout",
    "status",
    "deployment/axonize-ingest",
    "-n",
    namespace,
    "--timeout=180s",
  );
  await eventually("the old pods are gone", async () => {
    const now = await ingestPods();
    return before.every((uid) => !now.includes(uid)) || undefined;
  });
  const rolled = load.acknowledged.length;
  await eventually("it goes on", async () => load.acknowledged.length > rolled + 200 || undefined);
  await load.stop();
  await assertStored(load.acknowledged);
});

async function ingestPods(): Promise<string[]> {
  const { items } = await getJson<{ items: Pod[] }>(
    cluster,
    "pods",
    "-n",
    namespace,
    "-l",
    "app.kubernetes.io/component=ingest",
  );
  return items.map(({ metadata }) => metadata.uid);
}

test("the stores' pod is deleted under load: senders wait, and nothing acknowledged is lost", async () => {
  const load = startLoad(await addressOf("axonize-ingest"), 2, 10);
  await eventually("the load runs", async () => load.acknowledged.length > 100 || undefined);
  await cluster.kubectl("delete", "pod", "axonize-stores-0", "-n", namespace);
  await readyPods(cluster, namespace, "app.kubernetes.io/component=stores", 1);
  const back = load.acknowledged.length;
  await eventually("it goes on", async () => load.acknowledged.length > back + 100 || undefined);
  await load.stop();
  await assertStored(load.acknowledged);
});

test("ingest scales up on CPU, as metrics-server tells it", async () => {
  const scaling = {
    enabled: "true",
    minReplicas: "1",
    maxReplicas: "3",
    targetCPUUtilizationPercentage: "30",
    // The default's five minutes would hold what the test before this one made them use.
    "behavior.scaleDown.stabilizationWindowSeconds": "0",
  };
  const set = Object.entries(scaling).map(([key, value]) => `ingest.autoscaling.${key}=${value}`);
  await must("upgrade", "axonize", chart, ...values, "--set", set.join(","));
  interface Scaler {
    readonly status?: {
      readonly desiredReplicas?: number;
      readonly currentMetrics?: readonly { readonly resource?: { readonly name: string } }[];
    };
  }
  /** Until the autoscaler, which has measured, wants what `isWanted` says. */
  const wants = async (what: string, isWanted: (pods: number) => boolean): Promise<void> => {
    await eventually(what, async () => {
      const { status } = await getJson<Scaler>(cluster, "hpa", "axonize-ingest", "-n", namespace);
      const isMeasured = status?.currentMetrics?.[0]?.resource?.name === "cpu";
      if (isMeasured && isWanted(status?.desiredReplicas ?? 0)) return true;
      throw new Error(JSON.stringify(status));
    });
  };
  await wants("without load it wants no more pods", (pods) => pods >= 1 && pods <= 2);
  const load = startLoad(await addressOf("axonize-ingest"), 16, 2_500);
  try {
    await wants("a third pod is wanted for its CPU", (pods) => pods === 3);
    await readyPods(cluster, namespace, "app.kubernetes.io/component=ingest", 3);
  } finally {
    await load.stop();
  }
});

test("uninstalled with its hook, it leaves definitions, resources and data, and no trace beside", async () => {
  const roles = await getJson<{ items: readonly { readonly rules: readonly Rule[] }[] }>(
    cluster,
    "clusterroles,roles",
    "-A",
    "-l",
    "app.kubernetes.io/instance=axonize,app.kubernetes.io/component in (operator,ingest,agent)",
  );
  rules = roles.items.flatMap((role) => role.rules);
  await must("uninstall", "axonize", "--wait", "--timeout", "5m");
  const tenant = await getJson<{ metadata: { finalizers?: string[] } }>(
    cluster,
    "axonizetenant",
    "team-vision",
  );
  assert.equal(tenant.metadata.finalizers, undefined);
  await assertUninstalled(cluster, "axonizetenant", "team-vision");
  await assertUninstalled(cluster, "gpupool", "gpus");
  const vision = await getJson<{ metadata: { labels: object } }>(cluster, "namespace", "vision");
  assert.doesNotMatch(JSON.stringify(vision.metadata.labels), /axonize/);
  await eventually("the agents' namespace is gone", async () => {
    const answer = await cluster.request("GET", "/api/v1/namespaces/axonize-agents");
    return answer.status === 404 || undefined;
  });
  // What the testbed itself has is named axonize-test:…
  for (const kind of [
    "secrets,configmaps,serviceaccounts,daemonsets,deployments,statefulsets,jobs,leases",
    "roles,rolebindings,services,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers",
    "clusterroles,clusterrolebindings,mutatingwebhookconfigurations",
    "mutatingadmissionpolicies,mutatingadmissionpolicybindings,injectionprofiles",
  ]) {
    const left = await cluster.kubectl("get", kind, "-A", "-o", "name");
    assert.deepEqual(
      left.split("\n").filter((name) => /axonize/.test(name) && !/axonize-test:/.test(name)),
      [],
    );
  }
  await cluster.kubectl("get", "pvc", "data-axonize-stores-0", "-n", namespace);
  // Deleting the resource is not held up by anybody.
  await cluster.kubectl("delete", "axonizetenant", "team-vision", "--timeout=30s");
});

test("the accounts were refused nothing, and every rule that they have was used", () => {
  const ours = /^system:serviceaccount:(axonize-system|axonize-agents):/;
  const events = cluster.auditEvents().filter(({ user }) => ours.test(user.username));
  assert.ok(events.length > 100, `${events.length} requests in the audit log`);
  const refused = events
    .filter(({ responseStatus }) => responseStatus?.code === 403)
    .map(({ user, verb, requestURI }) => `${user.username} ${verb} ${requestURI}`);
  assert.deepEqual([...new Set(refused)], []);

  const used = new Set(
    events.map(({ verb, objectRef }) => {
      const { apiGroup = "", resource = "", subresource } = objectRef ?? {};
      return `${verb} ${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
    }),
  );
  const unused = rules
    .filter(
      ({ apiGroups, resources, verbs }) =>
        !apiGroups.some((group) =>
          resources.some((resource) =>
            verbs.some((verb) => used.has(`${verb} ${group}/${resource}`)),
          ),
        ),
    )
    .map(
      ({ apiGroups, resources, verbs }) =>
        `${verbs.join()} ${apiGroups.join()}/${resources.join()}`,
    );
  // Of another mechanism of injection, of the server's own checks, and of agents in trouble.
  const elsewhere = new Set([
    "get,list,watch,patch admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "update axonize.io/axonizetenants/finalizers,gpupools/finalizers",
    "list events.k8s.io/events",
  ]);
  assert.deepEqual(
    unused.filter((rule) => !elsewhere.has(rule)),
    [],
  );
});
