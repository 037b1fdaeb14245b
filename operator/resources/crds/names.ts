/**
 * Names that the operator shares with the cluster: labels, annotations, finalizers, Secrets. They are
 * API: once released they mean the same for ever.
 */
export const group = "axonize.io";
export const version = "v1alpha1";

export const labels = {
  /** On namespaces, written and never read as authority (reference §2.4). */
  tenant: "axonize.io/tenant",
  injection: "axonize.io/injection",
  /** On nodes: what the agents' DaemonSet selects. */
  gpuPool: "axonize.io/gpu-pool",
  /** On Secrets and profiles: whose they are. */
  tenantUid: "axonize.io/tenant-uid",
} as const;

export const annotations = {
  /** On pods, by users: "true" or "false". */
  inject: "axonize.io/inject",
  /** On pods, by users: names of containers, by commas. */
  containers: "axonize.io/containers",
  /** On pods, by injection: which version of which profile it was. */
  injected: "axonize.io/injected",
  /** On custom resources, by users: each is acted on once per value. */
  rotateKeys: "axonize.io/rotate-keys",
  reconcileAt: "axonize.io/reconcile-at",
  revokeKey: "axonize.io/revoke-key",
  forceDelete: "axonize.io/force-delete",
} as const;

export const finalizers = {
  tenant: "axonize.io/tenant-cleanup",
  gpuPool: "axonize.io/gpupool-cleanup",
} as const;

/** The InjectionProfile of a namespace: the policy's binding asks for it by this name. */
export const profileName = "axonize";
/** Metadata that carries a key; a header of its own spares OTLP's percent-encoding of `Bearer …`. */
export const keyHeader = "x-axonize-key";
/** Keys of the Secret that a tenant's namespace gets. */
export const secretKeys = {
  apiKey: "AXONIZE_API_KEY",
  apiKeyId: "AXONIZE_API_KEY_ID",
  endpoint: "AXONIZE_ENDPOINT",
  otlpHeaders: "OTEL_EXPORTER_OTLP_HEADERS",
} as const;
