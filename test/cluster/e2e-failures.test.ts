// Under load, each part of a running installation is killed in turn, as a machine kills: without a word. What was
// acknowledged is there afterwards, once, and everything recovers by itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./support/eventually.ts";
import { namespace } from "./support/helm.ts";
import {
  agentNamespace,
  secretValue,
  startInstallation,
  startWorkload,
  type Installation,
} from "./support/installation.ts";
import { appPod, assertAllStored, drained, flows, injectedPod, stateOf } from "./support/load.ts";
import { getJson, readyPods, type Pod } from "./support/objects.ts";
import { killProcesses } from "./support/processes.ts";
import { settled, type TenantStatus } from "./support/wishes.ts";

let axonize: Installation;
/** Of pods that are gone; those of the running one are with it. */
const acknowledged: string[] = [];
let rotations = 0;
/** Kept at hand, as it cannot be asked for while the API server is down. */
let lastApp: Pod;

before(async () => {
  axonize = await startInstallation(console.log);
  lastApp = await startWorkload(axonize.cluster);
});
after(async () => {
  await axonize?.[Symbol.asyncDispose]();
});

test("an ingest that is killed loses nothing it had acknowledged", async () => {
  const { cluster } = axonize;
  const pods = await component("ingest", 2);
  for (const pod of pods) {
    killProcesses(pod);
    await flows(await appPod(cluster, "vision"));
    await component("ingest", 2);
  }
  await assertKept();
});

test("ClickHouse is killed: it comes again, and so do the spans", async () => {
  axonize.stores.killClickHouse();
  await flows(await appPod(axonize.cluster, "vision"));
  await assertKept();
});

test("PostgreSQL is killed: spans flow, and the operator works on", async () => {
  axonize.stores.killPostgres();
  await flows(await appPod(axonize.cluster, "vision"));
  await operatorWorks();
  await assertKept();
});

test("the operator that leads is killed: another leads", async () => {
  const { cluster } = axonize;
  const leader = await leaderOf();
  killProcesses(leader.pod);
  await eventually("a lease of another life", async () =>
    (await leaderOf()).holder === leader.holder ? undefined : true,
  );
  await operatorWorks();
  await flows(await appPod(cluster, "vision"));
  await component("operator", 2);
});

test("the agent is killed: pods that come and go meanwhile are known all the same", async () => {
  const { cluster } = axonize;
  const [agent] = await readyPods(cluster, agentNamespace, "axonize.io/gpu-pool=gpus", 1);
  assert.ok(agent);
  killProcesses(agent);
  const next = await replaceApp();
  await flows(next);
  await readyPods(cluster, agentNamespace, "axonize.io/gpu-pool=gpus", 1);
  await isOnItsSlice(next);
});

test("the API server is killed: spans flow without it, and all wishes are heard after it", async () => {
  const { cluster } = axonize;
  await cluster.killApiserver();
  // No pod can be asked for now; the one that runs is where it was.
  await flows(lastApp, 400);
  await cluster.startApiserver();
  await eventually("the API answers", async () => ((await cluster.isReady()) ? true : undefined));
  await operatorWorks();
  await replaceApp();
  const next = await injectedPod(cluster, "vision");
  lastApp = next;
  await flows(next);
  await isOnItsSlice(next);
});

test("at the end everything acknowledged is there, once", async () => {
  const pod = await appPod(axonize.cluster, "vision");
  const { acknowledged: last } = await drained(pod);
  acknowledged.push(...last);
  assert.ok(acknowledged.length > 1_000, `only ${acknowledged.length} spans were sent`);
  await assertAllStored(axonize.stores, acknowledged);
  for (const [name, count] of [
    ["ingest", 2],
    ["operator", 2],
    ["dashboard", 1],
  ] as const) {
    await component(name, count);
  }
});

async function component(name: string, count: number): Promise<Pod[]> {
  const { cluster } = axonize;
  return await readyPods(cluster, namespace, `app.kubernetes.io/component=${name}`, count);
}

async function assertKept(): Promise<void> {
  const state = await stateOf(await appPod(axonize.cluster, "vision"));
  await assertAllStored(axonize.stores, [...acknowledged, ...state.acknowledged]);
}

async function leaderOf(): Promise<{ holder: string; pod: Pod }> {
  const leases = await getJson<{ items: { spec: { holderIdentity?: string } }[] }>(
    axonize.cluster,
    "leases",
    "-n",
    namespace,
  );
  const pods = await getJson<{ items: Pod[] }>(
    axonize.cluster,
    "pods",
    "-n",
    namespace,
    "-l",
    "app.kubernetes.io/component=operator",
  );
  for (const { spec } of leases.items) {
    const holder = spec.holderIdentity ?? "";
    const pod = pods.items.find(({ metadata }) => holder.startsWith(metadata.name));
    if (pod !== undefined) return { holder, pod };
  }
  throw new Error("nobody holds the lease");
}

/** A wish is fulfilled: keys rotate, which takes the API server, PostgreSQL, a Secret and a status. */
async function operatorWorks(): Promise<void> {
  const { cluster } = axonize;
  rotations += 1;
  const value = `failures-${rotations}`;
  const annotation = `axonize.io/rotate-keys=${value}`;
  await cluster.kubectl("annotate", "--overwrite", "axonizetenant", "team-vision", annotation);
  await settled<TenantStatus>(
    cluster,
    "axonizetenant",
    "team-vision",
    ({ lastHandledRotateAt }) => lastHandledRotateAt === value,
  );
}

/** A new pod in place of the old one, whose promises are remembered. */
async function replaceApp(): Promise<Pod> {
  const { cluster } = axonize;
  const old = await appPod(cluster, "vision");
  acknowledged.push(...(await drained(old)).acknowledged);
  await cluster.kubectl("delete", "pod", old.metadata.name, "-n", "vision", "--wait=true");
  lastApp = await appPod(cluster, "vision");
  return lastApp;
}

async function isOnItsSlice(pod: Pod): Promise<void> {
  const key = await secretValue(axonize.cluster, namespace, "team-vision-read", "AXONIZE_API_KEY");
  const slice = (await stateOf(pod)).environment["NVIDIA_VISIBLE_DEVICES"];
  await eventually("the pod's calls are on its slice", async () => {
    const { items } = await axonize.api<{
      items: { pod: string; gpus: string[]; gpuLevel: string }[];
    }>("/api/v1/traces?from=-1h&limit=50", key);
    const own = items.filter((each) => each.pod === pod.metadata.name);
    if (own.length === 0) throw new Error("no call of it yet");
    const wrong = own.find(
      ({ gpus, gpuLevel }) => gpuLevel !== "exact.single" || gpus.join() !== slice,
    );
    if (wrong !== undefined) throw new Error(JSON.stringify(wrong));
    return true;
  });
}
