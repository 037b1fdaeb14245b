/**
 * Events for what changed in a tenant's conditions: one for each that came to another status or reason.
 */
import { axonizeTenants } from "../../kube/kinds.ts";
import type { KubeObject, Recorder } from "../../kube/types.ts";
import { tenantConditions, type TenantConditionType } from "../../resources/crds/conditions.ts";
import type { AxonizeTenantStatus } from "../../resources/crds/tenant.ts";

/** Told by others, or in other words. */
const silent: ReadonlySet<string> = new Set(["Reconciling", "Stalled", "CredentialsRotating"]);

export function tellTransitions(
  recorder: Recorder,
  object: KubeObject & { readonly status?: AxonizeTenantStatus },
  status: AxonizeTenantStatus,
): void {
  const before = new Map((object.status?.conditions ?? []).map((each) => [each.type, each]));
  for (const { type, status: holds, reason, message } of status.conditions ?? []) {
    const was = before.get(type);
    if (silent.has(type) || (was?.status === holds && was.reason === reason)) continue;
    const isTrouble = isTroubled(type, holds);
    // That everything is well at the beginning is no news, but that all of it is.
    if (was === undefined && !isTrouble && type !== "Ready") continue;
    recorder.event(object, {
      type: isTrouble ? "Warning" : "Normal",
      reason,
      action: `Reconcile${axonizeTenants.kind}`,
      note: `${type}: ${message}`,
    });
  }
}

function isTroubled(type: string, holds: string): boolean {
  const doc = Object.hasOwn(tenantConditions, type)
    ? // The key was just seen to be there.
      tenantConditions[type as TenantConditionType]
    : undefined;
  const isNegative = doc !== undefined && "negative" in doc;
  return isNegative ? holds === "True" : holds === "False";
}
