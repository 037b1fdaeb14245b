/**
 * The status of a tenant from what a reconcile found. Quiet: conditions move only with their status, usage
 * is told seldom, times of use are days.
 */
import { setCondition, setReady, timeOf } from "../../kube/conditions.ts";
import type { Condition } from "../../kube/types.ts";
import type {
  TenantConditionReason,
  TenantConditionType,
} from "../../resources/crds/conditions.ts";
import type { AxonizeTenantSpec, AxonizeTenantStatus } from "../../resources/crds/tenant.ts";
import { dueMs, endOf, unusedMs, type KeyRow } from "../../resources/tenant/keys.ts";
import { annotationOf, injectedKey } from "../../resources/tenant/objects.ts";
import { exceededQuota, nextUsage, type UsageFacts } from "../../resources/tenant/usage.ts";
import type { Uninjected } from "./census.ts";
import { valuesOf, type DatabaseRefusal, type Synced } from "./database.ts";
import type { KeyReport } from "./issue.ts";
import type { PlaceReport } from "./namespaces.ts";
import type { InjectionState, Run } from "./types.ts";

type Fact = {
  readonly type: TenantConditionType;
  readonly status: Condition["status"];
  readonly reason: TenantConditionReason;
  readonly message: string;
};

export interface Findings {
  readonly spec: AxonizeTenantSpec;
  readonly database: Synced | DatabaseRefusal;
  readonly places: readonly PlaceReport[];
  /** Of keys in the operator's own namespace. */
  readonly central: PlaceReport | undefined;
  readonly usage: UsageFacts | undefined;
  readonly usageWrittenMs: number;
  readonly injection: InjectionState;
  readonly uninjected: (namespace: string) => Uninjected | undefined;
}

export function statusOf(run: Run, findings: Findings): AxonizeTenantStatus {
  const { object, nowMs } = run;
  const before = object.status ?? {};
  const { database } = findings;
  const conditions = conditionsOf(run, findings);
  const common: AxonizeTenantStatus = {
    ...before,
    observedGeneration: object.metadata.generation,
    tenantID: run.owner.tenantId,
    conditions: [...conditions],
  };
  if (database.kind === "refused") return common;
  const keys = [...findings.places, findings.central].flatMap((place) => place?.keys ?? []);
  const reconcileAt = annotationOf(object, "reconcileAt");
  const rotateAt = handledRotation(run, keys) ?? before.lastHandledRotateAt;
  const usage = usageOf(run, findings);
  return {
    ...common,
    databaseID: String(database.row.num),
    namespaces: namespacesOf(findings, database),
    boundNamespaces: database.claims.filter(({ state }) => state === "Bound").length,
    apiKeys: findings.spec.apiKeys.map((key) =>
      keyStatus(
        key,
        keys.filter((report) => report.key.name === key.name),
        nowMs,
      ),
    ),
    retention: {
      effectiveTraceDays: findings.spec.retention.traceDays,
      effectivePayloadDays: findings.spec.retention.payloadDays,
    },
    ...(usage === undefined ? {} : { usage }),
    ...(rotateAt === undefined ? {} : { lastHandledRotateAt: rotateAt }),
    ...(reconcileAt === undefined ? {} : { lastHandledReconcileAt: reconcileAt }),
  };
}

function usageOf(run: Run, findings: Findings): AxonizeTenantStatus["usage"] {
  const before = run.object.status?.usage;
  if (findings.usage === undefined) return before;
  return nextUsage(before, findings.usage, {
    quotas: quotasOf(findings.spec),
    nowMs: run.nowMs,
    writtenMs: findings.usageWrittenMs,
  });
}

function quotasOf(spec: AxonizeTenantSpec) {
  const values = valuesOf(spec, "");
  return {
    spansPerSecond: values.spans_per_second ?? undefined,
    bytesPerDay: values.bytes_per_day ?? undefined,
  };
}

function conditionsOf(run: Run, findings: Findings): readonly Condition[] {
  const { object, nowMs } = run;
  const now = new Date(nowMs);
  const { generation } = object.metadata;
  const facts = factsOf(run, findings);
  const observed = generation === undefined ? {} : { observedGeneration: generation };
  // The schema says `| undefined` where JSON has nothing.
  let conditions = (object.status?.conditions ?? []) as readonly Condition[];
  for (const fact of facts) conditions = setCondition(conditions, { ...fact, ...observed }, now);
  // Where PostgreSQL refuses, the last word on the others stays, with its generation.
  return setReady(conditions, readyOf(findings, facts, generation), now);
}

/** In order of dependency; `Ready` takes over the first that does not hold. */
function readyOf(
  { spec }: Findings,
  facts: readonly Fact[],
  generation: number | undefined,
): Parameters<typeof setReady>[1] {
  const failing = facts.find(
    ({ type, status }) =>
      status !== "True" && type !== "CredentialsRotating" && type !== "QuotaExceeded",
  );
  if (failing !== undefined) {
    const { reason, message, status } = failing;
    const ready = status === "Unknown" ? ("Unknown" as const) : ("False" as const);
    return { generation, ready, reason, message, stalled: stalling.has(reason) };
  }
  if (spec.adminState === "Suspended") {
    const message = "The tenant is suspended: nothing is taken in or injected, queries go on.";
    return { generation, ready: "False", reason: "Suspended", message };
  }
  const message =
    spec.adminState === "ReadOnly"
      ? "All of the spec is in effect; the tenant is read-only and takes nothing in."
      : "All of the spec is in effect.";
  return { generation, ready: "True", reason: "Reconciled", message };
}

