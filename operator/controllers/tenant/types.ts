/**
 * What the parts of the tenant controller share: its objects, its dependencies, its caches.
 */
import type { Clock } from "@axonize/core/runtime/clock";
import type { Log } from "@axonize/core/runtime/log";
import type { Informer, KubeClient, KubeObject, Recorder } from "../../kube/types.ts";
import type { AxonizeTenantStatus } from "../../resources/crds/tenant.ts";
import type { Owner } from "../../resources/tenant/objects.ts";
import type { Fence } from "../../store/fence.ts";
import type { Census } from "./census.ts";
import type { TenantMetrics } from "./metrics.ts";
import type { SecretMemory } from "./secrets.ts";

export interface TenantObject extends KubeObject {
  /** As the API server keeps it; read with the schema. */
  readonly spec?: unknown;
  readonly status?: AxonizeTenantStatus;
}

export interface ProfileObject extends KubeObject {
  readonly spec?: unknown;
}

/** What injects, and whether it can. */
export interface InjectionState {
  readonly reason:
    | "PolicyActive"
    | "WebhookActive"
    | "Disabled"
    | "PolicyMissing"
    | "WebhookCertificateInvalid"
    | "NotSupported";
  readonly message: string;
}

export interface TenantOptions {
  /** As agents and ingest name this cluster; empty where there is one. */
  readonly cluster: string;
  readonly operatorNamespace: string;
  /** Namespaces that no tenant may claim, beside `kube-*` and the operator's own. */
  readonly deniedNamespaces: readonly string[];
  /** Where pods send, by OTLP/HTTP. */
  readonly injectionEndpoint: string;
  /** Whether `adoptionPolicy: Force` is heeded. */
  readonly allowForcedAdoption: boolean;
  readonly injection: () => InjectionState;
  /**
   * `Cluster`: our Secrets are followed everywhere, by their metadata. `PerNamespace`: nothing about Secrets
   * is allowed beyond the bound namespaces, where a RoleBinding to this ClusterRole is made first.
   */
  readonly secretAccess:
    | { readonly kind: "Cluster" }
    | {
        readonly kind: "PerNamespace";
        readonly clusterRole: string;
        readonly serviceAccount: string;
      };
}

export interface Caches {
  readonly tenants: Informer<TenantObject>;
  /** Metadata only. */
  readonly namespaces: Informer<KubeObject>;
  /** Ours, metadata only; undefined with `PerNamespace`. */
  readonly secrets: Informer<KubeObject> | undefined;
  readonly profiles: Informer<ProfileObject>;
}

export interface World {
  readonly fence: Fence;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: TenantMetrics;
  readonly client: KubeClient;
  readonly recorder: Recorder;
  readonly caches: Caches;
  readonly secrets: SecretMemory;
  readonly census: Census;
  readonly options: TenantOptions;
  readonly enqueue: (key: string, options?: { readonly afterMs?: number }) => void;
}

/** One reconcile of one tenant. */
export interface Run {
  readonly object: TenantObject;
  readonly owner: Owner;
  readonly clusterUid: string;
  readonly epoch: number;
  readonly nowMs: number;
}
