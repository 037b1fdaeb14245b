/**
 * A control plane with our CRDs, the namespaces and profiles of the golden pods, and a client as the
 * operator has it. What injects is the test's to install.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "@axonize/core/runtime/clock";
import type { Pod, Profile } from "../../../operator/injection/pod.ts";
import { mutate } from "../../../operator/injection/mutate.ts";
import { patched } from "../../../operator/injection/testing/apply-patch.ts";
import { createAccess, type ClusterAccess } from "../../../operator/kube/access.ts";
import { createKubeClient, openGate } from "../../../operator/kube/client.ts";
import { injectionProfiles } from "../../../operator/kube/kinds.ts";
import { createTransport } from "../../../operator/kube/transport.ts";
import type { KubeClient, KubeObject } from "../../../operator/kube/types.ts";
import { group, labels, profileName, version } from "../../../operator/resources/crds/names.ts";
import { customResources } from "../../../scripts/generate/crds.ts";
import {
  startControlPlane,
  type ControlPlane,
  type ControlPlaneOptions,
} from "../../../tools/k8s/control-plane.ts";
import { sidecarAnnotations, startSidecarWebhook } from "./sidecar-webhook.ts";
import { goldenPods, otherNamespaces, profiles, type GoldenPod } from "./golden-pods.ts";

const root = join(import.meta.dirname, "../../..");
export const operatorNamespace = "axonize-system";

export interface InjectionCluster extends AsyncDisposable {
  readonly cluster: ControlPlane;
  readonly client: KubeClient;
  readonly access: ClusterAccess;
  /** Makes the pod, without keeping it. */
  make(pod: GoldenPod): Promise<Made>;
}

export interface Made {
  readonly status: number;
  readonly pod: Pod & KubeObject;
  readonly message: string;
}

/** A file of the chart, with what its template puts in. */
export const chartFile = (name: string, names: Readonly<Record<string, string>> = {}): string =>
  Object.entries(names).reduce(
    (text, [placeholder, value]) => text.replaceAll(placeholder, value),
    readFileSync(join(root, "charts/axonize/files", name), "utf8"),
  );

