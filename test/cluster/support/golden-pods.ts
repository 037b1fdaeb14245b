/**
 * Pods that injection is tried on, the same for the policy and for the webhook, and the namespaces with
 * the profiles that they are made in.
 */
import type { OwnerReference } from "../../../operator/kube/types.ts";
import type { InjectionProfileSpec } from "../../../operator/resources/crds/injection-profile.ts";

export interface GoldenPod {
  readonly title: string;
  readonly namespace: keyof typeof profiles | "no-profile" | "no-label";
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly spec: Readonly<Record<string, unknown>>;
  readonly isInjected: boolean;
}

const profile: InjectionProfileSpec = {
  endpoint: "http://axonize-ingest.axonize-system.svc:4318",
  secretName: "axonize-ingest",
  mode: "OptOut",
  containers: "All",
  delivery: "Env",
};

/** Namespace → its profile. */
export const profiles = {
  "opt-out": {
    ...profile,
    resourceAttributes: {
      team: "vision",
      "deployment.environment.name": "prod",
      "cost.center": "a/b:c",
      z: "1",
      a_b: "2",
    },
  },
  "opt-in": { ...profile, mode: "OptIn" },
  first: { ...profile, containers: "First" },
  files: { ...profile, delivery: "EnvAndFile", secretName: "axonize-other" },
} as const satisfies Readonly<Record<string, InjectionProfileSpec>>;

/** What is also there but for a label or for a profile. */
export const otherNamespaces = ["no-profile", "no-label"] as const;

const app = { name: "app", image: "app:1" };
const withEnv = (...env: readonly object[]) => ({ containers: [{ ...app, env }] });
const yes = { "axonize.io/inject": "true" };
const no = { "axonize.io/inject": "false" };

/** A pod that this controls, as the controllers of Kubernetes make it. */
const ownedBy = (
  owner: string,
  name: string,
  metadata: Pick<GoldenPod, "labels" | "annotations"> = {},
): GoldenPod => {
  const [apiVersion = "", kind = ""] = owner.split(" ");
  const [beside, controller] = [
    { apiVersion: "v1", kind: "ConfigMap", name: "beside", uid: "0" },
    { apiVersion, kind, name, uid: "1", controller: true },
  ];
  return {
    title: `of ${kind} ${name}`,
    namespace: "opt-out",
    ...metadata,
    ownerReferences: [beside, controller],
    spec: { containers: [app] },
    isInjected: true,
  };
};
const said = { "resource.opentelemetry.io/service.name": "said" };
const named = { "app.kubernetes.io/name": "named", "app.kubernetes.io/instance": "instance" };

const reference = (fields: object) => ({ valueFrom: fields });
const manyEnv = Array.from({ length: 200 }, (_, index) => ({
  name: `SETTING_${index}`,
  value: "x".repeat(50),
}));

