/**
 * The rotation of keys, explored: a model of PostgreSQL and the API server in which every call may fail
 * before its effect, after it, or take effect much later; every place to stop is tried, with pods that
 * start, Secrets that are deleted and edited, and time that passes in between.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ApiError } from "../../kube/api-error.ts";
import {
  isExpired,
  planKey,
  unusedMs,
  type KeyRow,
  type KeyState,
  type SecretView,
} from "../../resources/tenant/keys.ts";
import { settleKey, type KeyGroup, type NewKey, type Promotion } from "./keys.ts";

const dayMs = 86_400_000;
const overlapSeconds = 604_800;
const periodSeconds = 90 * 86_400;

/** What a call comes to. `late`: an error now, the effect at some later step. */
const fates = ["ok", "lost", "unheard", "late"] as const;
type Fate = (typeof fates)[number];
class Crash extends Error {}

interface Row extends KeyRow {
  state: KeyState;
  activatedMs: number | undefined;
  retiredMs: number | undefined;
  expiresMs: number | undefined;
  lastUsedMs: number | undefined;
}

/** Both stores, and the pods with the keys that they were started with. */
class World {
  nowMs = 1_000 * dayMs;
  rows: Row[] = [];
  secret: { keyId: string; isIntact: boolean; version: number } | undefined;
  version = 1;
  request: string | undefined;
  revoke = new Set<string>();
  late: (() => void)[] = [];
  /** Key → until when it must be taken: its overlap after it was last in the Secret. */
  promised = new Map<string, number>();
  unusedRule = false;
  /** From now on every call works. */
  isCalm = false;
  private readonly fate: () => Fate;

  constructor(fate: () => Fate) {
    this.fate = fate;
  }

  private async call(effect: () => void): Promise<void> {
    await Promise.resolve();
    const fate = this.isCalm ? "ok" : this.fate();
    if (fate === "ok") effect();
    else if (fate === "unheard") effect();
    else if (fate === "late") {
      this.late.push(() => {
        try {
          effect();
        } catch (error) {
          // Nobody waits for this answer any more.
          if (!(error instanceof ApiError || error instanceof Crash)) throw error;
        }
      });
    }
    this.check();
    if (fate !== "ok") throw new Crash();
  }

  group(): KeyGroup {
    const find = (id: string): Row | undefined => this.rows.find((row) => row.id === id);
    return {
      rows: async () => await Promise.resolve(this.rows.map((row) => ({ ...row }))),
      secret: async () => await Promise.resolve(this.view()),
      insertPending: async ({ id }, rotateRequest) =>
        await this.call(() => {
          // PostgreSQL's unique index.
          if (this.rows.some(({ state }) => state === "pending")) throw new Crash();
          this.rows.push({
            id,
            state: "pending",
            createdMs: this.nowMs,
            activatedMs: undefined,
            retiredMs: undefined,
            expiresMs: undefined,
            lastUsedMs: undefined,
            overlapSeconds,
            rotateRequest,
          });
        }),
      writeSecret: async (key, seen) => await this.call(() => this.write(key, seen)),
      promote: async (step) => await this.call(() => this.promote(step)),
      abandon: async (id) =>
        await this.call(() => {
          const row = find(id);
          if (row?.state === "pending") this.retire(row, undefined);
        }),
      revoke: async (id) =>
        await this.call(() => {
          const row = find(id);
          if (row !== undefined) row.state = "revoked";
        }),
    };
  }

  view(): SecretView {
    const { secret } = this;
    if (secret === undefined) return { kind: "absent" };
    const { keyId, isIntact } = secret;
    return { kind: "ours", keyId, isIntact, resourceVersion: String(secret.version) };
  }

  private write(key: NewKey, seen: SecretView): void {
    const isSame =
      seen.kind === "ours"
        ? this.secret?.version === Number(seen.resourceVersion)
        : this.secret === undefined;
    if (!isSame) throw new ApiError("changed", { status: 409, reason: "Conflict" });
    this.leave();
    this.secret = { keyId: key.id, isIntact: true, version: (this.version += 1) };
  }

