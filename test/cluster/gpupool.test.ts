/**
 * GpuPool on a real control plane (API server, scheduler, controller manager) and a real PostgreSQL. Nodes
 * are Node objects without a kubelet, so the test does for pods what a kubelet would: it says that they run.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createIdentityStore } from "../../ingest/agents/identity-store.ts";
import type { ControlPlane } from "../../tools/k8s/control-plane.ts";
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

test("two pools that overlap share the nodes by priority and age, and a change of it moves labels", async () => {
  const { node, pool, poolOf, eventually, statusOf } = gpus;
  for (const name of ["a-1", "a-2", "a-3"]) await node(name, { labels: { "gpu.test/a": "yes" } });
  const select = { nodeSelector: { matchLabels: { "gpu.test/a": "yes" } } };
  await pool("a-low", select);
  await eventually("the only pool has all", async () => {
    assert.deepEqual(await poolOf("a-1", "a-2", "a-3"), ["a-low", "a-low", "a-low"]);
  });
  await pool("a-high", {
    ...select,
    priority: 10,
    nodeSelector: {
      matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["a-2"] }],
    },
  });
  await eventually("the higher one takes its node", async () => {
    assert.deepEqual(await poolOf("a-1", "a-2", "a-3"), ["a-low", "a-high", "a-low"]);
  });
  await eventually("the status says who has it", async () => {
    const status = await statusOf("a-low");
    assert.deepEqual(pick(status.nodes, "matched", "assigned", "conflicting"), [3, 2, 1]);
    const overlapping = status.conditions.find(({ type }) => type === "Overlapping");
    assert.equal(overlapping?.reason, "LowerPriority");
    assert.match(overlapping?.message ?? "", /a-high has 1/);
  });
  await cluster.kubectl("label", "node", "a-3", "gpu.test/a-");
  await cluster.kubectl("label", "--overwrite", "node", "a-1", `axonize.io/gpu-pool=somebody`);
  await eventually(
    "a node that is not selected any more loses the label, a meddler's is put right",
    async () => {
      assert.deepEqual(await poolOf("a-1", "a-2", "a-3"), ["a-low", "a-high", undefined]);
    },
  );
  const rows = await stores.sql`
    SELECT node, pool FROM gpu_pool_nodes WHERE valid_to IS NULL AND node LIKE 'a-%' ORDER BY node`;
  await cluster.kubectl("delete", "gpupool", "a-high", "--timeout=120s");
  await eventually("a deleted pool's node goes to the next one", async () => {
    assert.deepEqual(await poolOf("a-1", "a-2", "a-3"), ["a-low", "a-low", undefined]);
  });
  assert.deepEqual(
    rows.map((row) => [row["node"], row["pool"]]),
    [
      ["a-1", "a-low"],
      ["a-2", "a-high"],
    ],
  );
  await cluster.kubectl("delete", "gpupool", "a-low", "--timeout=120s");
});

test("agents run on the pool's nodes and nowhere else, and Ready waits for them", async () => {
  const { node, pool, eventually, statusOf, agentPods, runPods } = gpus;
  await node("b-1", { labels: { "gpu.test/b": "yes" } });
  await node("b-2", { labels: { "gpu.test/b": "yes" } });
  await node("b-other", {});
  await pool("b", { nodeSelector: { matchLabels: { "gpu.test/b": "yes" } } });
  const pods = await eventually("each node has an agent", async () => {
    const found = await agentPods("b");
    assert.deepEqual(new Set(found.map((pod) => pod.spec.nodeName)), new Set(["b-1", "b-2"]));
    return found;
  });
  await eventually("Ready waits", async () => {
    assert.equal(ready(await statusOf("b")), "False RolloutInProgress");
  });
  const [container] = pods[0]?.spec.containers ?? [];
  assert.equal(container?.image, image);
  const volumes = Object.fromEntries(
    (pods[0]?.spec.volumes ?? []).map((each) => [each.name, each]),
  );
  assert.equal(volumes["token"]?.projected?.sources[0]?.serviceAccountToken?.audience, "axonize");
  assert.equal(volumes["pod-resources"]?.hostPath?.path, "/var/lib/kubelet/pod-resources");
  await runPods("b");
  await eventually("the rollout is complete", async () => {
    const status = await statusOf("b");
    const available = status.conditions.find(({ type }) => type === "AgentAvailable");
    assert.equal(available?.reason, "RolloutComplete", available?.message);
    assert.deepEqual(
      pick(status.agent, "desired", "updated", "ready", "unavailable"),
      [2, 2, 2, 0],
    );
  });
  await cluster.kubectl("delete", "gpupool", "b", "--timeout=120s");
});

test("sampling reaches the ConfigMap and leaves the template; another part of the spec is rolled out", async () => {
  const { node, pool, eventually, daemonSet, statusOf } = gpus;
  await node("c-1", { labels: { "gpu.test/c": "yes" } });
  const spec = { nodeSelector: { matchLabels: { "gpu.test/c": "yes" } } };
  await pool("c", spec);
  const first = await eventually("it is there", async () => await daemonSet("c"));
  await pool("c", {
    ...spec,
    sampling: { periodMilliseconds: 250, metricSets: ["Power", "Utilization"] },
  });
  await eventually("the file says it", async () => {
    const config = await gpus.configFile("c");
    assert.equal(config["periodMs"], 250);
    assert.deepEqual(config["metricSets"], ["Power", "Utilization"]);
  });
  await eventually("and so does PostgreSQL, for agents without a file", async () => {
    const [row] = await stores.sql<{ config: Record<string, unknown> }[]>`
      SELECT config FROM gpu_pools WHERE name = 'c'`;
    assert.equal(row?.config["periodMs"], 250);
  });
  await eventually("the status has seen it", async () => {
    assert.equal((await statusOf("c")).observedGeneration, 2);
  });
  assert.equal((await daemonSet("c")).metadata.generation, first.metadata.generation);

  await pool("c", {
    ...spec,
    agent: { resources: { limits: { memory: "300Mi" } }, podLabels: { team: "x" } },
  });
  await eventually("the template follows", async () => {
    const { template } = (await daemonSet("c")).spec;
    assert.equal(template.spec.containers[0]?.resources?.limits?.["memory"], "300Mi");
    assert.equal(template.metadata.labels["team"], "x");
  });
  // What somebody edits by hand is put back, and so is what is deleted.
  await cluster.kubectl(
    "-n",
    gpus.namespace,
    "set",
    "image",
    "daemonset/axonize-agent-c",
    "agent=evil:1",
  );
  await cluster.kubectl("-n", gpus.namespace, "delete", "configmap", "axonize-agent-c");
  await eventually("it is put right", async () => {
    assert.equal((await daemonSet("c")).spec.template.spec.containers[0]?.image, image);
    assert.equal((await gpus.configFile("c"))["periodMs"], 100);
  });
  await cluster.kubectl("delete", "gpupool", "c", "--timeout=120s");
});

test("an upgrade of the operator restarts no agent until it is told to", async () => {
  const { node, pool, eventually, daemonSet, statusOf } = gpus;
  await node("d-1", { labels: { "gpu.test/d": "yes" } });
  const spec = { nodeSelector: { matchLabels: { "gpu.test/d": "yes" } } };
  await pool("d", spec);
  const before = await eventually("it is there", async () => await daemonSet("d"));
  const newer = "registry.example/agent:2";
  await gpus.startOperator({ bundledImage: newer });
  await pool("d", { ...spec, priority: 1 });
  await eventually("the new operator has looked at it", async () => {
    assert.equal((await statusOf("d")).observedGeneration, 2);
  });
  const held = await daemonSet("d");
  assert.equal(held.metadata.generation, before.metadata.generation);
  assert.equal(held.spec.template.spec.containers[0]?.image, image);
  assert.equal((await statusOf("d")).agent.image, image);
  await cluster.kubectl("annotate", "gpupool", "d", "axonize.io/agent-upgrade=november");
  await eventually("it was told to", async () => {
    assert.equal((await daemonSet("d")).spec.template.spec.containers[0]?.image, newer);
  });
  await pool("d", { ...spec, agent: { image: "registry.example/agent:pinned" } });
  await eventually("a pinned image is the user's word", async () => {
    assert.equal((await statusOf("d")).agent.image, "registry.example/agent:pinned");
  });
  await gpus.startOperator({ bundledImage: image });
  await cluster.kubectl("delete", "gpupool", "d", "--timeout=120s");
});

test("a node that is added again under its name is a new one: labelled, counted anew", async () => {
  const { node, pool, eventually, poolOf, statusOf } = gpus;
  const labels = {
    "gpu.test/e": "yes",
    "nvidia.com/gpu.count": "4",
    "nvidia.com/gpu.product": "NVIDIA-L40S",
  };
  await node("e-1", { labels });
  await pool("e", { nodeSelector: { matchLabels: { "gpu.test/e": "yes" } } });
  await eventually("it is labelled", async () => assert.deepEqual(await poolOf("e-1"), ["e"]));
  const agents = createIdentityStore(stores);
  const agent = { cluster: gpus.clusterName, node: "e-1" };
  const epoch = `${Date.now().toString(16).padStart(12, "0")}00000000`;
  const held = await agents.greet(agent, [epoch], "test");
  assert.ok(held);
  const writer = { ...agent, claim: held.claim };
  const device = {
    number: 1,
    uuid: "GPU-e",
    gpuUuid: "GPU-e",
    kind: "whole",
    model: "NVIDIA L40S",
    driverVersion: "580.1",
    index: 0,
    migProfile: "",
  } as const;
  await agents.devices(writer, [device]);
  await agents.commit(
    writer,
    { epoch, sequence: 1 },
    {
      identity: [
        {
          layer: "resource",
          key: "GPU-e",
          validFromMs: Date.now(),
          value: {
            uuid: "GPU-e",
            gpuUuid: "GPU-e",
            kind: "whole",
            profile: "",
            memoryMib: 46068,
            epochMs: Date.now(),
            gap: false,
            lost: false,
          },
        },
      ],
      status: { periodMs: 200, wantedPeriodMs: 100 },
    },
  );
  gpus.nudge("e");
  await eventually("what the agent says wins over the labels", async () => {
    const status = await statusOf("e");
    assert.equal(status.gpus.total, 1);
    assert.deepEqual(status.products, [
      {
        product: "NVIDIA-L40S",
        count: 1,
        memoryMiB: 46068,
        driverVersions: ["580.1"],
        migCapable: false,
      },
    ]);
    const overhead = status.conditions.find(({ type }) => type === "OverheadWithinBudget");
    assert.equal(overhead?.reason, "SamplingReduced");
  });
  const old = await gpus.uidOf("e-1");
  await cluster.kubectl("delete", "node", "e-1");
  // Times of the API server are whole seconds: the new node must be younger than the report.
  await eventually("a second passes", async () => {
    const [row] =
      await stores.sql`SELECT now() - max(last_report) > interval '2 seconds' AS is FROM agents`;
    assert.equal(row?.["is"], true);
  });
  await node("e-1", { labels });
  await eventually("the new one is labelled and is not taken for the old one", async () => {
    assert.notEqual(await gpus.uidOf("e-1"), old);
    assert.deepEqual(await poolOf("e-1"), ["e"]);
    assert.equal((await statusOf("e")).gpus.total, 4);
  });
  const rows = await stores.sql`
    SELECT node_uid, valid_to IS NULL AS open FROM gpu_pool_nodes WHERE node = 'e-1' ORDER BY valid_from`;
  assert.deepEqual(
    rows.map((row) => [row["node_uid"] === old, row["open"]]),
    [
      [true, false],
      [false, true],
    ],
  );
  await cluster.kubectl("delete", "gpupool", "e", "--timeout=120s");
});

test("prices are appended when they change and at no other time", async () => {
  const { pool, eventually } = gpus;
  const select = { nodeSelector: { matchLabels: { "gpu.test/f": "yes" } } };
  const prices = async () =>
    (
      await stores.sql`SELECT product, per_gpu_hour_nanos AS nanos, currency FROM prices WHERE pool = 'f' ORDER BY id`
    ).map((row) => [row["product"], row["nanos"], row["currency"]]);
  await pool("f", { ...select, pricing: { perGpuHour: "2.50" } });
  await eventually("the first", async () =>
    assert.deepEqual(await prices(), [["", 2_500_000_000, "USD"]]),
  );
  await pool("f", {
    ...select,
    priority: 3,
    pricing: { perGpuHour: "2.500", products: [{ product: "NVIDIA-B200", perGpuHour: "9" }] },
  });
  await eventually("the product's alone", async () =>
    assert.deepEqual(await prices(), [
      ["", 2_500_000_000, "USD"],
      ["NVIDIA-B200", 9_000_000_000, "USD"],
    ]),
  );
  await cluster.kubectl("delete", "gpupool", "f", "--timeout=120s");
  assert.equal((await prices()).length, 2, "what GPUs cost is still known");
  await assert.rejects(stores.sql`DELETE FROM prices`, /only appended/);
});

test("an operator that another one has followed writes nothing to PostgreSQL", async () => {
  const { pool, eventually } = gpus;
  const select = { nodeSelector: { matchLabels: { "gpu.test/g": "yes" } } };
  await stores.sql`UPDATE operator_epoch SET epoch = epoch + 1000`;
  await pool("g", { ...select, pricing: { perGpuHour: "1" } });
  await eventually("its nodes are looked after all the same", async () => {
    assert.equal((await gpus.statusOf("g")).observedGeneration, 1);
  });
  assert.equal((await stores.sql`SELECT FROM gpu_pools WHERE name = 'g'`).length, 0);
  assert.equal((await stores.sql`SELECT FROM prices WHERE pool = 'g'`).length, 0);
  await stores.sql`UPDATE operator_epoch SET epoch = epoch - 1000`;
  gpus.nudge("g");
  await eventually("and when it leads again it catches up", async () => {
    assert.equal((await stores.sql`SELECT FROM prices WHERE pool = 'g'`).length, 1);
  });
  await cluster.kubectl("delete", "gpupool", "g", "--timeout=120s");
});

test("in a steady state nothing is written to the API server, and in the end nothing is left of the pools", async () => {
  const { node, pool, eventually, runPods, statusOf } = gpus;
  await node("h-1", { labels: { "gpu.test/h": "yes" } });
  await pool("h", { nodeSelector: { matchLabels: { "gpu.test/h": "yes" } } });
  await eventually("it runs", async () => {
    await runPods("h");
    const status = await statusOf("h");
    assert.equal(
      status.conditions.find(({ type }) => type === "AgentAvailable")?.reason,
      "RolloutComplete",
    );
  });
  await eventually("its status has come to rest", async () => {
    const before = await statusOf("h");
    await gpus.reconcileAll();
    assert.deepEqual(await statusOf("h"), before);
  });
  const wrote = (): string[] =>
    cluster
      .auditEvents()
      .filter(
        ({ userAgent, stage }) => userAgent === gpus.userAgent && stage === "ResponseComplete",
      )
      .filter(
        ({ verb, objectRef }) =>
          !["get", "list", "watch"].includes(verb) && objectRef?.resource !== "leases",
      )
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
  const before = wrote().length;
  // Ten looks at everything are what five minutes bring.
  for (let look = 0; look < 10; look += 1) await gpus.reconcileAll();
  assert.deepEqual(wrote().slice(before), []);

  await cluster.kubectl("delete", "gpupool", "--all", "--timeout=120s");
  const left = await cluster.kubectl("get", "nodes", "-l", "axonize.io/gpu-pool", "-o", "name");
  assert.equal(left.trim(), "");
  const workloads = await cluster.kubectl(
    "-n",
    gpus.namespace,
    "get",
    "daemonsets,pods,configmaps",
    "-l",
    "app.kubernetes.io/name=axonize-agent",
    "-o",
    "name",
  );
  assert.equal(workloads.trim(), "");
  assert.equal((await stores.sql`SELECT FROM gpu_pools`).length, 0);
  assert.equal((await stores.sql`SELECT FROM gpu_pool_nodes WHERE valid_to IS NULL`).length, 0);
});

const pick = <T extends object>(object: T, ...keys: (keyof T)[]): unknown[] =>
  keys.map((key) => object[key]);

const ready = (status: {
  conditions: readonly { type: string; status: string; reason: string }[];
}): string => {
  const condition = status.conditions.find(({ type }) => type === "Ready");
  return `${condition?.status} ${condition?.reason}`;
};
