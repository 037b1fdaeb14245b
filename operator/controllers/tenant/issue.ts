/**
 * One key in one place: brings it to rest, puts its Secret right, says what happened by Events.
 */
import { isOverdue, unusedMs, type KeyStep } from "../../resources/tenant/keys.ts";
import { annotationOf } from "../../resources/tenant/objects.ts";
import type { ApiKeySpec } from "../../resources/crds/tenant.ts";
import type { PlacedKeyRow } from "../../store/keys.ts";
import { settleKey, type KeyOutcome } from "./keys.ts";
import { createKeyGroup, lookAtSecret, repairFrame } from "./secrets.ts";
import type { Run, World } from "./types.ts";

export interface KeyReport {
  readonly key: ApiKeySpec;
  readonly namespace: string;
  readonly namespaceUid: string;
  readonly secretName: string;
  readonly rest: Extract<KeyStep, { kind: "rest" | "blocked" }>;
  readonly rows: readonly PlacedKeyRow[];
  readonly currentKeyId: string | undefined;
  readonly secretResourceVersion: string | undefined;
}

export interface KeyTask {
  readonly key: ApiKeySpec;
  readonly namespace: string;
  readonly namespaceUid: string;
  readonly secretName: string;
  readonly endpoint: string;
  readonly isTerminating: boolean;
  /** Of the whole tenant. */
  readonly rows: readonly PlacedKeyRow[];
}

export async function runKey(world: World, run: Run, task: KeyTask): Promise<KeyReport> {
  const { key, namespace, namespaceUid, secretName: name } = task;
  const place = {
    tenantId: run.owner.tenantId,
    name: key.name,
    cluster: world.options.cluster,
    namespace,
    namespaceUid,
  };
  const secret = {
    namespace,
    name,
    endpoint: task.endpoint,
    isTerminating: task.isTerminating,
    remembered: rememberedOf(run, namespace),
  };
  const isHere = (row: PlacedKeyRow): boolean =>
    row.name === key.name && row.namespaceUid === namespaceUid;
  const known = task.rows.filter(isHere);
  const group = createKeyGroup(world, run, { key, place, secret, known });
  const wish = {
    periodSeconds: key.rotation.periodSeconds,
    rotateRequest: annotationOf(run.object, "rotateKeys"),
    revoke: revokeIdsOf(run),
    nowMs: run.nowMs,
  };
  const outcome = await settleKey(group, wish);
  tell(world, run, task, outcome);
  let state = await group.look();
  if (!state.isFrameRight) {
    await repairFrame(world, run.owner, secret, state);
    state = await lookAtSecret(world, run.owner, secret);
  }
  const { view } = state;
  return {
    key,
    namespace,
    namespaceUid,
    secretName: name,
    rest: outcome.rest,
    // The group's rows come from PostgreSQL with their place.
    rows: outcome.rows as readonly PlacedKeyRow[],
    currentKeyId: outcome.rows.find((row) => row.state === "active")?.id,
    secretResourceVersion: view.kind === "ours" ? view.resourceVersion : undefined,
  };
}

function rememberedOf(
  { object }: Run,
  namespace: string,
): { keyId: string | undefined; resourceVersion: string | undefined } {
  const entry = object.status?.namespaces?.find(({ name }) => name === namespace);
  return { keyId: entry?.keyID, resourceVersion: entry?.secretResourceVersion };
}

/** `axonize.io/revoke-key`: ids, by commas. */
export const revokeIdsOf = ({ object }: Run): ReadonlySet<string> =>
  new Set((annotationOf(object, "revokeKey") ?? "").split(/[\s,]+/).filter((id) => id !== ""));

const words = {
  First: ["Normal", "KeyIssued", "issued"],
  SecretDeleted: ["Warning", "SecretRestored", "issued, because its Secret was deleted,"],
  SecretEdited: ["Warning", "SecretEdited", "issued, because somebody had edited its Secret,"],
  Requested: ["Normal", "KeyRotated", "issued on request"],
  Period: ["Normal", "KeyRotated", "issued, as the one before is old,"],
  Revoked: ["Normal", "KeyIssued", "issued in place of a revoked one"],
} as const;

function tell(world: World, run: Run, task: KeyTask, outcome: KeyOutcome): void {
  const where = `${task.namespace}/${task.secretName}`;
  for (const { id, reason } of outcome.minted) {
    const [type, name, verb] = words[reason];
    world.metrics.minted.inc({ reason });
    world.recorder.event(run.object, {
      type,
      reason: name,
      action: "IssueKey",
      note: `Key ${id} was ${verb} for ${where}.${reason === "First" || reason === "Revoked" ? "" : " Pods that run with the key before may do so until its overlap is over."}`,
    });
  }
  for (const { id, because } of outcome.revoked) {
    world.metrics.revoked.inc({ reason: because });
    world.recorder.event(run.object, {
      type: "Normal",
      reason: "KeyRevoked",
      action: "RevokeKey",
      note: `Key ${id} of ${where} was revoked: ${because === "Expired" ? "it was replaced and its time is over" : "as asked for"}.`,
    });
  }
  for (const row of outcome.rows) {
    if (!isOverdue(row, run.nowMs) || run.nowMs - (row.lastUsedMs ?? 0) > unusedMs) continue;
    world.recorder.event(run.object, {
      type: "Warning",
      reason: "RetiringKeyInUse",
      action: "RevokeKey",
      note: `Key ${row.id} of ${where} was replaced and is still in use after its overlap. Restart the pods of ${task.namespace} that started before; it is revoked once nobody has used it for a day.`,
    });
  }
}
