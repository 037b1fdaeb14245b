/**
 * Whether a resource may have the tenant's row: make it, keep it, adopt it, or must leave it alone.
 *
 * A row belongs to a resource of a cluster, by UIDs. Its data outlives both; whoever may have it next is
 * decided here alone. Pure.
 */

export interface RowOwner {
  readonly owner: "api" | "operator" | "standalone";
  readonly lifecycle: "active" | "terminating" | "orphaned";
  readonly clusterUid: string | undefined;
  readonly uid: string | undefined;
  readonly seenMs: number | undefined;
}

export type Ownership =
  | { readonly kind: "create" | "keep" | "adopt" }
  | {
      readonly kind: "refuse";
      readonly reason: "OwnedByOtherCluster" | "OwnedByOtherTenant";
      readonly message: string;
    }
  /** The data of the tenant before is still being deleted. */
  | { readonly kind: "wait" };

/** An owner in another cluster that its operator has not mentioned for so long is gone: six reports missed. */
export const silentMs = 30 * 60_000;

export function decideOwnership(input: {
  readonly row: RowOwner | undefined;
  readonly self: { readonly clusterUid: string; readonly uid: string; readonly tenantId: string };
  /** UIDs of the resources of this cluster that are not being deleted. */
  readonly living: ReadonlySet<string>;
  readonly adoption: "IfUnowned" | "Force";
  readonly isForceAllowed: boolean;
  readonly nowMs: number;
}): Ownership {
  const { row, self, living, nowMs } = input;
  if (row === undefined) return { kind: "create" };
  const isOwn = row.clusterUid === self.clusterUid && row.uid === self.uid;
  if (row.lifecycle === "terminating" && !isOwn) return { kind: "wait" };
  if (isOwn) return { kind: "keep" };
  if (row.uid === undefined || row.lifecycle === "orphaned") return { kind: "adopt" };
  const isForced = input.adoption === "Force" && input.isForceAllowed;
  if (row.clusterUid === self.clusterUid) {
    if (!living.has(row.uid)) return { kind: "adopt" };
    return {
      kind: "refuse",
      reason: "OwnedByOtherTenant",
      message: `Another AxonizeTenant of this cluster (UID ${row.uid}) has the tenant "${self.tenantId}". Give this one another spec.tenantID, or delete the other.`,
    };
  }
  if (isForced || nowMs - (row.seenMs ?? 0) > silentMs) return { kind: "adopt" };
  return {
    kind: "refuse",
    reason: "OwnedByOtherCluster",
    message: `A resource of another cluster (${row.clusterUid ?? "unknown"}) has the tenant "${self.tenantId}" and was there within the last ${silentMs / 60_000} minutes. Delete it there first; adoptionPolicy Force takes it over where the operator allows that.`,
  };
}
