/**
 * What injection adds to a container, as data. The admission policy (`policy.ts`) and the webhook
 * (`mutate.ts`) are both made of this table, and a test runs both over the same pods.
 *
 * Rules that hold for every row: what the user has set wins; a Secret that is missing never keeps a pod
 * from starting; no value is looked up at admission.
 */
import { annotations, keyHeader, secretKeys } from "../resources/crds/names.ts";

/** A piece of a literal value. */
export type Piece =
  | string
  /** Of the namespace's profile. */
  | { readonly profile: "endpoint" }
  /** The container's name: the downward API does not know it. */
  | { readonly container: true }
  /** `,k8s.deployment.name=…` and what else tells whose pod it is and what it calls its service, or nothing. */
  | { readonly workload: true }
  /** `,k=v,…` of the profile's `resourceAttributes`, sorted, or nothing. */
  | { readonly attributes: true };

export type Source =
  | { readonly field: string }
  /** Key of the profile's Secret, optional. */
  | { readonly secretKey: string }
  | { readonly text: readonly Piece[] };

export interface Variable {
  readonly name: string;
  readonly source: Source;
  /** Also left out where the user has set this one. */
  readonly unless?: string;
  /** Only with this delivery. */
  readonly delivery?: "EnvAndFile";
  /**
   * Names that are read by the OpenTelemetry SDKs, too. `exporter`: left out where any variable of an
   * OTLP exporter is there, as another backend may be meant. Both are left out where an `envFrom` may
   * bring them: its names cannot be seen, and `env` would win over them.
   */
  readonly otel?: "exporter" | "resource";
  readonly doc: string;
}

export const exporterPrefix = "OTEL_EXPORTER_OTLP_";
export const otelPrefix = "OTEL_";

/** Where `EnvAndFile` mounts the Secret: a file is renewed in a running pod, a variable is not. */
export const keyFolder = "/var/run/secrets/axonize.io";
export const keyVolume = "axonize-key";

/**
 * Whose the pod is, as its owner reference says at admission: nothing is looked up. A pod of a Deployment
 * belongs to a ReplicaSet named after it with the hash that the pod has as a label.
 */
export const templateHashLabel = "pod-template-hash";
export const ownerAttributes = {
  "apps/ReplicaSet": "k8s.replicaset.name",
  "apps/StatefulSet": "k8s.statefulset.name",
  "apps/DaemonSet": "k8s.daemonset.name",
  "batch/Job": "k8s.job.name",
} as const;
export const deploymentAttribute = "k8s.deployment.name";
export const cronJobAttribute = "k8s.cronjob.name";
/** A CronJob's Job is named after it with minutes since 1970: 26,000,000 was in 2019; a date is less. */
export const cronJobSuffix = "-(2[6-9]|[3-9][0-9])[0-9]{6}$";
export const cronJobSuffixLength = 9;

/**
 * What a pod calls its service, the first that is there: not injected as `service.name`, which would win
 * over the application's own in some SDKs. Ingest takes it where a span names no service.
 */
export const serviceAnnotation = "resource.opentelemetry.io/service.name";
export const serviceLabels = ["app.kubernetes.io/instance", "app.kubernetes.io/name"] as const;
/** Of names that become values: nothing that ends a pair, is decoded, or is expanded by the kubelet. */
export const plainName = "^[A-Za-z0-9._~:/@+-]{1,253}$";

/** Static pods' mirrors may not name Secrets: the ServiceAccount admission would refuse them. */
export const mirrorAnnotation = "kubernetes.io/config.mirror";
/** The variable that shows that a container was chosen: with `First`, another one must not be. */
export const containerVariable = "AXONIZE_CONTAINER";

/** Path of an annotation in a JSON patch (RFC 6901). */
export const injectedPath = `/metadata/annotations/${annotations.injected.replaceAll("/", "~1")}`;

/** `$(X)` is filled in by the kubelet, from variables that stand before. */
const identity: readonly Piece[] = [
  "k8s.pod.uid=$(AXONIZE_POD_UID),k8s.pod.name=$(AXONIZE_POD_NAME),k8s.namespace.name=$(AXONIZE_POD_NAMESPACE),k8s.node.name=$(AXONIZE_POD_NODE),k8s.container.name=",
  { container: true },
  ",service.instance.id=$(AXONIZE_POD_NAMESPACE).$(AXONIZE_POD_NAME).",
  { container: true },
  { workload: true },
  { attributes: true },
];

export const variables: readonly Variable[] = [
  {
    name: "AXONIZE_ENDPOINT",
    source: { text: [{ profile: "endpoint" }] },
    doc: "Where our SDKs send.",
  },
  {
    name: "AXONIZE_API_KEY",
    source: { secretKey: secretKeys.apiKey },
    doc: "The key of this tenant and namespace.",
  },
  {
    name: "AXONIZE_API_KEY_ID",
    source: { secretKey: secretKeys.apiKeyId },
    unless: "AXONIZE_API_KEY",
    doc: "Its id, for logs.",
  },
  {
    name: "AXONIZE_API_KEY_FILE",
    source: { text: [`${keyFolder}/${secretKeys.apiKey}`] },
    unless: "AXONIZE_API_KEY",
    delivery: "EnvAndFile",
    doc: "The key as a file, renewed while the pod runs.",
  },
  {
    name: "AXONIZE_POD_NAME",
    source: { field: "metadata.name" },
    doc: "Name of the pod.",
  },
  {
    name: "AXONIZE_POD_NAMESPACE",
    source: { field: "metadata.namespace" },
    doc: "Its namespace.",
  },
  {
    name: "AXONIZE_POD_UID",
    source: { field: "metadata.uid" },
    doc: "Its UID: what a span is joined to GPUs by.",
  },
  {
    name: "AXONIZE_POD_NODE",
    source: { field: "spec.nodeName" },
    doc: "Its node.",
  },
  {
    name: "AXONIZE_POD_IP",
    source: { field: "status.podIP" },
    doc: "Its address.",
  },
  {
    name: containerVariable,
    source: { text: [{ container: true }] },
    doc: "Name of the container.",
  },
  {
    name: "AXONIZE_RESOURCE_ATTRIBUTES",
    source: { text: identity },
    doc: "All of it as resource attributes; our SDKs let `OTEL_RESOURCE_ATTRIBUTES` win over it.",
  },
  {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    source: { text: [{ profile: "endpoint" }] },
    otel: "exporter",
    doc: "Where any OpenTelemetry SDK sends.",
  },
  {
    name: "OTEL_EXPORTER_OTLP_PROTOCOL",
    source: { text: ["http/protobuf"] },
    otel: "exporter",
    doc: "How.",
  },
  {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    source: { text: [`${keyHeader}=$(AXONIZE_API_KEY)`] },
    otel: "exporter",
    doc: "With which key.",
  },
  {
    name: "OTEL_RESOURCE_ATTRIBUTES",
    source: { text: identity },
    otel: "resource",
    doc: "Pod, node and container of what any OpenTelemetry SDK sends.",
  },
];
