/**
 * Devices that are shared outside the kubelet's word: HAMi's annotation, KAI's reservation pods, claims of
 * DRA that several containers use, and a driver's own word for its device names.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IdentityHistory } from "../identity/history.ts";
import {
  isNvidiaResource,
  mapAllocations,
  noPodSource,
  type Mapped,
  type NodeDevice,
  type SourcePod,
} from "./allocations.ts";
import type { ContainerResources, PodResources } from "./pod-resources.ts";

const gpu = (n: number): string => `GPU-${String(n).repeat(8)}-aaaa-4bbb-8ccc-000000000000`;
const node: readonly NodeDevice[] = [0, 1, 2].map((n) => ({ uuid: gpu(n), minor: n, slices: [] }));

function listed(name: string, ids: string[], more: Partial<ContainerResources> = {}): PodResources {
  const devices =
    ids.length === 0 ? [] : [{ resourceName: "nvidia.com/gpu", deviceIds: ids, numaNodes: [] }];
  return { namespace: "ml", name, containers: [{ name: "main", devices, claims: [], ...more }] };
}
function known(name: string, more: Partial<SourcePod> = {}): SourcePod {
  return {
    namespace: "ml",
    name,
    uid: `uid-${name}`,
    ended: false,
    hasClaims: false,
    containers: [
      { name: "setup", init: true },
      { name: "main", init: false },
      { name: "side", init: false },
    ],
    hamiDevices: undefined,
    kai: undefined,
    ...more,
  };
}
function map(
  pods: PodResources[],
  sources: SourcePod[],
  uuidOf?: (name: string) => string,
): Mapped {
  const source = {
    podOf: (namespace: string, name: string) =>
      sources.find((p) => p.namespace === namespace && p.name === name),
    all: () => sources,
    uuidOfClaimed: ({ device }: { device: string }) => uuidOf?.(device),
  };
  return mapAllocations(pods, node, source, { isOurs: isNvidiaResource });
}
const held = ({ allocations }: Mapped): string[] =>
  allocations.map((a) => `${a.pod}/${a.container} ${a.deviceUuid.slice(4, 5)}`).sort();

test("HAMi's GPU comes from the annotation, not from the slot's id", () => {
  const one = listed("a", [`${gpu(0)}-3`]);
  const of = (hamiDevices: string | undefined): Mapped => map([one], [known("a", { hamiDevices })]);
  assert.deepEqual(held(of(`${gpu(1)},NVIDIA,3000,30:;;`)), ["a/main 1"]);
  assert.deepEqual(held(of(`;${gpu(2)},NVIDIA,3000,30:;;`)), ["a/main 2"], "init containers count");
  assert.equal(of(undefined).unmapped[0]?.reason, "slot_only");
  assert.equal(of("nonsense").unmapped[0]?.reason, "slot_only");
  assert.equal(of(`${gpu(7)},NVIDIA,1,1:;;`).unmapped[0]?.reason, "not_on_this_node");
  const two = `${gpu(1)},NVIDIA,1,1:${gpu(0)},NVIDIA,1,1:;;`;
  assert.deepEqual(held(of(two)), ["a/main 0"], "of several, the one that the id names");
  assert.equal(map([one], []).unmapped[0]?.reason, "slot_only");
});

test("pods that share a GPU under HAMi do not dispute it", () => {
  const hamiDevices = `${gpu(1)},NVIDIA,3000,30:;;`;
  const { podCount, allocations } = map(
    [listed("a", [`${gpu(0)}-0`]), listed("b", [`${gpu(2)}-0`])],
    [known("a", { hamiDevices }), known("b", { hamiDevices })],
  );
  const history = new IdentityHistory();
  history.observe(1, {
    type: "devices",
    node: "n",
    bootId: "b",
    driverEpoch: "d",
    devices: node.map((device, index) => ({
      ...device,
      index,
      model: "A100",
      pciBusId: undefined,
      migEnabled: false,
      lost: false,
      slices: [],
    })),
  });
  assert.deepEqual(history.observe(2, { type: "allocations", podCount, allocations }), []);
  assert.equal(history.allocations.allOpen().length, 2);
});

test("KAI's workloads have the GPU of their group's reservation, which itself has none", () => {
  const groups = ["g1"];
  const reservation = known("hold", {
    namespace: "kai-resource-reservation",
    kai: { groups, share: undefined, container: undefined },
  });
  const pods = [
    { ...listed("hold", [gpu(2)]), namespace: "kai-resource-reservation" },
    listed("a", []),
    listed("b", []),
    listed("c", []),
  ];
  const share = (container: string | undefined) => ({ groups, share: "0.5", container });
  const mapped = map(pods, [
    reservation,
    known("a", { kai: share(undefined) }),
    known("b", { kai: share("side") }),
    known("c"),
  ]);
  assert.deepEqual(held(mapped), ["a/main 2", "b/side 2"]);
  const replicas = mapped.allocations.map(({ replica }) => replica);
  assert.equal(new Set(replicas).size, 2);
  assert.ok(!replicas.includes(undefined));
  assert.deepEqual(held(map(pods.slice(1), [known("a", { kai: share(undefined) })])), []);
});

test("a DRA device is what its driver published, before what its name says", () => {
  const claim = (device: string) => ({
    claimNamespace: "ml",
    claimName: "one",
    driver: "gpu.nvidia.com",
    pool: "node",
    device,
    shareId: undefined,
  });
  const pod = listed("a", [], { claims: [claim("gpu-1")] });
  assert.deepEqual(held(map([pod], [])), ["a/main 1"]);
  assert.deepEqual(held(map([pod], [], () => gpu(0))), ["a/main 0"]);
  assert.deepEqual(held(map([pod], [], () => gpu(9))), ["a/main 1"], "published, but not here");
  const both = map([pod, listed("b", [], { claims: [claim("gpu-1")] })], []);
  assert.equal(new Set(both.allocations.map(({ replica }) => replica)).size, 2, "a shared claim");
  assert.equal(
    mapAllocations([pod], node, noPodSource, { isOurs: () => true }).allocations.length,
    1,
  );
});

test("a pod with claims that the kubelet does not list is unknown, and not without a GPU", () => {
  const mapped = map(
    [listed("a", []), listed("b", [])],
    [known("a", { hasClaims: true }), known("b")],
  );
  assert.deepEqual(
    mapped.unmapped.map(({ pod, reason }) => [pod, reason]),
    [["a", "claims_unlisted"]],
  );
});