const stalling: ReadonlySet<string> = new Set([
  "OwnedByOtherCluster",
  "OwnedByOtherTenant",
  "NamespaceConflict",
]);

function factsOf(run: Run, findings: Findings): Fact[] {
  const { database } = findings;
  if (database.kind === "refused") {
    const { status, reason, message } = database;
    return [{ type: "DatabaseSynced", status, reason, message }];
  }
  return [
    {
      type: "DatabaseSynced",
      status: "True",
      reason: "Synced",
      message: "PostgreSQL has the tenant as the spec says.",
    },
    namespacesFact(database),
    credentialsFact(findings),
    rotatingFact(run, findings),
    injectionFact(findings),
    quotaFact(run, findings),
  ];
}

function namespacesFact({ claims }: Synced): Fact {
  const type = "NamespacesBound";
  const of = (state: string): string[] =>
    claims.flatMap((claim) => {
      if (claim.state !== state) return [];
      return claim.state === "Conflict" ? [`${claim.name} (of ${claim.with})`] : [claim.name];
    });
  const [conflicts, denied, missing] = [of("Conflict"), of("Denied"), of("Missing")];
  const failed = { type, status: "False" } as const;
  if (conflicts.length > 0) {
    const message = `Other tenants have ${conflicts.join(", ")}: take the claim away here or there. Nothing was written there for this tenant.`;
    return { ...failed, reason: "NamespaceConflict", message };
  }
  if (denied.length > 0) {
    return {
      ...failed,
      reason: "NamespaceDenied",
      message: `Not to be claimed: ${denied.join(", ")}.`,
    };
  }
  if (missing.length > 0) {
    const message = `Not there yet, and bound once made: ${missing.join(", ")}.`;
    return { ...failed, reason: "NamespaceMissing", message };
  }
  if (claims.length === 0) {
    return { type, status: "True", reason: "NoNamespaces", message: "The spec names none." };
  }
  const message = `${claims.length} of ${claims.length} are bound.`;
  return { type, status: "True", reason: "AllBound", message };
}

function credentialsFact({ places, central }: Findings): Fact {
  const type = "CredentialsReady";
  const all = [...places, ...(central === undefined ? [] : [central])];
  const trouble = all.find((place) => place.trouble !== undefined)?.trouble;
  const reports = all.flatMap(({ keys }) => keys);
  const blockedBy = (by: string): string[] =>
    reports
      .filter(({ rest }) => rest.kind === "blocked" && rest.by === by)
      .map(({ namespace, secretName }) => `${namespace}/${secretName}`);
  const foreign = blockedBy("foreign");
  if (foreign.length > 0) {
    const message = `${foreign.join(", ")} exist and are not ours; they are left alone. Delete them, or name another secretName.`;
    return { type, status: "False", reason: "SecretConflict", message };
  }
  if (trouble !== undefined) return { type, status: "False", ...trouble };
  const full = blockedBy("full");
  if (full.length > 0) {
    const message = `${full.join(", ")} were deleted or edited so often that no more keys are issued before the overlap of the old ones is over.`;
    return { type, status: "False", reason: "IssueFailed", message };
  }
  const count = reports.filter(({ currentKeyId }) => currentKeyId !== undefined).length;
  return { type, status: "True", reason: "KeysIssued", message: `${count} keys are issued.` };
}

/** To the day: the status is not written with every use. */
const dayOf = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : timeOf(new Date(ms - (ms % 86_400_000)));

const retiringOf = (reports: readonly KeyReport[]): KeyRow[] =>
  reports.flatMap(({ rows }) => rows.filter(({ state }) => state === "retiring"));

function rotatingFact({ nowMs }: Run, { places, central }: Findings): Fact {
  const type = "CredentialsRotating";
  const retiring = [...places, central].flatMap((place) =>
    (place?.keys ?? []).flatMap((report) => retiringOf([report]).map((row) => ({ row, report }))),
  );
  const [first] = retiring.sort((a, b) => endOf(a.row) - endOf(b.row));
  if (first === undefined) {
    return { type, status: "False", reason: "Idle", message: "No key is being replaced." };
  }
  const { row, report } = first;
  const used = dayOf(row.lastUsedMs);
  const isUsed = nowMs - (row.lastUsedMs ?? 0) < unusedMs;
  const message = `${retiring.length === 1 ? "One key was" : `${retiring.length} keys were`} replaced and still count: ${row.id} of ${report.namespace}, ${used === undefined ? "never used" : `last used on ${used.slice(0, 10)}`}${isUsed ? "; restart the pods that started before" : ""}.`;
  return { type, status: "True", reason: "OverlapActive", message };
}

