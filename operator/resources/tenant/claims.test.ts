/**
 * Whose a namespace is: at most one tenant's, whatever the order in which resources are looked at; what is
 * bound stays; and whose row a tenant's is.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resolveClaims, type Binding, type Claimant } from "./claims.ts";
import { decideOwnership, silentMs, type RowOwner } from "./ownership.ts";

const names = ["red", "green", "blue"];
const claimant = fc.record({
  createdMs: fc.nat(3),
  namespaces: fc.uniqueArray(fc.constantFrom(...names)),
  isVoid: fc.boolean(),
});
const namespacesOf = (terminating: readonly string[] = []) =>
  new Map(
    names.map((name) => [
      name,
      { name, uid: `uid-${name}`, isTerminating: terminating.includes(name) },
    ]),
  );

function claimantsOf(parts: readonly Omit<Claimant, "name" | "uid" | "tenantId">[]): Claimant[] {
  return parts.map((part, i) => ({ ...part, name: `t${i}`, uid: `u${i}`, tenantId: `t${i}` }));
}

test("of all that claim a namespace exactly one has it, and the others say whom they lost it to", () => {
  fc.assert(
    fc.property(
      fc.array(claimant, { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(4)), { maxLength: 3 }),
      (parts, bound) => {
        const all = claimantsOf(parts);
        const bindings: Binding[] = [...new Map(bound)].map(([namespace, owner]) => ({
          namespace,
          namespaceUid: `uid-${namespace}`,
          tenantId: `t${owner}`,
        }));
        for (const name of names) {
          const claims = all
            .filter((each) => each.namespaces.includes(name))
            .map((own) => ({
              own,
              claim: resolveClaims({
                own,
                others: all.filter((other) => other.uid !== own.uid),
                namespaces: namespacesOf(),
                bindings,
                denied: new Set(),
              }).find((each) => each.name === name),
            }));
          // One that does not count asks for itself only in its own end, which claims nothing.
          const counting = claims.filter(({ own }) => !own.isVoid);
          const winners = counting.filter(({ claim }) => claim?.state === "Bound");
          assert.ok(winners.length <= 1, name);
          const holder = bindings.find(({ namespace }) => namespace === name)?.tenantId;
          if (holder === undefined && counting.length > 0) {
            const oldest = counting
              .map(({ own }) => own)
              .sort((a, b) => a.createdMs - b.createdMs || (a.uid < b.uid ? -1 : 1))[0];
            assert.equal(winners[0]?.own.uid, oldest?.uid);
          } else if (winners.length === 1) assert.equal(winners[0]?.own.tenantId, holder);
          for (const { claim } of counting) {
            if (claim?.state === "Conflict") assert.notEqual(claim.with, "");
          }
        }
      },
    ),
  );
});

test("what is not there, not to be had or on its way out is said to be", () => {
  const [own] = claimantsOf([
    { createdMs: 0, namespaces: ["red", "green", "away", "kube-public", "own"], isVoid: false },
  ]);
  assert.ok(own);
  const claims = resolveClaims({
    own,
    others: [],
    namespaces: namespacesOf(["green"]),
    bindings: [],
    denied: new Set(["own"]),
  });
  assert.deepEqual(
    claims.map(({ state }) => state),
    ["Bound", "Terminating", "Missing", "Denied", "Denied"],
  );
});

test("a namespace that was bound under another UID is not bound now", () => {
  const [own, other] = claimantsOf([
    { createdMs: 2, namespaces: ["red"], isVoid: false },
    { createdMs: 1, namespaces: ["red"], isVoid: false },
  ]);
  assert.ok(own && other);
  const [claim] = resolveClaims({
    own,
    others: [other],
    namespaces: namespacesOf(),
    bindings: [{ namespace: "red", namespaceUid: "old-uid", tenantId: own.tenantId }],
    denied: new Set(),
  });
  assert.deepEqual(claim, { state: "Conflict", name: "red", with: "t1" });
});

const row = (more: Partial<RowOwner>): RowOwner => ({
  owner: "operator",
  lifecycle: "active",
  clusterUid: "here",
  uid: "self",
  seenMs: 0,
  ...more,
});
const decide = (
  of: RowOwner | undefined,
  more: Partial<Parameters<typeof decideOwnership>[0]> = {},
) => {
  const decision = decideOwnership({
    row: of,
    self: { clusterUid: "here", uid: "self", tenantId: "t" },
    living: new Set(["self", "rival"]),
    adoption: "IfUnowned",
    isForceAllowed: false,
    nowMs: 1_000,
    ...more,
  });
  return decision.kind === "refuse" ? decision.reason : decision.kind;
};

test("a row is made, kept, adopted or left alone", () => {
  assert.equal(decide(undefined), "create");
  assert.equal(decide(row({})), "keep");
  assert.equal(decide(row({ owner: "api", uid: undefined, clusterUid: undefined })), "adopt");
  assert.equal(decide(row({ uid: "gone", lifecycle: "orphaned" })), "adopt");
  assert.equal(decide(row({ uid: "rival" })), "OwnedByOtherTenant");
  assert.equal(decide(row({ uid: "gone" })), "adopt", "of a resource that is not there any more");
  assert.equal(decide(row({ uid: "gone", lifecycle: "terminating" })), "wait");
  const abroad = row({ uid: "x", clusterUid: "there" });
  assert.equal(decide(abroad), "OwnedByOtherCluster");
  assert.equal(decide(abroad, { nowMs: silentMs + 1 }), "adopt", "it has been silent");
  const force = { adoption: "Force" } as const;
  assert.equal(decide(abroad, force), "OwnedByOtherCluster", "the operator does not allow it");
  assert.equal(decide(abroad, { ...force, isForceAllowed: true }), "adopt");
  assert.equal(
    decide(row({ uid: "rival" }), { ...force, isForceAllowed: true }),
    "OwnedByOtherTenant",
    "two of one cluster would take it from each other for ever",
  );
});
