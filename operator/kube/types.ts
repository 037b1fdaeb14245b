/**
 * The shapes that controllers are written against: objects, a client, a cache of one kind, a reconciler.
 *
 * The runtime in this folder implements them; controllers import them and nothing of how it works. Bodies
 * are plain JSON: a typed serialiser would drop the fields that it does not know.
 */

/** One kind of the API, as its URLs need it. */
export interface ResourceKind {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** What every object has; a controller narrows `spec` and `status` with its own type. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface ObjectRef {
  readonly kind: ResourceKind;
  readonly name: string;
  /** Absent for cluster-scoped kinds. */
  readonly namespace?: string;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** `PartialObjectMetadata`: no spec, no data. */
  readonly metadataOnly?: boolean;
}

export interface ApplyOptions {
  /** Field manager, `axonize-operator/<controller>`: the same for ever. */
  readonly manager: string;
  /** Takes fields over from other managers. Only where we own every field that is sent. */
  readonly force?: boolean;
  readonly subresource?: "status";
  readonly dryRun?: boolean;
}

export interface DeleteOptions {
  /** Deletes only this very object. */
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly propagation?: "Background" | "Foreground" | "Orphan";
}

export interface JsonPatchOperation {
  readonly op: "add" | "remove" | "replace" | "test";
  readonly path: string;
  readonly value?: unknown;
}

/**
 * Every call may throw `ApiError` (`operator/kube/api-error.ts`: `status`, `reason`, `message`, `retryAfterMs`).
 * Calls wait for the client's rate bucket, carry the signal of the reconcile that makes them, and are not
 * made at all once the process has lost the lease.
 */
export interface KubeClient {
  /** undefined: there is none (404). */
  get<T extends KubeObject>(ref: ObjectRef): Promise<T | undefined>;
  /** All pages. */
  list<T extends KubeObject>(
    kind: ResourceKind,
    options?: ListOptions,
  ): Promise<{ readonly items: readonly T[]; readonly resourceVersion: string }>;
  /** The same page by page, for who keeps none of it. */
  pages<T extends KubeObject>(
    kind: ResourceKind,
    options?: ListOptions,
  ): AsyncIterable<readonly T[]>;
  /** Fails with 409 AlreadyExists where it exists. */
  create<T extends KubeObject>(object: T, kind: ResourceKind): Promise<T>;
  /** Server-side apply: send only the fields that are meant. */
  apply<T extends KubeObject>(
    object: KubeObject & Record<string, unknown>,
    kind: ResourceKind,
    options: ApplyOptions,
  ): Promise<T>;
  jsonPatch<T extends KubeObject>(
    ref: ObjectRef,
    patch: readonly JsonPatchOperation[],
    options?: { readonly subresource?: "status" },
  ): Promise<T>;
  /** false: there was none. */
  delete(ref: ObjectRef, options?: DeleteOptions): Promise<boolean>;
}

export type CacheEvent<T> =
  | { readonly type: "added"; readonly object: T }
  | { readonly type: "updated"; readonly object: T; readonly before: T }
  | { readonly type: "deleted"; readonly object: T };

/** The cache of one kind: a reflector with a store. Keys are `namespace/name`, or `name`. */
export interface Informer<T extends KubeObject> {
  readonly kind: ResourceKind;
  get(key: string): T | undefined;
  list(): readonly T[];
  /** Objects for which the index function of that name gave this value. */
  byIndex(index: string, value: string): readonly T[];
  /** Called in order, also for what is there at the start. It only adds keys to a queue. */
  onEvent(handler: (event: CacheEvent<T>) => void): void;
  hasSynced(): boolean;
}

export interface InformerOptions<T extends KubeObject> extends ListOptions {
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
}

/** Of one reconcile. */
export interface ReconcileContext {
  /** Aborted after 60 s, when the process stops, and when the lease is lost. */
  readonly signal: AbortSignal;
  /** Of the lease (`spec.leaseTransitions`): what PostgreSQL writes are fenced with. */
  readonly epoch: number;
  /** A user's change, or a resync. */
  readonly priority: "change" | "resync";
}

/** Nothing: done until something changes. Errors are thrown: retried with backoff unless `TerminalError`. */
export type ReconcileResult = { readonly requeueAfterMs: number } | undefined;

export interface Reconciler {
  /** Of metrics, events and field managers: `tenant`, `gpupool`. */
  readonly name: string;
  reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult>;
}

/** Wires kinds to a reconciler: which objects of which cache ask for which keys. */
export interface ControllerBuilder {
  readonly client: KubeClient;
  readonly recorder: Recorder;
  informer<T extends KubeObject>(kind: ResourceKind, options?: InformerOptions<T>): Informer<T>;
  /** `keys`: which of the reconciler's objects an event of this cache concerns. */
  watch<T extends KubeObject>(
    informer: Informer<T>,
    keys: (event: CacheEvent<T>) => readonly string[],
  ): void;
  /** Asks for a key from outside of the API: a LISTEN, a timer. */
  enqueue(key: string, options?: { readonly afterMs?: number }): void;
}

/** Events (events.k8s.io/v1) on transitions: the same (object, reason, note) at most once in 5 minutes. */
export interface Recorder {
  event(
    regarding: KubeObject,
    event: {
      readonly type: "Normal" | "Warning";
      /** CamelCase, part of the API. */
      readonly reason: string;
      /** What was done or refused: `IssueKey`. */
      readonly action: string;
      readonly note: string;
    },
  ): void;
}

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}
