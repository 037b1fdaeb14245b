/**
 * Events for what changed in a tenant's conditions: one for each that came to another status or reason.
 */
import { axonizeTenants } from "../../kube/kinds.ts";
import type { KubeObject, Recorder } from "../../kube/types.ts";
import { tenantConditions, type TenantConditionType } from "../../resources/crds/conditions.ts";
import type { AxonizeTenantStatus } from "../../resources/crds/tenant.ts";
import type { Uninjected } from "./census.ts";
import { censusNames } from "./limits.ts";

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

/** One Event where a namespace has more pods without injection than were told before. */
export function tellUninjected(
  recorder: Recorder,
  object: KubeObject & { readonly status?: AxonizeTenantStatus },
  now: { status: AxonizeTenantStatus; of: (namespace: string) => Uninjected | undefined },
): void {
  const before = new Map(
    (object.status?.namespaces ?? []).map((each) => [each.name, each.uninjectedPods ?? 0]),
  );
  const grown = (now.status.namespaces ?? []).filter(
    ({ name, uninjectedPods = 0 }) => uninjectedPods > (before.get(name) ?? 0),
  );
  if (grown.length === 0) return;
  const named = grown.flatMap(({ name }) =>
    (now.of(name)?.names ?? []).map((pod) => `${name}/${pod}`),
  );
  const shown = named.slice(0, censusNames).join(", ");
  const count = grown.reduce((sum, { uninjectedPods = 0 }) => sum + uninjectedPods, 0);
  recorder.event(object, {
    type: "Warning",
    reason: "PodsNotInjected",
    action: "CountPods",
    note: `${count === 1 ? "A pod was" : `${count} pods were`} made before injection was in effect and report nothing: ${shown}${count > censusNames ? " and others" : ""}. Their next rollout brings it: kubectl rollout restart.`,
  });
}

function isTroubled(type: string, holds: string): boolean {
  const doc = Object.hasOwn(tenantConditions, type)
    ? // The key was just seen to be there.
      tenantConditions[type as TenantConditionType]
    : undefined;
  const isNegative = doc !== undefined && "negative" in doc;
  return isNegative ? holds === "True" : holds === "False";
}
