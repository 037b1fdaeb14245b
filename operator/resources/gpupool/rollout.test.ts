/** The agents' template, held by a file; and what an upgrade of the operator does to it: nothing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { GpuPoolSpec } from "../crds/gpu-pool.ts";
import { daemonSetAnnotations as marks } from "./names.ts";
import { planRollout, type LiveDaemonSet } from "./rollout.ts";
import { configMapOf, daemonSetOf, poolConfigOf, type AgentOptions } from "./template.ts";

const options: AgentOptions = {
  namespace: "axonize-agents",
  cluster: "prod",
  ingestEndpoint: "axonize-ingest.axonize-system.svc:4317",
  kubeletDirectory: "/var/lib/kubelet",
  stateDirectory: "/var/lib/axonize-agent",
  fakeDriverDirectory: "/var/lib/axonize-fake-driver",
};
const identity = { name: "h100", uid: "uid-of-h100" };
const spec = (given: object = {}): GpuPoolSpec => GpuPoolSpec.parse(given);
const plan = (
  given: object,
  live: LiveDaemonSet | undefined,
  of: { upgrade?: string; bundled?: string; options?: AgentOptions } = {},
) =>
  planRollout({ ...identity, upgrade: of.upgrade }, spec(given), {
    options: of.options ?? options,
    bundledImage: of.bundled ?? "agent:1",
    live,
  });
const annotationsOf = (rollout: ReturnType<typeof plan>): LiveDaemonSet =>
  rollout.daemonSet.metadata.annotations;

test("span rings are mounted where the pool asks for them, and cost no other pool a restart", () => {
  const image = { image: "agent:1", from: "Operator", upgrade: "" } as const;
  const rendered = (agent: object) =>
    daemonSetOf(identity, spec({ agent }), { options, image }).spec.template.spec;
  const path = "/var/lib/axonize-span-rings";
  const [on] = rendered({ spanRing: "Enabled" }).containers;
  assert.ok(on);
  assert.ok(on.env.some((each) => "value" in each && each["value"] === path));
  assert.deepEqual(on.volumeMounts.at(-1), { name: "span-rings", mountPath: path });
  assert.deepEqual(rendered({ spanRing: "Enabled" }).volumes.at(-1), {
    name: "span-rings",
    hostPath: { path, type: "DirectoryOrCreate" },
  });
  // Rings are other users' files: root without it may not open them.
  const { capabilities } = on.securityContext as { capabilities: { add?: string[] } };
  assert.deepEqual(capabilities.add, ["DAC_OVERRIDE"]);
  assert.deepEqual(rendered({ spanRing: "Disabled" }), rendered({}));
  assert.doesNotMatch(JSON.stringify(rendered({})), /ring/i);
  const hash = (agent: object) => plan({ agent }, undefined).daemonSet.metadata.annotations;
  assert.notEqual(hash({ spanRing: "Enabled" })[marks.inputsHash], hash({})[marks.inputsHash]);
});

test("the template is the one in test/fixtures: a change of it is announced in the release notes", () => {
  const image = { image: "agent:1", from: "Operator", upgrade: "" } as const;
  const rendered = Object.fromEntries(
    (["PodResourcesOnly", "HostPID", "Privileged"] as const).map((hostAccess) => [
      hostAccess,
      daemonSetOf(identity, spec({ agent: { hostAccess } }), { options, image }),
    ]),
  );
  const path = join(import.meta.dirname, "../../../test/fixtures/agent-daemonset.json");
  const golden: unknown = JSON.parse(readFileSync(path, "utf8"));
  assert.deepEqual(JSON.parse(JSON.stringify(rendered)), golden);
});

test("the fake driver is mounted where the vendor is Fake, and NVIDIA's variables are not set then", () => {
  const image = { image: "agent:1", from: "Operator", upgrade: "" } as const;
  const { template } = daemonSetOf(identity, spec({ vendor: "Fake" }), { options, image }).spec;
  const text = JSON.stringify(template);
  assert.match(text, /"path":"\/var\/lib\/axonize-fake-driver"/);
  assert.match(text, /AXONIZE_NVML_LIBRARY/);
  assert.doesNotMatch(text, /NVIDIA_VISIBLE_DEVICES/);
});

test("sampling is in the ConfigMap and not in the template", () => {
  const [slow, fast] = [
    { sampling: { periodMilliseconds: 5_000, processPeriodMilliseconds: 9_000 } },
    { sampling: { metricSets: ["Power", "Utilization", "Power"] } },
  ];
  const base = annotationsOf(plan({}, undefined));
  for (const each of [slow, fast]) {
    const rollout = annotationsOf(plan(each, undefined));
    assert.equal(rollout[marks.templateHash], base[marks.templateHash]);
    assert.equal(rollout[marks.inputsHash], base[marks.inputsHash]);
  }
  assert.deepEqual(poolConfigOf(spec(slow)), {
    periodMs: 5_000,
    slowPeriodMs: 5_000,
    processPeriodMs: 9_000,
    reportPeriodMs: 5_000,
    metricSets: ["Errors", "Memory", "Power", "Thermal", "Utilization"],
    hostAccess: "PodResourcesOnly",
    overheadBudgetMillicores: 50,
  });
  assert.deepEqual(poolConfigOf(spec(fast)).metricSets, ["Power", "Utilization"]);
  const text = configMapOf(identity, spec(), "axonize-agents").data["pool.json"];
  assert.deepEqual(JSON.parse(text), poolConfigOf(spec()));
});

test("the first image stays through upgrades until the pool says otherwise", () => {
  const first = plan({}, undefined);
  assert.deepEqual([first.image.image, first.isHeldBack], ["agent:1", false]);
  const live = annotationsOf(first);
  const bundled = "agent:2";
  const kept = plan({}, live, { bundled });
  assert.deepEqual([kept.image.image, kept.isHeldBack], ["agent:1", false]);
  assert.deepEqual(annotationsOf(kept), live);

  const once = plan({}, live, { bundled, upgrade: "november" });
  assert.equal(once.image.image, "agent:2");
  const after = annotationsOf(once);
  const next = { bundled: "agent:3" };
  for (const upgrade of ["november", undefined]) {
    const still = plan({}, after, { ...next, ...(upgrade === undefined ? {} : { upgrade }) });
    assert.deepEqual([still.image.image, annotationsOf(still)], ["agent:2", after], upgrade);
  }
  assert.equal(plan({}, after, { ...next, upgrade: "december" }).image.image, "agent:3");
  const following = plan({}, after, { ...next, upgrade: "Follow" });
  const followed = plan({}, annotationsOf(following), { bundled: "agent:4", upgrade: "Follow" });
  assert.equal(followed.image.image, "agent:4");
});

test("an image of the spec is the user's word, and leaving it out gives the operator's own", () => {
  const live = annotationsOf(plan({}, undefined));
  const pinned = plan({ agent: { image: "mine:7" } }, live, { bundled: "agent:2" });
  assert.equal(pinned.image.image, "mine:7");
  const freed = plan({}, annotationsOf(pinned), { bundled: "agent:2" });
  assert.equal(freed.image.image, "agent:2");
});

test("a template that another version of the operator rendered stays until something is told", () => {
  const live = {
    ...annotationsOf(plan({}, undefined)),
    [marks.templateHash]: "of-the-version-before",
  };
  const held = plan({}, live);
  assert.deepEqual([held.isHeldBack, held.templateHash], [true, "of-the-version-before"]);
  for (const told of [
    plan({ agent: { hostAccess: "HostPID" } }, live),
    plan({ agent: { image: "mine:7" } }, live),
    plan({}, live, { upgrade: "now" }),
    plan({}, live, { upgrade: "Follow" }),
    plan({}, live, { options: { ...options, ingestEndpoint: "elsewhere:4317" } }),
  ]) {
    assert.equal(told.isHeldBack, false);
    assert.notEqual(told.templateHash, "of-the-version-before");
  }
});
