/**
 * From silicon to a request, over the whole product: `npm start` on a false driver with a node of 8 GPUs
 * and 56 slices, a kubelet that gave one slice to a pod, a process in that pod's cgroup, and a call that it
 * sends by the real OpenTelemetry SDK. The API must show the slice, how surely, and its lanes.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createFakeNode, type FakeNode } from "../../agent/testing/fake-driver.ts";
import { createFakeProc, podCgroup } from "../../agent/testing/fake-proc.ts";
import { listing } from "../../agent/testing/identity-bench.ts";
import { startKubelet } from "../../agent/testing/kubelet-emulator.ts";
import type { Holder } from "@axonize/core/contract/gpu";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { npmStart, type Started } from "./support/npm-start.ts";
import type { NodeProtocol } from "./support/send-spans.ts";
import { startSender, type Order } from "./support/sender-process.ts";

const podUid = "5a568c15-a506-4824-a5ac-10ff89d837e1";
const containerId = "f871d3f1ff330eddd661af03fc0c9b7c156ee2f4eaf180a4431a798bf891e7a8";
const sliceUuid = "MIG-5e5e5e5e-0000-5000-8000-000000000003";
const pairUuids = [4, 5].map((n) => `MIG-5e5e5e5e-0000-5000-8000-00000000000${n}`);
const gpuUuid = "GPU-5e5e5e5e-0000-4000-8000-000000000001";
const otherUuid = "GPU-5e5e5e5e-0000-4000-8000-000000000002";

/** 8 H100 with 7 slices each; three of them have UUIDs that the kubelet hands out below. */
const known: Readonly<Record<string, string | undefined>> = {
  "3/2": sliceUuid,
  "5/0": pairUuids[0],
  "6/0": pairUuids[1],
};
const migNode: readonly string[] = Array.from({ length: 8 }, (_, gpu) => [
  `gpu ${gpu} h100 mig=1`,
  ...Array.from({ length: 7 }, (__, slot) => {
    const uuid = known[`${gpu}/${slot}`];
    return `slice ${gpu} ${slot} 1g.10gb gi=${7 + slot}${uuid ? ` uuid=${uuid}` : ""}`;
  }),
]).flat();

