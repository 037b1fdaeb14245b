// The device plugin of `cluster up --gpus` against a real kubelet, and the agent as a real pod beside it: a pod gets a
// made-up slice, the agent reads that from the kubelet and shows the slice's measurements under the pod's name.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildImages } from "../../tools/k8s/images/build.ts";
import { startCluster, type Cluster } from "../../tools/k8s/cluster.ts";
import {
  addFakeGpus,
  fakeDriverDirectory,
  gpus,
  plugInGpus,
} from "../../tools/k8s/gpus/fake-gpus.ts";
import type { DevicePlugin } from "../../tools/k8s/gpus/plugin.ts";
import { physicalId } from "../../tools/k8s/gpus/strategies.ts";
import { buildExampleChat, exampleChatImage } from "../../tools/k8s/images/example-chat.ts";
import { eventually } from "./support/eventually.ts";
import { appFolder } from "./support/load.ts";
import { allocatable, getJson, readyPod, type Pod } from "./support/objects.ts";

let cluster: Cluster & AsyncDisposable;
let plugin: DevicePlugin;

before(async () => {
  const [agent] = buildImages(["agent"]);
  assert.ok(agent);
  cluster = await startCluster();
  plugin = await addFakeGpus(cluster);
  for (const { tar } of [agent, buildExampleChat(appFolder)]) await cluster.importImage(tar);
});

after(async () => {
  await plugin?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

test("the node offers each profile as a resource of its own", async () => {
  const offered = await eventually("the devices are allocatable", async () => {
    const all = await allocatable(cluster);
    return "nvidia.com/mig-2g.20gb" in all && "nvidia.com/gpu" in all ? all : undefined;
  });
  assert.equal(offered["nvidia.com/mig-1g.10gb"], "2");
  assert.equal(offered["nvidia.com/mig-2g.20gb"], "1");
  assert.equal(offered["nvidia.com/gpu"], "1");
});

test("a pod that asks for a slice is told which one it has", async () => {
  await cluster.apply([pod("worker", { "nvidia.com/mig-1g.10gb": 1 })]);
  const { status } = await readyPod(cluster, "default", "worker");
  const { environment } = await ask<{ environment: Record<string, string> }>(
    status.podIP,
    8080,
    "/",
  );
  const [allocation] = plugin.allocations;
  assert.deepEqual(allocation, {
    resource: "nvidia.com/mig-1g.10gb",
    ids: [environment["NVIDIA_VISIBLE_DEVICES"]],
  });
  const slices = gpus[0].slices.map(({ uuid }): string => uuid);
  assert.ok(slices.slice(0, 2).includes(environment["NVIDIA_VISIBLE_DEVICES"] ?? ""));
});

test("the agent shows the slice under the name of the pod that has it", async () => {
  await cluster.apply(agentObjects());
  const { status } = await readyPod(cluster, "axonize-agents", "agent");
  const slice = plugin.allocations[0]?.ids[0];
  const line = await eventually("the slice's memory with the pod's name", async () => {
    const text = await askText(status.podIP, 9400, "/metrics");
    return text
      .split("\n")
      .find((each) => each.startsWith("DCGM_FI_DEV_FB_USED{") && each.includes('pod="worker"'));
  });
  assert.match(line, /namespace="default"/);
  assert.match(line, /container="app"/);
  assert.match(line, new RegExp(`GPU_I_PROFILE="1g.10gb"`));
  assert.ok(slice?.startsWith("MIG-"));
});

test("a kubelet that is killed and started finds its devices again, and no pod is lost", async () => {
  const was = await getJson<Pod>(cluster, "pod", "worker", "-n", "default");
  const registered = plugin.registrations("nvidia.com/mig-1g.10gb");
  await cluster.kill("kubelet");
  await cluster.start("kubelet");
  await eventually("the plugin has registered again", async () =>
    plugin.registrations("nvidia.com/mig-1g.10gb") > registered ? true : undefined,
  );
  await cluster.apply([pod("second", { "nvidia.com/mig-1g.10gb": 1 })]);
  await readyPod(cluster, "default", "second");
  const ids = plugin.allocations
    .filter(({ resource }) => resource === "nvidia.com/mig-1g.10gb")
    .flatMap((allocation) => allocation.ids);
  assert.equal(new Set(ids).size, 2, "each pod has a slice of its own");
  const is = await readyPod(cluster, "default", "worker");
  assert.equal(
    is.status.containerStatuses?.[0]?.containerID,
    was.status.containerStatuses?.[0]?.containerID,
  );
  const { status } = await readyPod(cluster, "axonize-agents", "agent");
  await eventually("the agent knows both pods", async () => {
    const text = await askText(status.podIP, 9400, "/metrics");
    return ['pod="worker"', 'pod="second"'].every((label) => text.includes(label)) || undefined;
  });
});

test("a device that falls ill is no longer offered", async () => {
  const whole = gpus.find(({ slices }) => slices.length === 0);
  assert.ok(whole);
  plugin.setDevices("nvidia.com/gpu", [{ ID: whole.uuid, health: "Unhealthy" }]);
  await eventually("no whole GPU is offered", async () =>
    (await allocatable(cluster))["nvidia.com/gpu"] === "0" ? true : undefined,
  );
  plugin.setDevices("nvidia.com/gpu", [{ ID: whole.uuid, health: "Healthy" }]);
  await eventually("it is offered again", async () =>
    (await allocatable(cluster))["nvidia.com/gpu"] === "1" ? true : undefined,
  );
});

test("time-slicing lets two pods have one GPU, which both are told", async () => {
  await plugin[Symbol.asyncDispose]();
  plugin = await plugInGpus(cluster, { mig: "none", replicas: 2, renameShared: true });
  await eventually("shares are offered", async () =>
    (await allocatable(cluster))["nvidia.com/gpu.shared"] === "4" ? true : undefined,
  );
  const names = ["shared-1", "shared-2", "shared-3"];
  await cluster.apply(names.map((name) => pod(name, { "nvidia.com/gpu.shared": 1 })));
  const seen = await Promise.all(
    names.map(async (name) => {
      const { status } = await readyPod(cluster, "default", name);
      const app = await ask<{ environment: Record<string, string> }>(status.podIP, 8080, "/");
      return app.environment["NVIDIA_VISIBLE_DEVICES"] ?? "";
    }),
  );
  const shares = plugin.allocations.flatMap(({ ids }) => ids);
  assert.equal(new Set(shares).size, 3);
  assert.deepEqual([...seen].sort(), shares.map(physicalId).sort());
  assert.equal(new Set(seen).size, 2, "three pods on two GPUs");
});

function pod(name: string, limits: Record<string, number>): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: "app",
          image: exampleChatImage,
          imagePullPolicy: "Never",
          env: [{ name: "CALLS_PER_SECOND", value: "0.01" }],
          readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
          resources: { limits },
        },
      ],
    },
  };
}

