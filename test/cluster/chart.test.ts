/**
 * The chart as Helm renders it: linted, the same at every render and under both Helms, accepted whole by
 * a real apiserver, and by Pod Security's level restricted. Its values are `chart-values.test.ts`, its
 * life on a cluster `chart-release.test.ts`.
 */
import assert from "node:assert/strict";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ensureBinaries } from "../../tools/k8s/binaries.ts";
import { startControlPlane, type ControlPlane } from "../../tools/k8s/control-plane.ts";
import { foreignCrds } from "./support/foreign-crds.ts";
import {
  chart,
  createHelm,
  namespace,
  objectsOf,
  render,
  root,
  valueSets,
  workloadsOf,
  type Helm,
  type Manifest,
} from "./support/helm.ts";

const home = mkdtempSync(join(tmpdir(), "axonize-chart-"));
let helm: Helm;
let helm3: Helm;
let cluster: ControlPlane;
/** Set → what Helm 4 renders of it. */
const rendered = new Map<string, string>();

before(async () => {
  const binaries = await ensureBinaries(["helm", "helm3"]);
  helm = createHelm(binaries.helm, { home });
  helm3 = createHelm(binaries.helm3, { home });
  for (const { name, file } of valueSets) rendered.set(name, await render(helm, "-f", file));
  cluster = await startControlPlane();
});
after(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

const textOf = (set: string): string => {
  const text = rendered.get(set);
  assert.ok(text !== undefined, `no set ${set}`);
  return text;
};
const setObjects = (set: string): Manifest[] => objectsOf(textOf(set));

/** Holds `check` for every set; `check` answers with what is wrong. */
function holdForAll(check: (objects: Manifest[], set: string) => readonly string[]): void {
  const wrong = valueSets.flatMap(({ name }) =>
    check(setObjects(name), name).map((text) => `${name}: ${text}`),
  );
  assert.deepEqual(wrong, []);
}

const nameOf = (object: Manifest): string => `${object.kind} ${object.metadata.name}`;

test("both Helms lint every set of values without a warning", async () => {
  assert.ok(valueSets.length >= 6, `${valueSets.length} sets`);
  for (const { name, file } of valueSets) {
    for (const each of [helm, helm3]) {
      const answer = await each("lint", "--strict", chart, "--namespace", namespace, "-f", file);
      assert.ok(answer.ok, `${name}: ${answer.stdout}${answer.stderr}`);
      assert.doesNotMatch(answer.stdout, /\[(WARNING|ERROR)\]/, name);
    }
  }
});

test("a second render is the same to the byte, and both Helms render the same objects", async () => {
  for (const { name, file } of valueSets) {
    assert.equal(await render(helm, "-f", file), textOf(name), name);
    // A Helm that was built from source does not know which Kubernetes it is for.
    const others = objectsOf(await render(helm3, "-f", file, "--kube-version", "1.36.0"));
    const sorted = (objects: readonly Manifest[]): Manifest[] =>
      objects.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    assert.deepEqual(sorted(others), sorted(setObjects(name)), name);
  }
});

test("a real apiserver accepts every object of every set, strictly, and has nothing to warn of", async () => {
  for (const crd of await foreignCrds()) await cluster.apply(crd);
  for (const name of [namespace, "axonize-agents", "gpu-agents", "vision", "speech"]) {
    await cluster.apply([
      {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: {
          name,
          labels: name === namespace ? { "pod-security.kubernetes.io/warn": "restricted" } : {},
        },
      },
    ]);
  }
  // Of the custom resource definitions the policies' parameters are checked.
  await cluster.apply(
    setObjects("default").filter(({ kind }) => kind === "CustomResourceDefinition"),
  );
  for (const plural of ["axonizetenants.axonize.io", "httproutes.gateway.networking.k8s.io"]) {
    await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}`);
  }
  for (const { name } of valueSets) {
    const file = join(home, `${name}.json`);
    const items = setObjects(name).filter(({ kind }) => kind !== "Namespace");
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    const answer = await cluster.kubectl(
      "apply",
      "--server-side",
      "--force-conflicts",
      "--dry-run=server",
      "--validate=strict",
      "--warnings-as-errors",
      "-f",
      file,
    );
    const accepted = answer.trim().split("\n");
    assert.equal(accepted.length, items.length, `${name}:\n${answer}`);
  }
});

test("a pod of every workload is taken where the Pod Security level restricted is enforced", async () => {
  const strict = "restricted-pods";
  await cluster.apply([
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: strict, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    },
  ]);
  const refused: string[] = [];
  for (const { name } of valueSets) {
    for (const { object, spec } of workloadsOf(setObjects(name))) {
      // Accounts and priority classes are of other tests; Pod Security does not look at them.
      const { serviceAccountName: _, priorityClassName: _class, ...rest } = spec;
      const answer = await cluster.request("POST", `/api/v1/namespaces/${strict}/pods?dryRun=All`, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "pod" },
        spec: { ...rest, serviceAccountName: "default", volumes: withoutClaims(spec) },
      });
      if (answer.status !== 201) refused.push(`${name}: ${nameOf(object)}: ${answer.body}`);
    }
  }
  assert.deepEqual(refused, []);
});

/** A StatefulSet's claims are volumes of its pods that the template does not list. */
function withoutClaims(spec: {
  volumes?: readonly object[];
  containers: readonly unknown[];
}): object[] {
  const volumes = [...(spec.volumes ?? [])];
  const isNamed = volumes.some((volume) => "name" in volume && volume.name === "data");
  return isNamed ? volumes : [...volumes, { name: "data", emptyDir: {} }];
}

test("agents' namespace alone is privileged", () => {
  holdForAll((objects) =>
    objects
      .filter(({ kind }) => kind === "Namespace")
      .filter(
        ({ metadata }) =>
          metadata.labels?.["pod-security.kubernetes.io/enforce"] !== "privileged" ||
          metadata.name === namespace,
      )
      .map((object) => nameOf(object)),
  );
  const made = setObjects("default").filter(({ kind }) => kind === "Namespace");
  assert.deepEqual(
    made.map(({ metadata }) => metadata.name),
    ["axonize-agents"],
  );
  assert.ok(!setObjects("hardened").some(({ kind }) => kind === "Namespace"));
});

test("no list that is keyed by name has a name twice", () => {
  const duplicates = (names: readonly string[]): string[] =>
    names.filter((name, index) => names.indexOf(name) !== index);
  holdForAll((objects) => [
    ...workloadsOf(objects).flatMap(({ object, spec, containers }) => [
      ...duplicates((spec.volumes ?? []).map(({ name }) => name)).map((name) => `volume ${name}`),
      ...duplicates(containers.map(({ name }) => name)).map((name) => `container ${name}`),
      ...containers.flatMap(({ name, env = [], ports = [], volumeMounts = [] }) =>
        [
          ...duplicates(env.map((each) => each.name)).map((each) => `env ${each}`),
          ...duplicates(ports.map((each) => each.name)).map((each) => `port ${each}`),
          ...duplicates(ports.map((each) => String(each.containerPort))),
          ...duplicates(volumeMounts.map((each) => each.mountPath)).map((each) => `mount ${each}`),
        ].map((text) => `${nameOf(object)} ${name}: ${text}`),
      ),
    ]),
    ...duplicates(
      objects.map((object) => `${nameOf(object)} in ${object.metadata.namespace ?? "the cluster"}`),
    ),
  ]);
});

test("containers are bounded, probed and closed as they should be", () => {
  holdForAll((objects, set) =>
    workloadsOf(objects).flatMap(({ object, spec, containers }) =>
      containers.flatMap((container) => {
        const wrong: string[] = [];
        const security = container.securityContext ?? {};
        if (security["readOnlyRootFilesystem"] !== true) wrong.push("its root can be written");
        if (container.resources?.limits?.["memory"] === undefined) wrong.push("no memory limit");
        if (container.resources?.requests?.["cpu"] === undefined) wrong.push("no CPU request");
        const isServer = ["Deployment", "StatefulSet"].includes(object.kind);
        const isMain = spec.containers.includes(container);
        if (isServer && isMain) {
          for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
            if (container[probe] === undefined) wrong.push(`no ${probe}`);
          }
          // A store that is away must not restart what waits for it.
          const liveness = container["livenessProbe"] as { httpGet: { path: string } };
          if (liveness.httpGet.path !== "/healthz") wrong.push("liveness asks more than /healthz");
        }
        const usesToken = /-(operator|ingest|cleanup)$/.test(object.metadata.name);
        if (spec.automountServiceAccountToken !== usesToken)
          wrong.push("a token it has no use for");
        if (set === "registry") {
          const expected = "registry.example.com/mirror/";
          if (!container.image.startsWith(expected)) wrong.push(container.image);
          const secrets = JSON.stringify(spec["imagePullSecrets"]);
          if (secrets !== '[{"name":"pull-secret"},{"name":"second"}]') wrong.push(secrets);
        }
        return wrong.map((text) => `${nameOf(object)} ${container.name}: ${text}`);
      }),
    ),
  );
});

test("every object carries the standard labels and the common ones; selectors never change", () => {
  const volatile = new Set(["helm.sh/chart", "app.kubernetes.io/version", "team"]);
  holdForAll((objects, set) =>
    objects
      .filter(({ kind, apiVersion }) => kind !== "CustomResourceDefinition" && !isFixed(apiVersion))
      .filter(({ metadata }) => !/-(note|more)$/.test(metadata.name))
      .flatMap((object) => {
        const labels = object.metadata.labels ?? {};
        const wrong = ["name", "instance", "managed-by", "version", "component"].filter(
          (label) => labels[`app.kubernetes.io/${label}`] === undefined,
        );
        if (set === "registry") {
          if (labels["team"] !== "platform") wrong.push("the common label");
          if (object.metadata.annotations?.["example.com/owner"] === undefined) {
            if (!/^(Role|ClusterRole)$/.test(object.kind) || object.metadata.annotations) {
              wrong.push("the common annotation");
            }
          }
        }
        const { selector } = (object["spec"] ?? {}) as { selector?: { matchLabels?: object } };
        const keys = Object.keys(selector?.matchLabels ?? {});
        wrong.push(...keys.filter((key) => volatile.has(key)));
        return wrong.map((text) => `${nameOf(object)} lacks or must not have: ${text}`);
      }),
  );
});

/** Policies and webhooks come from files that are the same in every release. */
const isFixed = (apiVersion: string): boolean => apiVersion.startsWith("admissionregistration");

test("an autoscaler owns the replicas", () => {
  const specOf = (set: string): { replicas?: number } => {
    const found = setObjects(set).find((object) => nameOf(object) === "Deployment axonize-ingest");
    return found?.["spec"] ?? assert.fail("no Deployment");
  };
  assert.equal(specOf("default").replicas, 2);
  assert.ok(!("replicas" in specOf("production")));
  const kinds = (set: string): string[] => setObjects(set).map(({ kind }) => kind);
  assert.ok(kinds("production").includes("HorizontalPodAutoscaler"));
  assert.ok(!kinds("default").includes("HorizontalPodAutoscaler"));
});

test("custom resource definitions are the generated ones, and stay", () => {
  const crds = setObjects("default").filter(({ kind }) => kind === "CustomResourceDefinition");
  assert.deepEqual(crds.map(({ metadata }) => metadata.name).sort(), [
    "axonizetenants.axonize.io",
    "gpupools.axonize.io",
    "injectionprofiles.axonize.io",
  ]);
  for (const crd of crds) {
    assert.equal(crd.metadata.annotations?.["helm.sh/resource-policy"], "keep", crd.metadata.name);
    assert.ok(JSON.stringify(crd).length < 100 * 1024, crd.metadata.name);
  }
  assert.ok(!setObjects("hardened").some(({ kind }) => kind === "CustomResourceDefinition"));
  assert.ok(!existsSync(join(chart, "crds")), "crds/ is never upgraded");
  // A custom resource in the release would be applied before its definition is there.
  holdForAll((objects) =>
    objects.filter(({ apiVersion }) => apiVersion.startsWith("axonize.io/")).map(nameOf),
  );
});

test("NOTES say the tenant and the pool that the README says", async () => {
  const manifestsOf = (text: string): string => {
    const [, said = ""] = /kubectl apply -f - <<EOF\n(.*?)\n *EOF\n/s.exec(text) ?? [];
    assert.ok(said.includes("kind: GpuPool"), text);
    const indent = /^ */.exec(said)?.[0] ?? "";
    return said.replaceAll(new RegExp(`^${indent}`, "gm"), "");
  };
  const installed = await helm("install", "axonize", chart, "-n", namespace, "--dry-run=client");
  assert.ok(installed.ok, installed.stderr);
  const notes = installed.stdout.slice(installed.stdout.indexOf("\nNOTES:"));
  assert.equal(manifestsOf(notes), manifestsOf(readFileSync(join(root, "README.md"), "utf8")));
});

test("no template draws a random value, looks into a cluster or renders a Secret's content", () => {
  const offenders = globSync("templates/**/*", { cwd: chart })
    .filter((path) => /\.(ya?ml|tpl|txt)$/.test(path))
    .filter((path) =>
      /\b(rand\w+|gen(CA|Cert|PrivateKey|SelfSigned\w*|SignedCert)|lookup|now|uuidv4|htpasswd|derivePassword)\b\s+["($.]/.test(
        readFileSync(join(chart, path), "utf8"),
      ),
    );
  assert.deepEqual(offenders, []);
  // A ServiceAccount's token: the API server puts it in, and nobody takes it out again.
  const isToken = (object: Manifest): boolean =>
    object["type"] === "kubernetes.io/service-account-token" && !("data" in object);
  holdForAll((objects) =>
    objects.filter((object) => object.kind === "Secret" && !isToken(object)).map(nameOf),
  );
});