  /** promote_api_key() of the migration. */
  promote({ id, from, over }: Promotion): void {
    const fresh = this.rows.find((row) => row.id === id);
    if (fresh?.state !== from) return;
    const active = this.rows.find(({ state }) => state === "active");
    if (from === "retiring" && active?.id !== over) return;
    const expiresMs = this.unusedRule ? undefined : this.nowMs + overlapSeconds * 1000;
    for (const row of this.rows) if (row.state === "active") this.retire(row, expiresMs);
    fresh.state = "active";
    fresh.activatedMs = this.nowMs;
    fresh.retiredMs = undefined;
    fresh.expiresMs = undefined;
  }

  private retire(row: Row, expiresMs: number | undefined): void {
    row.state = "retiring";
    row.retiredMs = this.nowMs;
    row.expiresMs = expiresMs;
  }

  /** What is in the Secret goes: pods that read it keep it for the overlap. */
  private leave(): void {
    if (this.secret?.isIntact !== true) return;
    const { keyId } = this.secret;
    const row = this.rows.find(({ id }) => id === keyId);
    if (row === undefined) return;
    row.lastUsedMs = this.nowMs;
    // One that retired before it got there, months without an operator ago, has the day of use alone.
    const forMs = row.state === "retiring" ? unusedMs : overlapSeconds * 1000;
    this.promised.set(keyId, this.nowMs + forMs - 1);
  }
  deleteSecret(): void {
    this.leave();
    this.secret = undefined;
  }
  editSecret(): void {
    if (this.secret === undefined) return;
    this.leave();
    this.secret = { ...this.secret, isIntact: false, version: (this.version += 1) };
  }

  /** Days: what was under way has arrived by then. */
  pass(ms: number): void {
    for (const arrive of this.late.splice(0)) arrive();
    this.nowMs += ms;
  }

  isTaken(id: string): boolean {
    const row = this.rows.find((each) => each.id === id);
    if (row === undefined || row.state === "revoked") return false;
    return !isExpired(row, this.nowMs);
  }

  check(): void {
    const count = (state: KeyState): number =>
      this.rows.filter((row) => row.state === state).length;
    assert.ok(count("active") <= 1, "one active key");
    assert.ok(count("pending") <= 1, "one pending key");
    if (this.secret?.isIntact === true && !this.revoke.has(this.secret.keyId)) {
      assert.ok(this.isTaken(this.secret.keyId), "the key in the Secret is taken");
    }
    for (const [id, untilMs] of this.promised) {
      if (untilMs <= this.nowMs || this.revoke.has(id)) continue;
      assert.ok(this.isTaken(id), `a pod that started with ${id} is locked out`);
    }
  }

  async reconcile(): Promise<void> {
    await settleKey(this.group(), {
      periodSeconds,
      rotateRequest: this.request,
      revoke: this.revoke,
      nowMs: this.nowMs,
    });
  }
}

const events = {
  nothing: () => undefined,
  deleteSecret: (world: World) => world.deleteSecret(),
  editSecret: (world: World) => world.editSecret(),
  askRotation: (world: World) => {
    world.request = `r${world.rows.length}`;
  },
  revokeCurrent: (world: World) => {
    if (world.secret !== undefined) world.revoke.add(world.secret.keyId);
  },
  lateArrives: (world: World) => world.late.shift()?.(),
  /** A pod used the key before the operator got to promote it. */
  ingestPromotes: (world: World) => {
    if (world.secret?.isIntact !== true) return;
    world.promote({ id: world.secret.keyId, from: "pending", over: undefined });
  },
  overlapPasses: (world: World) => world.pass(overlapSeconds * 1000 + 1),
  periodPasses: (world: World) => world.pass(periodSeconds * 1000),
} as const satisfies Record<string, (world: World) => void>;
type EventName = keyof typeof events;

async function converge(world: World): Promise<void> {
  world.isCalm = true;
  for (const arrive of world.late.splice(0)) arrive();
  world.check();
  await world.reconcile();
  const active = world.rows.filter(({ state }) => state === "active");
  assert.equal(active.length, 1, "comes to rest with one active key");
  assert.equal(world.rows.filter(({ state }) => state === "pending").length, 0);
  assert.deepEqual(
    [world.secret?.keyId, world.secret?.isIntact],
    [active[0]?.id, true],
    "… which the Secret has",
  );
  const before = world.rows.length;
  await world.reconcile();
  assert.equal(world.rows.length, before, "and stays at rest");
  world.nowMs += overlapSeconds * 1000 + 1;
  world.check();
  await world.reconcile();
  const live = world.rows.filter(({ state }) => state !== "revoked").length;
  assert.equal(live, 1, "after the overlap one key is left");
}