/** As a GpuPool's DaemonSet has it, without the parts that the operator brings. */
function agentObjects(): object[] {
  const host = (name: string, path: string, type: string): object => ({
    name,
    hostPath: { path, type },
  });
  const meta = { name: "agent", namespace: "axonize-agents" };
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "axonize-agents" } },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: meta },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: "test-agent" },
      rules: [{ apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] }],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: "test-agent" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "test-agent" },
      subjects: [{ kind: "ServiceAccount", ...meta }],
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: meta,
      spec: {
        serviceAccountName: "agent",
        hostPID: true,
        terminationGracePeriodSeconds: 5,
        containers: [
          {
            name: "agent",
            image: "axonize.io/agent:dev",
            imagePullPolicy: "Never",
            env: [
              { name: "AXONIZE_NODE_NAME", value: cluster.nodeName },
              { name: "AXONIZE_NVML_LIBRARY", value: "/opt/fake/libnvidia-ml.so.1" },
              { name: "AXONIZE_FAKE_NVML_CONTROL", value: "/opt/fake/control" },
            ],
            securityContext: { privileged: true, readOnlyRootFilesystem: true },
            readinessProbe: { httpGet: { path: "/healthz", port: 9400 }, periodSeconds: 1 },
            volumeMounts: [
              {
                name: "pod-resources",
                mountPath: "/var/lib/kubelet/pod-resources",
                readOnly: true,
              },
              { name: "fake", mountPath: "/opt/fake", readOnly: true },
              { name: "state", mountPath: "/var/lib/axonize-agent" },
              { name: "tmp", mountPath: "/tmp" },
            ],
          },
        ],
        volumes: [
          host("pod-resources", "/var/lib/kubelet/pod-resources", "Directory"),
          host("fake", fakeDriverDirectory, "Directory"),
          host("state", "/var/lib/axonize-agent", "DirectoryOrCreate"),
          { name: "tmp", emptyDir: {} },
        ],
      },
    },
  ];
}

async function askText(ip: string | undefined, port: number, path: string): Promise<string> {
  const answer = await fetch(`http://${ip ?? "no-address"}:${port}${path}`);
  assert.equal(answer.status, 200);
  return await answer.text();
}

async function ask<T>(ip: string | undefined, port: number, path: string): Promise<T> {
  // The caller names the type that the test's own application answers with.
  return JSON.parse(await askText(ip, port, path)) as T;
}