function injectionFact({ spec, injection, places, uninjected }: Findings): Fact {
  const type = "InjectionReady";
  const isWanted =
    spec.adminState !== "Suspended" &&
    injectedKey(spec) !== undefined &&
    (spec.namespaces ?? []).some(
      (namespace) => (namespace.injection ?? spec.injection.mode) !== "Disabled",
    );
  if (!isWanted) {
    return { type, status: "True", reason: "Disabled", message: "Nothing is to be injected." };
  }
  const { reason, message } = injection;
  const isReady = reason === "PolicyActive" || reason === "WebhookActive" || reason === "Disabled";
  const without = places.flatMap(({ name }) => {
    const found = uninjected(name);
    return found === undefined ? [] : [`${found.count} of ${name}`];
  });
  const rest =
    without.length === 0
      ? ""
      : `; pods from before run without until they are restarted: ${without.join(", ")}`;
  return { type, status: isReady ? "True" : "False", reason, message: `${message}${rest}` };
}

function quotaFact({ nowMs }: Run, { spec, usage }: Findings): Fact {
  const type = "QuotaExceeded";
  const { spansPerSecond, bytesPerDay } = quotasOf(spec);
  if (spansPerSecond === undefined && bytesPerDay === undefined) {
    return { type, status: "False", reason: "Unlimited", message: "There are no quotas." };
  }
  if (usage === undefined) {
    return { type, status: "Unknown", reason: "UsageStale", message: "Usage could not be read." };
  }
  const quota = exceededQuota(usage, nowMs);
  if (quota === undefined) {
    return { type, status: "False", reason: "WithinQuota", message: "Less is sent than allowed." };
  }
  const what =
    quota === "SpansPerSecond" ? `${spansPerSecond} spans a second` : `${bytesPerDay} bytes a day`;
  const message = `More than ${what} is sent: ${excessWords[spec.quotas.onExceeded]}.`;
  return { type, status: "True", reason: quota, message };
}

const excessWords = {
  Sample: "a part of the traces is kept, each whole",
  Reject: "what is beyond is refused",
  Warn: "all is kept",
} as const;

function namespacesOf(
  { places, spec, uninjected }: Findings,
  { claims, boundMs }: Synced,
): AxonizeTenantStatus["namespaces"] {
  const injected = injectedKey(spec)?.name;
  return claims.map((claim) => {
    const key = places
      .find(({ name }) => name === claim.name)
      ?.keys.find((report) => report.key.name === injected);
    const bound = "uid" in claim ? boundMs.get(claim.uid) : undefined;
    const without = claim.state === "Bound" ? uninjected(claim.name)?.count : undefined;
    return {
      name: claim.name,
      state: claim.state,
      ...(claim.state === "Conflict" ? { conflictingTenant: claim.with } : {}),
      ...(key?.currentKeyId === undefined ? {} : { keyID: key.currentKeyId }),
      ...(key?.secretResourceVersion === undefined
        ? {}
        : { secretResourceVersion: key.secretResourceVersion }),
      ...(without === undefined ? {} : { uninjectedPods: without }),
      ...(bound === undefined ? {} : { boundTime: timeOf(new Date(bound)) }),
    };
  });
}

function keyStatus(
  key: AxonizeTenantSpec["apiKeys"][number],
  reports: readonly KeyReport[],
  nowMs: number,
): NonNullable<AxonizeTenantStatus["apiKeys"]>[number] {
  const live = reports.flatMap(({ rows }) => rows.filter(({ state }) => state !== "revoked"));
  const active = live.filter(({ state }) => state === "active");
  const [retiring] = retiringOf(reports).sort((a, b) => endOf(a) - endOf(b));
  const due = Math.min(...active.map((row) => dueMs(row, key.rotation.periodSeconds)));
  const rotated = Math.max(...active.map(({ activatedMs }) => activatedMs ?? -Infinity));
  const used = Math.max(...live.map(({ lastUsedMs }) => lastUsedMs ?? -Infinity));
  const isSingle = active.length === 1;
  const time = (ms: number): string => timeOf(new Date(ms));
  const ends =
    retiring === undefined ? undefined : Math.max(endOf(retiring), nowMs - (nowMs % 86_400_000));
  return {
    name: key.name,
    ...(isSingle && active[0] !== undefined ? { currentKeyID: active[0].id } : {}),
    ...(retiring === undefined ? {} : { previousKeyID: retiring.id }),
    ...(ends === undefined || retiring?.expiresMs === undefined
      ? {}
      : { previousExpiresTime: time(ends) }),
    ...(Number.isFinite(rotated) ? { lastRotationTime: time(rotated) } : {}),
    ...(Number.isFinite(due) ? { nextRotationTime: time(due) } : {}),
    ...(Number.isFinite(used) ? { lastUsedTime: dayOf(used) } : {}),
  };
}

/** The request that every key has answered. */
function handledRotation(run: Run, keys: readonly KeyReport[]): string | undefined {
  const asked = annotationOf(run.object, "rotateKeys");
  if (asked === undefined) return undefined;
  const isDone = keys.every(({ rows }) =>
    rows.some((row) => row.state === "active" && row.rotateRequest === asked),
  );
  return isDone ? asked : undefined;
}
