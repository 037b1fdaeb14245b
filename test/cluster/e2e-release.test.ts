// The life of a release under load: an upgrade and a rollback that lose no span and restart no agent, an
// uninstall that leaves nothing of ours in the way, and an installation anew that finds what was stored.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "./support/eventually.ts";
import { chart, namespace } from "./support/helm.ts";
import {
  agentNamespace,
  secretValue,
  startInstallation,
  startWorkload,
  type Installation,
} from "./support/installation.ts";
import { appPod, assertAllStored, drained, flows, injectedPod, stateOf } from "./support/load.ts";
import { getJson, readyPods, type Pod } from "./support/objects.ts";
import { remainsOf } from "./support/remains.ts";
import { assertUninstalled, settled, type TenantStatus } from "./support/wishes.ts";

/** Until everything is ready, within what a loaded machine needs. */
const patiently = ["--wait", "--timeout", "4m"] as const;

let axonize: Installation;
let app: Pod;

before(async () => {
  axonize = await startInstallation(console.log);
  app = await startWorkload(axonize.cluster);
});
after(async () => {
  await axonize?.[Symbol.asyncDispose]();
});

test("an upgrade replaces every pod but the agents', and no span is lost or refused", async () => {
  const before = await namesOf("axonize-system");
  const agent = await agentUid();
  // Another template for every pod of the chart, as a new version would have.
  const change = ["--set-string", "commonAnnotations.example\\.com/release=2"];
  await axonize.mustHelm(
    "upgrade",
    "axonize",
    chart,
    ...axonize.valueArgs,
    ...change,
    ...patiently,
  );
  await nothingIsLost();
  assert.equal(await agentUid(), agent, "the agent was restarted");
  const now = await namesOf(namespace);
  assert.deepEqual(
    now.filter((name) => before.includes(name)),
    [],
    "these pods are the old ones",
  );
});

test("a rollback does the same backwards", async () => {
  const agent = await agentUid();
  await axonize.mustHelm("rollback", "axonize", "1", "--namespace", namespace, ...patiently);
  await nothingIsLost();
  assert.equal(await agentUid(), agent, "the agent was restarted");
});

test("an uninstall leaves no finalizer, label, policy, webhook, right or Secret", async () => {
  const { cluster, mustHelm } = axonize;
  await drained(app);
  await mustHelm("uninstall", "axonize", "--namespace", namespace, ...patiently);
  // What is deleted together with a namespace or in the background takes its time.
  await eventually("nothing remains", async () => {
    const remains = await remainsOf(cluster, isTheTests);
    if (remains.length > 0) throw new Error(`\n${remains.join("\n")}`);
    return true;
  });
  const { items } = await getJson<{ items: Pod[] }>(cluster, "pods", "-n", "vision");
  assert.deepEqual(
    items.map(({ metadata }) => metadata.uid),
    [app.metadata.uid],
    "the application runs as before",
  );
  const node = await getJson<{ metadata: { labels: Record<string, string> } }>(
    cluster,
    "node",
    cluster.nodeName,
  );
  assert.equal(node.metadata.labels["axonize.io/gpu-pool"], undefined);
  await assertUninstalled(cluster, "axonizetenant", "team-vision");
  await assertUninstalled(cluster, "gpupool", "gpus");
});

test("pods start without us, and installed anew it finds tenants and their data", async () => {
  const { cluster, mustHelm, valueArgs } = axonize;
  const old = (await stateOf(app)).acknowledged;
  await cluster.kubectl("delete", "pod", app.metadata.name, "-n", "vision");
  const bare = await appPod(cluster, "vision");
  assert.equal((await stateOf(bare)).environment["AXONIZE_ENDPOINT"], undefined);
  await mustHelm("install", "axonize", chart, ...valueArgs, ...patiently);
  // The pod from before runs on without, and that is told.
  await settled<TenantStatus>(
    cluster,
    "axonizetenant",
    "team-vision",
    ({ namespaces }) => namespaces?.some(({ uninjectedPods }) => uninjectedPods === 1) === true,
  );
  const events = await cluster.kubectl("get", "events", "-A", "-o", "json");
  assert.match(events, new RegExp(`"PodsNotInjected"`));
  assert.match(events, new RegExp(`A pod was made before .* vision/${bare.metadata.name}\\.`));
  await cluster.kubectl("delete", "pod", bare.metadata.name, "-n", "vision");
  app = await injectedPod(cluster, "vision");
  await flows(app);
  await assertAllStored(axonize.stores, [...old, ...(await stateOf(app)).acknowledged]);
  const key = await secretValue(cluster, namespace, "team-vision-read", "AXONIZE_API_KEY");
  const trace = String(old[0]).split(":")[0];
  await eventually("a trace of before the uninstall", async () =>
    axonize.api<object>(`/api/v1/traces/${trace}`, key),
  );
});

/** Nothing failed, nothing is missing: a rolling update is nobody's trouble. */
async function nothingIsLost(): Promise<void> {
  await flows(app);
  const state = await stateOf(app);
  assert.deepEqual(state.failures, []);
  await assertAllStored(axonize.stores, state.acknowledged);
}

async function agentUid(): Promise<string> {
  const [agent] = await readyPods(axonize.cluster, agentNamespace, "axonize.io/gpu-pool=gpus", 1);
  return agent?.metadata.uid ?? "";
}

async function namesOf(space: string): Promise<string[]> {
  const { items } = await getJson<{ items: Pod[] }>(axonize.cluster, "pods", "-n", space);
  return items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata.name);
}

/**
 * The namespace and the Secret that the tests made, the rights of the test cluster's own helpers, and what
 * the API server makes of the definitions, which stay.
 */
function isTheTests(found: string): boolean {
  return (
    found === `Namespace ${namespace}` ||
    found === `Secret ${namespace}/axonize-keys` ||
    found === "APIService v1alpha1.axonize.io" ||
    /^ClusterRole(Binding)? axonize-test:/.test(found)
  );
}
