/**
 * Injection by admission policy, on a real apiserver, with no operator running; and the guard of our
 * namespace labels.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import {
  createInjectionProbe,
  detectInjection,
  injectionFact,
} from "../../operator/injection/detect.ts";
import { operatorAccountPlaceholder } from "../../operator/injection/placeholders.ts";
import { injectionName } from "../../operator/injection/policy.ts";
import {
  chartFile,
  holdGoldenPods,
  holdSidecars,
  operatorNamespace,
  startInjectionCluster,
  until,
  untilInjected,
  type InjectionCluster,
} from "./support/injection-cluster.ts";

let on: InjectionCluster;
const policy = chartFile("injection/policy.yaml");
const operatorAccount = `system:serviceaccount:${operatorNamespace}:axonize-operator`;

before(async () => {
  on = await startInjectionCluster();
});
after(async () => {
  await on[Symbol.asyncDispose]();
});

const fact = async () =>
  await injectionFact(on.client, await detectInjection(on.client), {
    namespace: operatorNamespace,
    now: Date.now(),
  });

test("before the chart is there, the cluster is known to take policies and ours to be missing", async () => {
  assert.equal(await detectInjection(on.client), "policy");
  assert.equal(await detectInjection(on.client, "off"), "unsupported");
  assert.equal(await detectInjection(on.client, "webhook"), "unsupported");
  const { status, reason, message } = await fact();
  assert.deepEqual({ status, reason }, { status: "False", reason: "PolicyMissing" });
  assert.match(message, /no MutatingAdmissionPolicy and no MutatingAdmissionPolicyBinding/);
});

test("golden pods come out as the table says", async () => {
  await on.cluster.apply(policy);
  await untilInjected(on);
  await holdGoldenPods(on);
  const { mechanism, status, reason } = await fact();
  assert.deepEqual(
    { mechanism, status, reason },
    { mechanism: "policy", status: "True", reason: "PolicyActive" },
  );
});

test("a profile that changes shows in the next pod, and its marker tells", async () => {
  const path = "/apis/axonize.io/v1alpha1/namespaces/opt-in/injectionprofiles/axonize";
  const golden = {
    title: "changed",
    namespace: "opt-in",
    annotations: { "axonize.io/inject": "true" },
    spec: { containers: [{ name: "app", image: "app:1" }] },
    isInjected: true,
  } as const;
  const first = await on.make(golden);
  const profile = JSON.parse((await on.cluster.request("GET", path)).body);
  const spec = { ...profile.spec, endpoint: "http://moved:4318" };
  assert.equal((await on.cluster.request("PUT", path, { ...profile, spec })).status, 200);
  await until("the new endpoint is injected", async () => {
    const { pod } = await on.make(golden);
    const endpoint = pod.spec.containers[0]?.env?.find(({ name }) => name === "AXONIZE_ENDPOINT");
    return (
      endpoint?.value === "http://moved:4318" &&
      pod.metadata.annotations?.["axonize.io/injected"] !==
        first.pod.metadata.annotations?.["axonize.io/injected"]
    );
  });
});

test("a container that a later webhook puts in front is injected, too, and nothing comes twice", async () => {
  await holdSidecars(on);
});

test("a mirror of a static pod is not touched", async () => {
  const { pod } = await on.make({
    title: "mirror",
    namespace: "opt-out",
    annotations: { "kubernetes.io/config.mirror": "abc" },
    spec: { nodeName: "node", containers: [{ name: "app", image: "app:1" }] },
    isInjected: false,
  });
  assert.equal(pod.spec?.containers[0]?.env, undefined);
});

test("without its binding the policy is told to be missing, and the probe sees it within a minute", async () => {
  let shift = 0;
  const clock = { ...systemClock, monotonic: () => performance.now() + shift };
  const probe = createInjectionProbe(
    { client: on.client, clock },
    { setting: "auto", namespace: operatorNamespace },
  );
  assert.equal((await probe.fact()).reason, "PolicyActive");
  await on.cluster.kubectl("delete", "mutatingadmissionpolicybinding", injectionName);
  assert.equal((await probe.fact()).reason, "PolicyActive", "remembered");
  shift = 60_000;
  const { reason, message } = await probe.fact();
  assert.equal(reason, "PolicyMissing");
  assert.match(message, /^there is no MutatingAdmissionPolicyBinding axonize-inject/);
});

test("without the profiles' definition pods are made all the same", async () => {
  await on.cluster.apply(policy);
  await untilInjected(on);
  await on.cluster.kubectl("delete", "crd", "injectionprofiles.axonize.io");
  await untilInjected(on, false);
});

test("the policy makes the apiserver panic over nothing", () => {
  const log = readFileSync(join(on.cluster.dir, "log/kube-apiserver.log"), "utf8");
  assert.doesNotMatch(log, /Observed a panic/);
});

const asAdmin = "--as-group=system:masters";
const label = async (as: string, namespace: string, change: string) =>
  await on.cluster.kubectl(
    "label",
    "namespace",
    namespace,
    change,
    "--overwrite",
    `--as=${as}`,
    asAdmin,
  );

/** A PUT of the namespace through a subresource. */
async function putSubresource(subresource: string, namespace: string, labels: object) {
  const path = `/api/v1/namespaces/${namespace}`;
  const before = JSON.parse((await on.cluster.request("GET", path)).body);
  const file = join(on.cluster.dir, `${subresource}.json`);
  const metadata = { ...before.metadata, labels: { ...before.metadata.labels, ...labels } };
  writeFileSync(file, JSON.stringify({ ...before, metadata }));
  return await on.cluster.kubectl(
    "replace",
    "--raw",
    `${path}/${subresource}`,
    "-f",
    file,
    "--as=alice",
    asAdmin,
  );
}

test("the guard lets nobody but the operator change our labels of namespaces, by no path", async () => {
  await on.cluster.apply(
    chartFile("injection/guard.yaml", { [operatorAccountPlaceholder]: operatorAccount }),
  );
  const refused = /labels that begin with axonize.io\/ are written by the Axonize operator/;
  let tries = 0;
  await until("the guard is in effect", async () => {
    try {
      await label("alice", "no-label", `axonize.io/tenant=probe-${(tries += 1)}`);
      return false;
    } catch (error) {
      return refused.test(String(error));
    }
  });
  const bob = async (change: string) => await label("bob", "no-label", change);
  await label(operatorAccount, "no-label", "axonize.io/tenant=vision");
  await assert.rejects(bob("axonize.io/tenant=mine"), refused);
  await assert.rejects(bob("axonize.io/tenant-"), refused);
  await assert.rejects(bob("axonize.io/injection=OptOut"), refused);
  await assert.rejects(bob("axonize.io/anything="), refused);
  await assert.rejects(putSubresource("status", "no-label", { "axonize.io/tenant": "x" }), refused);
  await assert.rejects(
    putSubresource("finalize", "no-label", { "axonize.io/tenant": "x" }),
    refused,
  );
  await assert.rejects(
    on.cluster.apply([namespaceWith("fresh", { "axonize.io/tenant": "vision" })]),
    refused,
  );
});

test("the guard leaves every other change of a namespace alone", async () => {
  await label("bob", "no-label", "team=audio");
  await putSubresource("status", "no-label", {});
  await on.cluster.apply([namespaceWith("fresh", { team: "audio" })]);
  await on.cluster.kubectl("delete", "namespace", "fresh", "--wait=false");
  await label(operatorAccount, "no-label", "axonize.io/tenant-");
});

const namespaceWith = (name: string, labels: object): object => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});