export async function startInjectionCluster(
  options: ControlPlaneOptions = {},
): Promise<InjectionCluster> {
  const cluster = await startControlPlane(options);
  try {
    for (const { plural } of customResources) {
      await cluster.apply(chartFile(`crds/${group}_${plural}.yaml`));
    }
    for (const { plural } of customResources) {
      await cluster.kubectl("wait", "--for=condition=Established", `crd/${plural}.${group}`);
    }
    await cluster.apply([...namespacesAndProfiles()]);
    const access = await createAccess(
      { clock: systemClock },
      { kubeconfig: cluster.kubeconfigFile, serviceHost: undefined, servicePort: undefined },
    );
    const transport = createTransport(
      { access, clock: systemClock },
      { userAgent: "axonize-operator/test" },
    );
    return {
      cluster,
      access,
      client: createKubeClient({ transport, gate: openGate }),
      make: async (pod) => await make(cluster, pod),
      [Symbol.asyncDispose]: async () => {
        await transport.close();
        await cluster[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
}

function* namespacesAndProfiles(): Generator<object> {
  const namespace = (name: string, labelled: Readonly<Record<string, string>>): object => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: labelled },
  });
  yield namespace(operatorNamespace, {});
  for (const name of otherNamespaces) {
    yield namespace(name, name === "no-label" ? {} : { [labels.injection]: "OptOut" });
  }
  for (const [name, spec] of Object.entries(profiles)) {
    yield namespace(name, { [labels.injection]: spec.mode });
    yield profileObject(name, spec);
  }
  yield profileObject("no-label", profiles["opt-out"]);
}

const profileObject = (namespace: string, spec: object): object => ({
  apiVersion: `${group}/${version}`,
  kind: "InjectionProfile",
  metadata: { name: profileName, namespace },
  spec,
});

async function make(cluster: ControlPlane, golden: GoldenPod): Promise<Made> {
  const { namespace, annotations, labels: own, ownerReferences, spec } = golden;
  const answer = await cluster.request(
    "POST",
    `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`,
    {
      apiVersion: "v1",
      kind: "Pod",
      // What is not there is no key of the JSON.
      metadata: { name: "golden", annotations, labels: own, ownerReferences },
      spec,
    },
  );
  const pod = JSON.parse(answer.body);
  return { status: answer.status, pod, message: String(pod.message ?? "") };
}

/** As the apiserver fills it in, with nothing of ours: from a namespace that nothing injects into. */
export async function plain(on: InjectionCluster, golden: GoldenPod): Promise<Pod & KubeObject> {
  const { status, pod, message } = await on.make({ ...golden, namespace: "no-label" });
  assert.equal(status, 201, message);
  return pod;
}

/** What the table says that becomes of it. */
export async function expected(on: InjectionCluster, golden: GoldenPod): Promise<Pod & KubeObject> {
  const before = await plain(on, golden);
  if (golden.namespace === "no-label" || golden.namespace === "no-profile") return before;
  const profile = await on.client.get<KubeObject & Profile>({
    kind: injectionProfiles,
    name: profileName,
    namespace: golden.namespace,
  });
  assert.ok(profile);
  return patched(before, mutate(before, profile));
}

/** Of a pod what does not differ from one creation to the next, filled in as the apiserver does. */
export const comparable = ({ metadata, spec }: Pod & KubeObject): object => ({
  annotations: metadata.annotations ?? {},
  spec: {
    ...spec,
    // The field's default in an env entry, and a Secret volume's mode.
    containers: spec.containers.map((container) => ({
      ...container,
      env: container.env?.map(({ name, value, valueFrom }) => ({
        name,
        value: value === "" ? undefined : value,
        valueFrom: filled(valueFrom),
      })),
    })),
    volumes: spec.volumes?.map((volume) =>
      volume.secret === undefined
        ? volume
        : { ...volume, secret: { defaultMode: 420, ...volume.secret } },
    ),
  },
});

const filled = (valueFrom: unknown): unknown =>
  typeof valueFrom === "object" && valueFrom !== null && "fieldRef" in valueFrom
    ? { fieldRef: { apiVersion: "v1", ...(valueFrom.fieldRef as object) } }
    : valueFrom;

/** Every golden pod comes out as the table says. */
export async function holdGoldenPods(on: InjectionCluster): Promise<void> {
  for (const golden of goldenPods) {
    const { status, pod, message } = await on.make(golden);
    assert.equal(status, 201, `${golden.title}: ${message}`);
    const isInjected = "axonize.io/injected" in (pod.metadata.annotations ?? {});
    assert.equal(isInjected, golden.isInjected, golden.title);
    assert.deepEqual(
      JSON.parse(JSON.stringify(comparable(pod))),
      JSON.parse(JSON.stringify(comparable(await expected(on, golden)))),
      golden.title,
    );
  }
}

/** With another webhook that adds a container after us: what it adds is injected, unless the first was meant. */
export async function holdSidecars(on: InjectionCluster): Promise<void> {
  await using sidecar = await startSidecarWebhook();
  await on.cluster.apply([sidecar.configuration]);
  const containersIn = async (namespace: "opt-out" | "first") => {
    const { pod } = await on.make({
      title: "with a sidecar",
      namespace,
      annotations: sidecarAnnotations,
      spec: { containers: [{ name: "app", image: "app:1" }] },
      isInjected: true,
    });
    return pod.spec.containers.map(({ name, env }) => ({
      name,
      env: env?.map((one) => one.name) ?? [],
    }));
  };
  await until("the sidecar comes", async () => (await containersIn("opt-out")).length === 2);
  const [proxy, app] = await containersIn("opt-out");
  assert.equal(proxy?.name, "proxy");
  assert.ok(app);
  assert.ok(app.env.includes("AXONIZE_CONTAINER"));
  assert.deepEqual(proxy.env, app.env);
  assert.equal(new Set(app.env).size, app.env.length, "no name twice");
  const [otherProxy, first] = await containersIn("first");
  assert.deepEqual(otherProxy, { name: "proxy", env: [] }, "the first container was the app");
  assert.deepEqual(first?.env, app.env);
  await on.cluster.kubectl("delete", "mutatingwebhookconfiguration", "zz-sidecar");
}

/** Until what injects is in effect: the apiserver takes a policy or webhook up within moments. */
export async function untilInjected(on: InjectionCluster, isInjected = true): Promise<void> {
  const [first] = goldenPods;
  assert.ok(first);
  await until(`pods are ${isInjected ? "" : "not "}injected`, async () => {
    const { pod } = await on.make(first);
    return "axonize.io/injected" in (pod.metadata?.annotations ?? {}) === isInjected;
  });
}

export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `not within a minute: ${what}`);
    await systemClock.sleep(50);
  }
}