async function until<T>(look: () => Promise<T | undefined>, what: string): Promise<T> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Runs the product once for each of its lives, on the same data. */
async function withProduct(
  node: FakeNode,
  environment: Readonly<Record<string, string>>,
  ...lives: readonly ((product: Started, api: ApiClient) => Promise<void>)[]
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "axonize-gpu-e2e-"));
  try {
    for (const live of lives) {
      const product = await npmStart(join(folder, ".axonize"), {
        AXONIZE_NVML_LIBRARY: node.library(),
        AXONIZE_FAKE_NVML_CONTROL: node.controlPath,
        AXONIZE_NODE_NAME: "node-1",
        ...environment,
      });
      try {
        await live(product, createApiClient(product.api));
      } finally {
        await product.interrupt();
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function holderOf(api: ApiClient, uuid: string, kind: string): Promise<Holder | undefined> {
  const { items } = await api.gpus({ from: "-5m" });
  return items.find((gpu) => gpu.uuid === uuid)?.holders.find((each) => each.kind === kind);
}

/** Resolves once somebody has had the device for longer than the calls that are sent go back. */
async function heldLongEnough(api: ApiClient, uuid: string, kind: string): Promise<void> {
  const sentBackMs = 3_500;
  await until(async () => {
    const holder = await holderOf(api, uuid, kind);
    return holder && Date.now() - Date.parse(holder.from) > sentBackMs ? holder : undefined;
  }, `${kind} of ${uuid} for ${sentBackMs} ms`);
}

test("a call from a pod shows the slice that the kubelet gave it, how surely, and its lanes", async () => {
  await using sender = await startSender();
  using node = createFakeNode(...migNode, `process 3 ${sender.pid} 4096 slot=2`, "load steady 0.6");
  using proc = createFakeProc();
  proc.add({ pid: sender.pid, ownPid: 1, cgroup: podCgroup(podUid, containerId) });
  const socketPath = join(proc.root, "kubelet.sock");
  await using kubelet = await startKubelet({
    socketPath,
    recorded: listing({ "ml/llm-0/server": [sliceUuid], "ml/pair-0/main": pairUuids }),
  });
  const environment = {
    AXONIZE_POD_RESOURCES_SOCKET: socketPath,
    AXONIZE_AGENT_PROC_ROOT: proc.root,
  };
  let traceId = "";
  let heldFrom: string | undefined;
  const firstLife = async (product: Started, api: ApiClient): Promise<void> => {
    await heldLongEnough(api, sliceUuid, "allocation");
    const { items } = await api.gpus({ from: "-5m" });
    assert.equal(items.filter((gpu) => gpu.parentUuid === "").length, 8);
    assert.equal(items.filter((gpu) => gpu.migProfile === "1g.10gb").length, 56);
    const slice = items.find((gpu) => gpu.uuid === sliceUuid);
    assert.equal(slice?.node, "node-1");
    assert.equal(slice.allocation, "allocated");
    const holder = slice.holders.find(({ kind }) => kind === "allocation");
    assert.deepEqual(
      [holder?.namespace, holder?.pod, holder?.container],
      ["ml", "llm-0", "server"],
    );
    const usage = slice.holders.find(({ kind }) => kind === "usage");
    assert.equal(usage?.pid, sender.pid);

    const [call] = await sender.send({
      protocol: "grpc",
      endpoint: product.otlpGrpc,
      service: "llm",
      attributes: {
        "k8s.pod.uid": podUid,
        "k8s.pod.name": "llm-0",
        "k8s.namespace.name": "ml",
        "k8s.container.name": "server",
      },
    });
    assert.ok(call);
    const span = await api.span(call.traceId, call.chatId);
    assert.equal(span.gpuLevel, "exact.single");
    const lanes = await until(async () => {
      const found = await api.traceGpus(call.traceId);
      const measured = found.lanes[0]?.series.smActivityRatio.some((value) => value !== null);
      return measured ? found : undefined;
    }, "lanes with measured activity");
    assert.deepEqual(
      lanes.lanes.map(({ gpu, level }) => [gpu.uuid, level]),
      [[sliceUuid, "exact.single"]],
    );
    assert.ok(lanes.lanes[0]?.evidence.length);
    const memory = lanes.lanes[0]?.series.memoryUsedBytes ?? [];
    assert.ok(
      memory.some((bytes) => bytes !== null && bytes > 0),
      "memory is measured",
    );

    const sendAs = async (attributes: Order["attributes"]) => {
      const endpoint = product.otlpHttp;
      const [sent] = await sender.send({
        protocol: "http/protobuf",
        endpoint,
        service: "llm",
        attributes,
      });
      assert.ok(sent);
      return await api.span(sent.traceId, sent.chatId);
    };
    const pair = { "k8s.pod.name": "pair-0", "k8s.namespace.name": "ml" };
    const whole = await sendAs(pair);
    assert.deepEqual([whole.gpuLevel, whole.gpus.toSorted()], ["exact.set", pairUuids]);
    const own = await sendAs({ ...pair, "axonize.gpu.uuids": [pairUuids[1] ?? ""] });
    assert.deepEqual([own.gpuLevel, own.gpus], ["exact.single", [pairUuids[1]]]);
    const lie = await sendAs({ ...pair, "axonize.gpu.uuids": [sliceUuid] });
    assert.deepEqual([lie.gpuLevel, lie.gpus], ["identity.conflict", []], "another pod's slice");

    traceId = call.traceId;
    heldFrom = holder?.from;
  };
  const secondLife = async (_product: Started, api: ApiClient): Promise<void> => {
    await until(async () => {
      const holder = await holderOf(api, sliceUuid, "allocation");
      return holder?.stale === false ? holder : undefined;
    }, "the kubelet's word after the restart");
    const holder = await holderOf(api, sliceUuid, "allocation");
    assert.equal(holder?.from, heldFrom, "an agent's restart ends nothing");
    kubelet.show(listing({}));
    await until(async () => {
      const held = await holderOf(api, sliceUuid, "allocation");
      return held === undefined ? true : undefined;
    }, "the pod has ended");
    const later = await api.traceGpus(traceId);
    assert.equal(later.lanes[0]?.level, "exact.single", "what was true then stays true");
  };
  await withProduct(node, environment, firstLife, secondLife);
});

test("cuda:0 of a process that was given two GPUs is the one it computes on, if it names no other", async () => {
  await using sender = await startSender();
  const gpus = [`gpu 0 h100 uuid=${otherUuid}`, `gpu 1 h100 uuid=${gpuUuid}`, "load steady 0.6"];
  using node = createFakeNode(...gpus, `process 1 ${sender.pid} 4096`);
  using proc = createFakeProc();
  proc.add({ pid: sender.pid, ownPid: 1, cgroup: podCgroup(podUid, containerId) });
  const socketPath = join(proc.root, "kubelet.sock");
  await using kubelet = await startKubelet({
    socketPath,
    recorded: listing({ "ml/rank-0/main": [gpuUuid, otherUuid] }),
  });
  assert.ok(kubelet);
  const environment = {
    AXONIZE_POD_RESOURCES_SOCKET: socketPath,
    AXONIZE_AGENT_PROC_ROOT: proc.root,
  };
  await withProduct(node, environment, async (product, api) => {
    await heldLongEnough(api, gpuUuid, "usage");
    const [call] = await sender.send({
      protocol: "grpc",
      endpoint: product.otlpGrpc,
      service: "rank",
      attributes: {
        "k8s.pod.name": "rank-0",
        "k8s.namespace.name": "ml",
        "k8s.container.name": "main",
        "process.pid": "1",
      },
      ordinals: [0],
    });
    assert.ok(call);
    // By the rules of CUDA's numbering it would be the other one, in PCI order.
    const span = await until(async () => {
      const found = await api.span(call.traceId, call.chatId);
      return found.gpuLevel === "exact.runtime" ? found : undefined;
    }, "the driver has listed the process twice, on one device alone");
    assert.deepEqual(span.gpus, [gpuUuid]);
    const { lanes } = await api.traceGpus(call.traceId);
    assert.deepEqual(
      lanes.map(({ gpu, level }) => [gpu.uuid, level]),
      [[gpuUuid, "exact.runtime"]],
    );
    assert.ok(lanes[0]?.evidence.includes("the only ordinal it reported"));
  });
});

test("on a host without Kubernetes a call is joined by its connection to what its process computes on", async () => {
  await using sender = await startSender();
  const gpus = [`gpu 0 h100 uuid=${gpuUuid}`, `gpu 1 h100 uuid=${otherUuid}`, "load steady 0.6"];
  using node = createFakeNode(...gpus, `process 0 ${sender.pid} 4096`);
  const environment = { AXONIZE_POD_RESOURCES_SOCKET: join(tmpdir(), "no-such-kubelet.sock") };
  await withProduct(node, environment, async (product, api) => {
    await heldLongEnough(api, gpuUuid, "usage");
    /** Two process lists have to show it: a context may be opened and left again. */
    const joinedAs = async (protocol: NodeProtocol, level: string): Promise<void> => {
      const endpoint = protocol === "grpc" ? product.otlpGrpc : product.otlpHttp;
      const call = await until(async () => {
        const [sent] = await sender.send({ protocol, endpoint, service: "host", attributes: {} });
        assert.ok(sent);
        const span = await api.span(sent.traceId, sent.chatId);
        return span.gpuLevel === level ? sent : undefined;
      }, `${level} over ${protocol}`);
      const { lanes } = await api.traceGpus(call.traceId);
      const uuid = level === "exact.runtime" ? gpuUuid : otherUuid;
      assert.deepEqual(
        lanes.map((lane) => [lane.gpu.uuid, lane.level]),
        [[uuid, level]],
      );
    };
    await joinedAs("grpc", "exact.runtime");
    await joinedAs("http/protobuf", "exact.runtime");
    // A server that has another process compute, as vLLM's API server has its engine.
    node.write(...gpus, `process 1 ${sender.workerPid} 4096`);
    await joinedAs("grpc", "derived.workers");
  });
});