/** Runs until the calls' fates, given by number, are used up; then everything works. */
async function explore(
  script: readonly EventName[],
  choices: readonly number[],
  unusedRule: boolean,
): Promise<{ asked: number }> {
  let asked = 0;
  const world = new World(() => fates[choices[asked++] ?? 0] ?? "ok");
  world.unusedRule = unusedRule;
  for (const name of script) {
    events[name](world);
    world.check();
    try {
      await world.reconcile();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
    world.check();
  }
  await converge(world);
  return { asked };
}

/** Every script of events, and in each every call's every fate, up to `most` failures. */
async function exploreAll(script: readonly EventName[], most: number): Promise<number> {
  let runs = 0;
  const visit = async (choices: number[], failures: number): Promise<void> => {
    runs += 1;
    const { asked } = await explore(script, choices, false);
    if (failures === most) return;
    for (let at = choices.length; at < asked; at += 1) {
      for (let fate = 1; fate < fates.length; fate += 1) {
        const next = [...choices];
        while (next.length < at) next.push(0);
        next.push(fate);
        await visit(next, failures + 1);
      }
    }
  };
  await visit([], 0);
  return runs;
}

const names = Object.keys(events) as EventName[]; // the object's own keys

test("no pod is locked out wherever the operator stops: all scripts of three events, two failures", async () => {
  let runs = 0;
  for (const a of names) {
    for (const b of names) {
      runs += await exploreAll(["nothing", a, b, "lateArrives"], 2);
    }
  }
  assert.ok(runs > 10_000, `${runs} runs`);
});

test("… and three failures within one first issue, and within one rotation", async () => {
  const runs =
    (await exploreAll(["nothing", "nothing", "lateArrives"], 3)) +
    (await exploreAll(["nothing", "askRotation", "nothing"], 3));
  assert.ok(runs > 1_000, `${runs} runs`);
});

test("long lives at random: events, failures and late effects in any order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 12 }),
      fc.array(fc.nat(3), { maxLength: 40 }),
      fc.boolean(),
      async (script, choices, unusedRule) => {
        await explore(script, choices, unusedRule);
      },
    ),
    { numRuns: 2_000 },
  );
});

const row = (more: Partial<KeyRow>): KeyRow => ({
  id: "a",
  state: "active",
  createdMs: 0,
  activatedMs: 0,
  retiredMs: undefined,
  expiresMs: undefined,
  lastUsedMs: undefined,
  overlapSeconds,
  rotateRequest: undefined,
  ...more,
});
const plan = (rows: KeyRow[], more: Partial<Parameters<typeof planKey>[0]> = {}) =>
  planKey({
    rows,
    secret: { kind: "ours", keyId: "a", isIntact: true, resourceVersion: "1" },
    periodSeconds,
    rotateRequest: undefined,
    revoke: new Set(),
    nowMs: 0,
    ...more,
  });

test("a Secret that is not ours is left alone, and no key is made for it", () => {
  const foreign = { secret: { kind: "foreign" } } as const;
  assert.deepEqual(plan([], foreign), { kind: "blocked", by: "foreign" });
  assert.deepEqual(plan([row({})], foreign), { kind: "blocked", by: "foreign" });
  assert.deepEqual(plan([row({ state: "pending" })], foreign), { kind: "abandon", id: "a" });
});

test("a key that nobody has used for a day ends then, and not before", () => {
  const old = row({ id: "old", state: "retiring", retiredMs: 0, lastUsedMs: 10 * dayMs });
  const at = (nowMs: number) => plan([row({ activatedMs: 0 }), old], { nowMs });
  assert.deepEqual(at(8 * dayMs), { kind: "rest", untilMs: 11 * dayMs });
  assert.deepEqual(at(11 * dayMs), { kind: "revoke", id: "old", because: "Expired" });
});

test("a request to rotate is acted on once, and a period of 0 never ends", () => {
  const asked = { rotateRequest: "now" };
  assert.deepEqual(plan([row({})], asked), { kind: "mint", reason: "Requested" });
  assert.equal(plan([row({ rotateRequest: "now" })], asked).kind, "rest");
  const never = { periodSeconds: 0, nowMs: 1e15 };
  assert.deepEqual(plan([row({})], never), { kind: "rest", untilMs: undefined });
});
