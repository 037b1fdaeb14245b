/**
 * Conditions of the custom resources: their types, and the reasons of each status with what a reader
 * should make of it. Reasons are API; `docs/crds.md` is generated from here.
 *
 * Order is dependency: `Ready` takes the reason of the first of the others that does not hold.
 */
type Reasons = Readonly<Record<string, string>>;
interface ConditionDoc {
  readonly doc: string;
  readonly True?: Reasons;
  readonly False?: Reasons;
  readonly Unknown?: Reasons;
  /** True is the trouble: it does not count for `Ready` unless its doc says so. */
  readonly negative?: true;
}

const uninstalled =
  "The operator was uninstalled, and nobody looks after the resource; so say all other conditions.";

const nameTaken =
  "Another Kubernetes cluster writes to the same stores under this one's `clusterName`; nothing is done until this one has a name of its own.";

export const tenantConditions = {
  Ready: {
    doc: "Everything below that counts holds.",
    True: { Reconciled: "All of the spec is in effect." },
    False: {
      Suspended: "`adminState` is Suspended: nothing is taken in.",
      Deleting: "The resource is being deleted; the message says what is waited for.",
    },
    Unknown: { Uninstalled: uninstalled },
  },
  DatabaseSynced: {
    doc: "The tenant's row says what the spec says.",
    True: { Synced: "It does." },
    False: {
      DatabaseUnavailable: "PostgreSQL does not answer; tried again with backoff.",
      OwnedByOtherCluster: "A resource of another cluster owns the tenant of this id.",
      OwnedByOtherTenant: "Another resource of this cluster owns the tenant of this id.",
      ClusterNameTaken: nameTaken,
      SchemaOutdated: "The database is older than this operator; a migration is due.",
      QuotaRejected: "The database does not take the quotas.",
    },
    Unknown: { Pending: "Not looked at yet." },
  },
  NamespacesBound: {
    doc: "Every namespace of the spec is bound to this tenant.",
    True: { AllBound: "All are.", NoNamespaces: "The spec names none." },
    False: {
      NamespaceConflict: "Another tenant has one of them; it keeps it.",
      NamespaceDenied: "One of them may not be claimed, such as the operator's own.",
      NamespaceMissing: "One of them does not exist; it is bound when it is made.",
    },
  },
  CredentialsReady: {
    doc: "Every key is issued and its Secrets are written.",
    True: { KeysIssued: "All are." },
    False: {
      SecretConflict: "A Secret of that name is there and is not ours; it is left alone.",
      IssueFailed: "A key could not be written; tried again with backoff.",
      Forbidden: "The operator may not write Secrets in a namespace.",
    },
  },
  CredentialsRotating: {
    doc: "An old key still counts beside the current one.",
    negative: true,
    True: { OverlapActive: "Until the old key expires; the message says which and its last use." },
    False: { Idle: "No rotation is under way." },
  },
  InjectionReady: {
    doc: "Pods of the namespaces get their variables.",
    True: {
      PolicyActive: "By the admission policy.",
      WebhookActive: "By the operator's webhook.",
      Disabled: "The spec asks for none.",
    },
    False: {
      PolicyMissing: "The cluster knows such policies, but ours or its binding is not there.",
      WebhookCertificateInvalid: "The webhook's certificate is not one that the apiserver trusts.",
      NotSupported: "Neither policy nor webhook is installed, or injection is off.",
    },
  },
  QuotaExceeded: {
    doc: "More is sent than the quotas allow.",
    negative: true,
    True: { SpansPerSecond: "Spans per second.", BytesPerDay: "Bytes of this day." },
    False: { WithinQuota: "Less is.", Unlimited: "There are no quotas." },
    Unknown: { UsageStale: "Usage could not be read." },
  },
  Stalled: {
    doc: "Only a change of the spec helps (kstatus). Absent otherwise.",
    negative: true,
    True: {
      InvalidReference: "The spec names something that cannot be.",
      OwnedByOtherCluster: "As in `DatabaseSynced`.",
      OwnedByOtherTenant: "As in `DatabaseSynced`.",
      NamespaceConflict: "As in `NamespacesBound`.",
    },
  },
  Reconciling: {
    doc: "It goes on by itself (kstatus); its reason is that of `Ready`. Absent otherwise.",
    negative: true,
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

export const gpuPoolConditions = {
  Ready: {
    doc: "Everything below that counts holds.",
    True: { Reconciled: "All of the spec is in effect." },
    False: {
      Deleting: "The resource is being deleted; the message says what is waited for.",
      ClusterNameTaken: nameTaken,
    },
    Unknown: { Uninstalled: uninstalled },
  },
  NodesSelected: {
    doc: "The pool has nodes.",
    True: { NodesMatched: "It has." },
    False: {
      NoNodesMatched: "No node matches `nodeSelector`.",
      AllNodesClaimed: "Every node that matches is another pool's.",
    },
  },
  AgentAvailable: {
    doc: "Every node of the pool runs an agent of the current template.",
    True: { RolloutComplete: "Every one does." },
    False: {
      RolloutInProgress: "Pods are being replaced.",
      RolloutStuck: "Nothing has moved for longer than the deadline.",
      ImagePullFailed: "A node cannot pull the image.",
      PodSecurityRejected: "The namespace's Pod Security level refuses the agent.",
      QuotaExceeded: "A ResourceQuota refuses the agent.",
    },
  },
  InventoryConsistent: {
    doc: "Agents, device plugin and DRA tell of the same GPUs.",
    True: { Consistent: "They do." },
    False: {
      CapacityMismatch: "The node offers another number than the agent sees.",
      DriverMissing: "An agent finds no driver on its node.",
      MigReconfiguring: "MIG devices are being made; it settles by itself.",
      AgentsSilent: "An agent that runs has not reported for a while.",
    },
    Unknown: { Collecting: "Agents have only just begun." },
  },
  Overlapping: {
    doc: "Another pool has nodes that this one selects.",
    negative: true,
    True: { LowerPriority: "The message names the pool that has them." },
    False: { Exclusive: "None has." },
  },
  OverheadWithinBudget: {
    doc: "Agents use no more processor than `overheadBudgetMillicores`.",
    True: { WithinBudget: "They do not." },
    False: { SamplingReduced: "One samples less often to stay within it." },
  },
  Stalled: {
    doc: "Only a change of the spec helps (kstatus). Absent otherwise.",
    negative: true,
    True: {
      InvalidSelector: "`nodeSelector` cannot be read.",
      PodSecurityRejected: "As in `AgentAvailable`.",
    },
  },
  Reconciling: {
    doc: "It goes on by itself (kstatus); its reason is that of `Ready`. Absent otherwise.",
    negative: true,
  },
} as const satisfies Readonly<Record<string, ConditionDoc>>;

type KeysOfAll<T> = T extends unknown ? keyof T : never;
type ReasonsOf<T> = T extends unknown
  ? KeysOfAll<T[Extract<keyof T, "True" | "False" | "Unknown">]>
  : never;

export type TenantConditionType = keyof typeof tenantConditions;
/** `Ready` may carry any of them: it takes over the first that does not hold. */
export type TenantConditionReason = ReasonsOf<(typeof tenantConditions)[TenantConditionType]>;
export type GpuPoolConditionType = keyof typeof gpuPoolConditions;
export type GpuPoolConditionReason = ReasonsOf<(typeof gpuPoolConditions)[GpuPoolConditionType]>;
