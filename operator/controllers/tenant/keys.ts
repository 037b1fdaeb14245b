/**
 * Does the steps of one key group until it rests: asks the plan, acts, looks again.
 *
 * A new key is (1) a pending row with the hash of its secret, (2) the Secret, (3) the promotion of the row,
 * which lets the key before retire. The plaintext lives in this function alone, between (1) and (2): where
 * that is cut short, the next run finds either the Secret and goes on with (3), or nothing and begins anew.
 */
import { generateKey } from "@axonize/core/runtime/api-key";
import { isAlreadyExists, isConflict } from "../../kube/api-error.ts";
import {
  planKey,
  type KeyRow,
  type KeyStep,
  type MintReason,
  type SecretView,
} from "../../resources/tenant/keys.ts";

export interface NewKey {
  readonly id: string;
  readonly key: string;
  readonly secretSha256: Buffer;
}

export type Promotion = Pick<Extract<KeyStep, { kind: "promote" }>, "id" | "from" | "over">;

/** One group's rows and its Secret. Every call may fail, before or after its effect. */
export interface KeyGroup {
  rows(): Promise<readonly KeyRow[]>;
  secret(): Promise<SecretView>;
  insertPending(key: NewKey, rotateRequest: string | undefined): Promise<void>;
  /** Makes it, or replaces exactly what was seen: a 409 where it is something else by now. */
  writeSecret(key: NewKey, seen: SecretView): Promise<void>;
  /** Nothing where the key or the active one is another by now. */
  promote(step: Promotion): Promise<void>;
  /** As retiring, with no end set. */
  abandon(id: string): Promise<void>;
  revoke(id: string): Promise<void>;
}

export interface KeyOutcome {
  readonly rows: readonly KeyRow[];
  readonly secret: SecretView;
  readonly rest: Extract<KeyStep, { kind: "rest" | "blocked" }>;
  readonly minted: readonly { id: string; reason: MintReason }[];
  readonly revoked: readonly { id: string; because: "Requested" | "Expired" }[];
}

/** A run has a handful of steps; more means that somebody fights us. */
const mostSteps = 24;

export async function settleKey(
  group: KeyGroup,
  wish: {
    periodSeconds: number;
    rotateRequest: string | undefined;
    revoke: ReadonlySet<string>;
    nowMs: number;
  },
): Promise<KeyOutcome> {
  const minted: { id: string; reason: MintReason }[] = [];
  const revoked: { id: string; because: "Requested" | "Expired" }[] = [];
  for (let steps = 0; steps < mostSteps; steps += 1) {
    const [rows, secret] = await Promise.all([group.rows(), group.secret()]);
    const step = planKey({ ...wish, rows, secret });
    switch (step.kind) {
      case "rest":
      case "blocked":
        return { rows, secret, rest: step, minted, revoked };
      case "revoke":
        await group.revoke(step.id);
        revoked.push(step);
        break;
      case "promote":
        await group.promote(step);
        break;
      case "abandon":
        await group.abandon(step.id);
        break;
      case "mint": {
        const over = rows.find(({ state }) => state === "active")?.id;
        const id = await mint(group, secret, { over, rotateRequest: wish.rotateRequest });
        if (id !== undefined) minted.push({ id, reason: step.reason });
      }
    }
  }
  throw new Error("the key's Secret changes faster than it is written");
}

/** undefined: somebody wrote the Secret in between; it is looked at again. */
async function mint(
  group: KeyGroup,
  seen: SecretView,
  { over, rotateRequest }: { over: string | undefined; rotateRequest: string | undefined },
): Promise<string | undefined> {
  const key = generateKey();
  await group.insertPending(key, rotateRequest);
  try {
    await group.writeSecret(key, seen);
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error)) return undefined;
    throw error;
  }
  await group.promote({ id: key.id, from: "pending", over });
  return key.id;
}