export const goldenPods: readonly GoldenPod[] = [
  {
    title: "a pod without env",
    namespace: "opt-out",
    spec: { containers: [app] },
    isInjected: true,
  },
  {
    title: "env of the user's, before ours",
    namespace: "opt-out",
    spec: withEnv({ name: "A", value: "1" }, { name: "B", value: "$(A)" }),
    isInjected: true,
  },
  {
    title: "the user's endpoint and attributes",
    namespace: "opt-out",
    spec: withEnv(
      { name: "AXONIZE_ENDPOINT", value: "collector:4317" },
      { name: "OTEL_RESOURCE_ATTRIBUTES", value: "service.name=mine" },
    ),
    isInjected: true,
  },
  {
    title: "references of the user's under our names",
    namespace: "opt-out",
    spec: withEnv(
      {
        name: "AXONIZE_API_KEY",
        ...reference({ secretKeyRef: { name: "own", key: "key" } }),
      },
      {
        name: "OTEL_RESOURCE_ATTRIBUTES",
        ...reference({ configMapKeyRef: { name: "own", key: "attributes", optional: true } }),
      },
      { name: "AXONIZE_POD_NAME", ...reference({ fieldRef: { fieldPath: "metadata.uid" } }) },
    ),
    isInjected: true,
  },
  {
    title: "an exporter to another backend",
    namespace: "opt-out",
    spec: withEnv({ name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value: "http://other:4318" }),
    isInjected: true,
  },
  {
    title: "names that are there twice",
    namespace: "opt-out",
    spec: withEnv(
      { name: "A", value: "1" },
      { name: "A", value: "2" },
      { name: "AXONIZE_POD_IP", value: "1" },
      { name: "AXONIZE_POD_IP", value: "2" },
    ),
    isInjected: true,
  },
  {
    title: "an empty value of the user's",
    namespace: "opt-out",
    spec: withEnv({ name: "AXONIZE_API_KEY" }, { name: "OTEL_EXPORTER_OTLP_HEADERS", value: "" }),
    isInjected: true,
  },
  {
    title: "envFrom that may hold anything, and with prefixes",
    namespace: "opt-out",
    spec: {
      containers: [
        { ...app, envFrom: [{ configMapRef: { name: "settings" } }] },
        { ...app, name: "prefixed", envFrom: [{ prefix: "APP_", secretRef: { name: "s" } }] },
        { ...app, name: "otel", envFrom: [{ prefix: "OTEL_EXPORTER_", secretRef: { name: "s" } }] },
        { ...app, name: "short", envFrom: [{ prefix: "OT", secretRef: { name: "s" } }] },
      ],
    },
    isInjected: true,
  },
  {
    title: "many containers, and init containers, which stay as they are",
    namespace: "opt-out",
    spec: {
      initContainers: [{ ...app, name: "init" }],
      containers: ["a", "b", "c", "d", "e"].map((name) => ({ ...app, name })),
    },
    isInjected: true,
  },
  {
    title: "ten containers with 200 variables each",
    namespace: "opt-out",
    spec: {
      containers: Array.from({ length: 10 }, (_, index) => ({
        ...app,
        name: `app-${index}`,
        env: manyEnv,
      })),
    },
    isInjected: true,
  },
  {
    title: "annotations of others stay",
    namespace: "opt-out",
    annotations: { "example.com/x": "y" },
    spec: { containers: [app] },
    isInjected: true,
  },
  {
    title: "containers that the pod names",
    namespace: "opt-out",
    annotations: { "axonize.io/containers": "b, c" },
    spec: { containers: ["a", "b", "c"].map((name) => ({ ...app, name })) },
    isInjected: true,
  },
  {
    title: "a container that is not there",
    namespace: "opt-out",
    annotations: { "axonize.io/containers": "nobody" },
    spec: { containers: [app] },
    isInjected: false,
  },
  {
    title: "no, in a namespace that says yes",
    namespace: "opt-out",
    annotations: no,
    spec: { containers: [app] },
    isInjected: false,
  },
  {
    title: "nothing said, in a namespace that waits for a yes",
    namespace: "opt-in",
    spec: { containers: [app] },
    isInjected: false,
  },
  {
    title: "yes, in a namespace that waits for it",
    namespace: "opt-in",
    annotations: yes,
    spec: { containers: [app] },
    isInjected: true,
  },
  {
    title: "neither yes nor no",
    namespace: "opt-in",
    annotations: { "axonize.io/inject": "1" },
    spec: { containers: [app] },
    isInjected: false,
  },
  {
    title: "the first container alone",
    namespace: "first",
    spec: { containers: [app, { ...app, name: "side" }] },
    isInjected: true,
  },
  {
    title: "a name wins over the first",
    namespace: "first",
    annotations: { "axonize.io/containers": "side" },
    spec: { containers: [app, { ...app, name: "side" }] },
    isInjected: true,
  },
  {
    title: "a file beside the variables",
    namespace: "files",
    spec: { containers: [app, { ...app, name: "side" }] },
    isInjected: true,
  },
  {
    title: "a file beside volumes of the user's",
    namespace: "files",
    spec: {
      volumes: [{ name: "data", emptyDir: {} }],
      containers: [{ ...app, volumeMounts: [{ name: "data", mountPath: "/data" }] }],
    },
    isInjected: true,
  },
  {
    title: "a volume of the user's under our name",
    namespace: "files",
    spec: { volumes: [{ name: "axonize-key", emptyDir: {} }], containers: [app] },
    isInjected: true,
  },
  {
    title: "a mount of the user's at our path",
    namespace: "files",
    spec: {
      volumes: [{ name: "own", emptyDir: {} }],
      containers: [
        { ...app, volumeMounts: [{ name: "own", mountPath: "/var/run/secrets/axonize.io" }] },
      ],
    },
    isInjected: true,
  },
  {
    title: "a key of the user's needs no file of ours",
    namespace: "files",
    spec: withEnv({ name: "AXONIZE_API_KEY", value: "axk_own" }),
    isInjected: true,
  },
  {
    title: "yes, in a namespace without a profile",
    namespace: "no-profile",
    annotations: yes,
    spec: { containers: [app] },
    isInjected: false,
  },
  {
    title: "yes, in a namespace that is not the tenant's",
    namespace: "no-label",
    annotations: yes,
    spec: { containers: [app] },
    isInjected: false,
  },
  ownedBy("apps/v1 ReplicaSet", "web-7d9f8c6b5", { labels: { "pod-template-hash": "7d9f8c6b5" } }),
  ownedBy("apps/v1 ReplicaSet", "web", { labels: { "pod-template-hash": "7d9f8c6b5" } }),
  ownedBy("apps/v1 StatefulSet", "db"),
  ownedBy("apps/v1 DaemonSet", "per-node", { labels: named, annotations: said }),
  ownedBy("batch/v1 Job", "nightly-29400123"),
  ownedBy("batch/v1 Job", "train-20261129", { labels: { "app.kubernetes.io/name": "" } }),
  ownedBy("ray.io/v1 RayCluster", "ray", { labels: named }),
  ownedBy("batch/v1 Job", "a,service.name=b", {
    annotations: { "resource.opentelemetry.io/service.name": "$(AXONIZE_API_KEY)" },
    labels: { "app.kubernetes.io/name": "named" },
  }),
];
