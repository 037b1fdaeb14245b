/**
 * The agents of a GpuPool on a real control plane: why they do not run, one that is stuck, GPUs that only DRA
 * tells of, and the token that opens their stream. Nodes have no kubelet; the test speaks for it.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startIngest } from "../../ingest/testing/start-ingest.ts";
import type { ControlPlane } from "../../tools/k8s/control-plane.ts";
import { startExporter } from "../support/agent-report.ts";
import type { Stores } from "../support/stores.ts";
import { startGpuCluster, type GpuCluster } from "./support/gpu-cluster.ts";

const image = "registry.example/agent:1";
let cluster: ControlPlane;
let stores: Stores;
let gpus: GpuCluster;

before(async () => {
  gpus = await startGpuCluster();
  ({ cluster, stores } = gpus);
  await gpus.startOperator({ bundledImage: image });
});
after(async () => {
  await gpus[Symbol.asyncDispose]();
});

test("why agents do not run is told: an image that cannot be pulled, a namespace that refuses them", async () => {
  const { node, pool, eventually, statusOf, agentPods } = gpus;
  const reason = async (name: string) => {
    const { conditions } = await statusOf(name);
    const { reason: is, message } = conditions.find(({ type }) => type === "AgentAvailable") ?? {};
    return `${is}: ${message}`;
  };
  await node("i-1", { labels: { "gpu.test/i": "yes" } });
  const select = { nodeSelector: { matchLabels: { "gpu.test/i": "yes" } } };
  await pool("i", select);
  await eventually("it has a pod", async () => assert.equal((await agentPods("i")).length, 1));
  await gpus.failPull("i");
  await eventually("the image", async () => {
    assert.match(await reason("i"), /^ImagePullFailed: i-1 cannot pull .*no such image/);
  });
  const enforce = "pod-security.kubernetes.io/enforce";
  await cluster.kubectl("label", "--overwrite", "ns", gpus.namespace, `${enforce}=baseline`);
  await node("j-1", { labels: { "gpu.test/j": "yes" } });
  await pool("j", { nodeSelector: { matchLabels: { "gpu.test/j": "yes" } } });
  await eventually("the refusal", async () => {
    gpus.nudge("j");
    assert.match(await reason("j"), /^PodSecurityRejected: .*violates PodSecurity "baseline/);
    const stalled = (await statusOf("j")).conditions.find(({ type }) => type === "Stalled");
    assert.equal(stalled?.status, "True");
  });
  await cluster.kubectl("label", "--overwrite", "ns", gpus.namespace, `${enforce}=privileged`);
  await cluster.kubectl("delete", "gpupool", "i", "j", "--timeout=120s");
});

test("GPUs that only DRA tells of are counted", async () => {
  const { node, pool, eventually, statusOf } = gpus;
  await node("k-1", { labels: { "gpu.test/k": "yes" } });
  const gpu = (index: number) => ({
    name: `gpu-${index}`,
    attributes: { type: { string: "gpu" }, uuid: { string: `GPU-${index}` } },
  });
  const slice = {
    name: "gpu-0-mig-1g10gb-19-0",
    attributes: { type: { string: "mig" }, parentUUID: { string: "GPU-0" } },
  };
  await cluster.apply([
    {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceSlice",
      metadata: { name: "k-1-gpu.nvidia.com" },
      spec: {
        driver: "gpu.nvidia.com",
        nodeName: "k-1",
        pool: { name: "k-1", generation: 1, resourceSliceCount: 1 },
        devices: [gpu(0), gpu(1), slice],
      },
    },
  ]);
  // An operator that has just begun asks at once; later it asks once a minute.
  await gpus.startOperator({ bundledImage: image });
  await pool("k", { nodeSelector: { matchLabels: { "gpu.test/k": "yes" } } });
  await eventually("two GPUs", async () => assert.equal((await statusOf("k")).gpus.total, 2));
  await cluster.kubectl("delete", "gpupool", "k", "--timeout=120s");
});

test("an agent that runs and does not report is restarted once, and an event says so", async () => {
  const { node, pool, eventually, agentPods, runPods } = gpus;
  await node("l-1", { labels: { "gpu.test/l": "yes" } });
  await pool("l", { nodeSelector: { matchLabels: { "gpu.test/l": "yes" } } });
  const first = await eventually("it runs", async () => {
    await runPods("l");
    const [pod] = await agentPods("l");
    assert.ok(pod);
    return pod.metadata.name;
  });
  await stores.sql`
    INSERT INTO component_status (component, instance, version, updated_at, status)
    VALUES ('ingest', 'of-the-test', 'test', now(), '{}')`;
  await gpus.reconcileAll();
  assert.equal((await agentPods("l"))[0]?.metadata.name, first, "not before its time");
  await gpus.startOperator({ bundledImage: image, aheadMs: 900_000 });
  await eventually("another pod", async () => {
    const [pod] = await agentPods("l");
    assert.ok(pod !== undefined && pod.metadata.name !== first);
  });
  await eventually("an event", async () => {
    const events = await cluster.kubectl("get", "events.events.k8s.io", "-A", "-o", "json");
    assert.match(events, /AgentRestarted/);
  });
  await gpus.startOperator({ bundledImage: image });
  await cluster.kubectl("delete", "gpupool", "l", "--timeout=120s");
});

test("a token that the API server made for an agent's pod opens the stream of its node and of no other", async () => {
  const { node, pool, eventually, agentPods } = gpus;
  await node("m-1", { labels: { "gpu.test/m": "yes" } });
  await pool("m", { nodeSelector: { matchLabels: { "gpu.test/m": "yes" } } });
  const pod = await eventually("its pod is on the node", async () => {
    const [found] = await agentPods("m");
    assert.equal(found?.spec.nodeName, "m-1");
    return found;
  });
  // As the kubelet asks for it: for the audience, bound to the pod, which names the node.
  const { status, body } = await cluster.request(
    "POST",
    `/api/v1/namespaces/${gpus.namespace}/serviceaccounts/axonize-agent/token`,
    {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        audiences: ["axonize"],
        boundObjectRef: {
          apiVersion: "v1",
          kind: "Pod",
          name: pod.metadata.name,
          uid: pod.metadata.uid,
        },
      },
    },
  );
  assert.equal(status, 201, body);
  // The API server keeps to its schemas.
  const { token } = (JSON.parse(body) as { status: { token: string } }).status;
  await cluster.kubectl("create", "serviceaccount", "ingest");
  await cluster.kubectl(
    "create",
    "clusterrolebinding",
    "ingest-reviews",
    "--clusterrole=system:auth-delegator",
    "--serviceaccount=default:ingest",
  );
  const dir = await mkdtemp(join(tmpdir(), "axonize-gpupool-"));
  await writeFile(join(dir, "token"), await cluster.tokenFor("default", "ingest"));
  await using ingest = await startIngest(stores, {
    agents: {
      cluster: gpus.clusterName,
      tokenReview: {
        apiServer: cluster.url,
        tokenFile: join(dir, "token"),
        authorityFile: cluster.caFile,
        serviceAccounts: [`${gpus.namespace}:axonize-agent`],
      },
    },
  });
  const credential = async (): Promise<string> => await Promise.resolve(token);
  {
    await using agent = await startExporter(ingest.grpcPort, { node: "a-1", credential });
    const end = await eventually(
      "it is refused",
      () => agent.exporter.state().lastEnd ?? assert.fail(),
    );
    assert.match(end.detail, /speaks for node m-1 only/);
  }
  await using agent = await startExporter(ingest.grpcPort, { node: "m-1", credential });
  await eventually("it is let in, and told what the pool wants", () => {
    assert.equal(agent.exporter.state().connected, true);
    assert.deepEqual(agent.exporter.config().metricSets, [
      "Errors",
      "Memory",
      "Power",
      "Thermal",
      "Utilization",
    ]);
  });
  await rm(dir, { recursive: true });
  await cluster.kubectl("delete", "gpupool", "m", "--timeout=120s");
});
