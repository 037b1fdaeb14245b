/**
 * The life of one key: what to do next, from the rows of its group and what its Secret says.
 *
 * A pure state machine, called again after every step and after every crash; it decides by what is there
 * and remembers nothing. Its promises, whatever stops in between: a key that was ever in the Secret is
 * taken for its overlap after it was replaced; at most one key is active and one pending; it comes to rest
 * with the active key in the Secret. `controllers/tenant/keys.ts` does the steps.
 */

export type KeyState = "pending" | "active" | "retiring" | "revoked";

export interface KeyRow {
  readonly id: string;
  readonly state: KeyState;
  readonly createdMs: number;
  readonly activatedMs: number | undefined;
  readonly retiredMs: number | undefined;
  /** Of a retiring key; undefined: it ends when nobody has used it for a day. */
  readonly expiresMs: number | undefined;
  readonly lastUsedMs: number | undefined;
  readonly overlapSeconds: number;
  /** The request to rotate that it answers. */
  readonly rotateRequest: string | undefined;
}

/** What is in the place of the key's Secret. */
export type SecretView =
  | { readonly kind: "absent" }
  /** Somebody else's. */
  | { readonly kind: "foreign" }
  /** Being deleted with its namespace: nothing is written there any more. */
  | { readonly kind: "terminating" }
  | {
      readonly kind: "ours";
      readonly keyId: string | undefined;
      /** The key in it is as we wrote it. */
      readonly isIntact: boolean;
      readonly resourceVersion: string;
    };

export interface KeyInput {
  readonly rows: readonly KeyRow[];
  readonly secret: SecretView;
  /** 0: never by itself. */
  readonly periodSeconds: number;
  /** Value of the annotation that asks for a rotation. */
  readonly rotateRequest: string | undefined;
  /** Key ids to revoke at once. */
  readonly revoke: ReadonlySet<string>;
  readonly nowMs: number;
}

export type MintReason =
  | "First"
  | "SecretDeleted"
  | "SecretEdited"
  | "Requested"
  | "Period"
  | "Revoked";

export type KeyStep =
  | { readonly kind: "revoke"; readonly id: string; readonly because: "Requested" | "Expired" }
  /** Its Secret has it. `over`: the active key that it takes the place of, and only of that. */
  | {
      readonly kind: "promote";
      readonly id: string;
      readonly from: "pending" | "retiring";
      readonly over: string | undefined;
    }
  /** Nobody knows it, or its Secret is still on its way: it retires, until nobody has used it for a day. */
  | { readonly kind: "abandon"; readonly id: string }
  | { readonly kind: "mint"; readonly reason: MintReason }
  | { readonly kind: "blocked"; readonly by: "foreign" | "terminating" | "full" }
  /** Nothing to do before. undefined: until something changes. */
  | { readonly kind: "rest"; readonly untilMs: number | undefined };

/**
 * Live keys of a group. Usually two; every Secret that is deleted or edited within the overlap, and every
 * crash within a mint, adds one for as long as the overlap.
 */
export const mostLiveKeys = 16;
export const unusedMs = 86_400_000;

export function planKey(input: KeyInput): KeyStep {
  const { rows, secret, nowMs } = input;
  const live = rows.filter(({ state }) => state !== "revoked");
  const unwanted = live.find(({ id }) => input.revoke.has(id));
  if (unwanted !== undefined) return { kind: "revoke", id: unwanted.id, because: "Requested" };
  const held = live.find(({ id }) => holds(secret, id));
  const active = live.find(({ state }) => state === "active");
  const over = active?.id;
  if (held?.state === "pending") return { kind: "promote", id: held.id, from: "pending", over };
  const pending = live.find(({ state }) => state === "pending");
  if (pending !== undefined) return { kind: "abandon", id: pending.id };
  // Written after it was given up: what pods read is the current key.
  if (held?.state === "retiring" && !isExpired(held, nowMs)) {
    return { kind: "promote", id: held.id, from: "retiring", over };
  }
  const ended = live.find((row) => row.state === "retiring" && endOf(row) <= nowMs);
  if (ended !== undefined) return { kind: "revoke", id: ended.id, because: "Expired" };
  const reason = mintReason(input, active, rows);
  if (reason === undefined || active === undefined) return restOrMint(input, live, reason);
  return mint(secret, live, reason);
}

function restOrMint(
  { secret, periodSeconds }: KeyInput,
  live: readonly KeyRow[],
  reason: MintReason | undefined,
): KeyStep {
  if (reason !== undefined) return mint(secret, live, reason);
  const times = live.map((row) =>
    row.state === "retiring" ? endOf(row) : dueMs(row, periodSeconds),
  );
  const untilMs = Math.min(...times);
  return { kind: "rest", untilMs: Number.isFinite(untilMs) ? untilMs : undefined };
}

function mint(secret: SecretView, live: readonly KeyRow[], reason: MintReason): KeyStep {
  if (secret.kind === "foreign" || secret.kind === "terminating") {
    return { kind: "blocked", by: secret.kind };
  }
  return live.length >= mostLiveKeys ? { kind: "blocked", by: "full" } : { kind: "mint", reason };
}

function mintReason(
  { secret, rotateRequest, periodSeconds, nowMs }: KeyInput,
  active: KeyRow | undefined,
  rows: readonly KeyRow[],
): MintReason | undefined {
  if (active === undefined) {
    if (rows.length === 0) return "First";
    return rows.some(({ state }) => state === "retiring") ? "SecretDeleted" : "Revoked";
  }
  if (secret.kind === "ours") {
    if (!holds(secret, active.id)) return "SecretEdited";
  } else return "SecretDeleted";
  if (rotateRequest !== undefined && active.rotateRequest !== rotateRequest) return "Requested";
  return dueMs(active, periodSeconds) <= nowMs ? "Period" : undefined;
}

const holds = (secret: SecretView, id: string): boolean =>
  secret.kind === "ours" && secret.isIntact && secret.keyId === id;

/** When it is to be replaced. */
export const dueMs = (row: KeyRow, periodSeconds: number): number =>
  periodSeconds === 0 ? Infinity : (row.activatedMs ?? row.createdMs) + periodSeconds * 1000;

/** Ingest refuses it by itself. */
export const isExpired = (row: KeyRow, nowMs: number): boolean =>
  row.expiresMs !== undefined && row.expiresMs <= nowMs;

/** When a retiring key ends: after its overlap, and where use counts a day after its last use. */
export function endOf(row: KeyRow): number {
  if (row.expiresMs !== undefined) return row.expiresMs;
  const overlapMs = (row.retiredMs ?? row.createdMs) + row.overlapSeconds * 1000;
  return Math.max(overlapMs, (row.lastUsedMs ?? 0) + unusedMs);
}

/** Still in use after its overlap: pods that are to be restarted. */
export const isOverdue = (row: KeyRow, nowMs: number): boolean =>
  row.state === "retiring" &&
  row.expiresMs === undefined &&
  (row.retiredMs ?? row.createdMs) + row.overlapSeconds * 1000 <= nowMs;
