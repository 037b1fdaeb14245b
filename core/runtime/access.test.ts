// Keys and who they stand for, over a real PostgreSQL: grants, refusals, revocation, outages.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { useStores } from "../../test/support/stores.ts";
import { createAccess, generateKey, isRefusal, retentionClassFor } from "./access.ts";
import { parseKey } from "./api-key.ts";
import { systemClock, type Clock } from "./clock.ts";
import { silentLog } from "./log.ts";

const adminKey = "admin-key-of-the-test-0123456789";
const stores = await useStores();
const { sql } = stores;
let skewMs = 0;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + skewMs };
const access = await createAccess(
  { sql, clock, log: silentLog },
  { adminKey, loopbackTenant: "default" },
);
after(async () => {
  await access[Symbol.asyncDispose]();
  await stores[Symbol.asyncDispose]();
});

async function makeTenant(id: string, retentionDays = 30): Promise<void> {
  await sql`INSERT INTO tenants (id, name, retention_days) VALUES (${id}, ${id}, ${retentionDays})`;
}

async function makeKey(tenant: string, options: { scopes?: string[]; expiresAt?: Date } = {}) {
  const made = generateKey();
  await sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes, expires_at) VALUES
    (${made.id}, ${tenant}, ${made.secretSha256}, ${options.scopes ?? ["Ingest", "Query"]},
     ${options.expiresAt ?? null})`;
  return made;
}

const ask = (key: string | undefined, tenantHint?: string) =>
  access.authenticate(key, {
    peerLoopback: false,
    ...(tenantHint === undefined ? {} : { tenantHint }),
  });

async function until(what: string, condition: () => boolean, withinMs = 5000): Promise<number> {
  const started = performance.now();
  while (!condition()) {
    assert.ok(performance.now() - started < withinMs, `${what} within ${withinMs} ms`);
    await systemClock.sleep(10);
  }
  return performance.now() - started;
}

test("a new key has the documented form and parses back", () => {
  const made = generateKey();
  assert.match(made.key, /^axk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/);
  assert.equal(parseKey(made.key)?.id, made.id);
});

test("one wrong, missing or extra character makes a key mistyped, not unknown", () => {
  fc.assert(
    fc.property(fc.nat(65), fc.constantFrom("0", "A", "z", "_", ""), (at, replacement) => {
      const { key } = generateKey();
      const typo = key.slice(0, at) + replacement + key.slice(at + 1);
      if (typo !== key) assert.equal(parseKey(typo), undefined, typo);
    }),
  );
});

test("a key stands for its tenant with its scopes, as soon as it is made", async () => {
  await makeTenant("team-a", 45);
  const made = await makeKey("team-a");
  await until("the key works", () => !isRefusal(ask(made.key)));
  const grant = ask(made.key);
  assert.ok(!isRefusal(grant));
  assert.equal(grant.tenant?.id, "team-a");
  assert.equal(grant.tenant?.retentionClass, 90);
  assert.equal(grant.tenant?.capture, "None");
  assert.deepEqual([...grant.scopes], ["Ingest", "Query"]);
  assert.equal(grant.admin, false);
  assert.equal(grant.keyId, made.id);
});

test("unknown, mistyped and wrong-secret keys are refused with different or equal words as they should", async () => {
  await makeTenant("team-b");
  const made = await makeKey("team-b");
  await access.refresh();
  const stranger = ask(generateKey().key);
  assert.ok(isRefusal(stranger) && /not known/.test(stranger.message));
  const typo = ask(`${made.key.slice(0, -1)}${made.key.endsWith("0") ? "1" : "0"}`);
  assert.ok(isRefusal(typo) && /mistyped/.test(typo.message));
  const nothing = ask(undefined);
  assert.ok(isRefusal(nothing) && nothing.code === "unauthenticated");
  const almostAdmin = ask(`${adminKey}x`);
  assert.ok(isRefusal(almostAdmin));
  for (const refusal of [stranger, typo]) assert.ok(!refusal.message.includes(made.key));
});

test("a revoked key is refused at once, and within 5 s when the notification is lost", async () => {
  await makeTenant("team-c");
  const [one, two] = [await makeKey("team-c"), await makeKey("team-c")];
  await access.refresh();
  await sql`UPDATE api_keys SET revoked_at = now() WHERE id = ${one.id}`;
  const told = await until("the revocation", () => isRefusal(ask(one.key)));
  assert.ok(told < 2500, `${told} ms: the notification, not the poll`);
  await sql.begin(async (tx) => {
    await tx`ALTER TABLE api_keys DISABLE TRIGGER USER`;
    await tx`UPDATE api_keys SET revoked_at = now() WHERE id = ${two.id}`;
    await tx`ALTER TABLE api_keys ENABLE TRIGGER USER`;
  });
  await until("the poll", () => isRefusal(ask(two.key)));
});

test("a key that expires is refused from that moment on, without any reading", async () => {
  await makeTenant("team-d");
  const made = await makeKey("team-d", { expiresAt: new Date(systemClock.now() + 3_600_000) });
  await access.refresh();
  assert.ok(!isRefusal(ask(made.key)));
  skewMs = 3_600_001;
  const refused = ask(made.key);
  skewMs = 0;
  assert.ok(isRefusal(refused) && /expired/.test(refused.message));
});

test("the admin key administers, and acts for a tenant only when told which", async () => {
  await makeTenant("team-e");
  await access.refresh();
  const plain = ask(adminKey);
  assert.ok(!isRefusal(plain) && plain.admin && plain.tenant === undefined);
  assert.deepEqual([...plain.scopes], ["Admin"]);
  const acting = ask(adminKey, "team-e");
  assert.ok(!isRefusal(acting) && acting.tenant?.id === "team-e" && acting.scopes.has("Query"));
  const nobody = ask(adminKey, "team-nobody");
  assert.ok(isRefusal(nobody) && nobody.code === "forbidden");
});

test("a tenant's own key cannot be pointed at another tenant", async () => {
  await makeTenant("team-f");
  const made = await makeKey("team-f");
  await access.refresh();
  const grant = ask(made.key, "team-e");
  assert.ok(!isRefusal(grant) && grant.tenant?.id === "team-f");
});

test("without a key, loopback is the default tenant and never the admin; others are refused", () => {
  const grant = access.authenticate(undefined, { peerLoopback: true });
  assert.ok(!isRefusal(grant));
  assert.equal(grant.tenant?.id, "default");
  assert.equal(grant.tenant?.capture, "Full");
  assert.equal(grant.admin, false);
  assert.ok(isRefusal(access.authenticate(undefined, { peerLoopback: false })));
  assert.ok(
    isRefusal(access.authenticate("wrong", { peerLoopback: true })),
    "a wrong key is wrong",
  );
});

test("changes still arrive after the listening connection was cut", async () => {
  await sql`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ILIKE 'listen%'`;
  await makeTenant("team-g");
  await until("the tenant", () => access.tenants().some((tenant) => tenant.id === "team-g"));
});

test("retention classes are the smallest that cover the days", () => {
  assert.deepEqual(
    [1, 7, 8, 30, 31, 91, 366, 3650].map(retentionClassFor),
    [7, 7, 30, 30, 90, 365, 3650, 3650],
  );
});

test("use of a key is written down when the process stops", async () => {
  await makeTenant("team-h");
  const made = await makeKey("team-h");
  const own = await createAccess(
    { sql, clock, log: silentLog },
    { adminKey: undefined, loopbackTenant: undefined },
  );
  own.authenticate(made.key, { peerLoopback: false });
  await own[Symbol.asyncDispose]();
  const [row] = await sql`SELECT last_used_at FROM api_keys WHERE id = ${made.id}`;
  assert.ok(row?.["last_used_at"] instanceof Date);
});

const group = { name: "ingest", cluster: "", namespace: "prod", uid: "uid-1" };
async function makeOperatorKey(tenant: string, state: string, overlapSeconds = 3600) {
  const made = generateKey();
  await sql`
    INSERT INTO api_keys (id, tenant_id, name, secret_sha256, scopes, owner, cluster, namespace,
      namespace_uid, state, overlap_seconds)
    VALUES (${made.id}, ${tenant}, ${group.name}, ${made.secretSha256}, ${["Ingest"]}, 'operator',
      ${group.cluster}, ${group.namespace}, ${group.uid}, ${state}, ${overlapSeconds})`;
  return made;
}

test("a pending key is taken, and its first use makes it the active one; the one before retires", async () => {
  await makeTenant("team-i");
  const old = await makeOperatorKey("team-i", "active");
  const fresh = await makeOperatorKey("team-i", "pending");
  const own = await createAccess(
    { sql, clock, log: silentLog },
    { adminKey: undefined, loopbackTenant: undefined },
  );
  for (const { key } of [old, fresh]) {
    const grant = own.authenticate(key, { peerLoopback: false });
    assert.ok(!isRefusal(grant) && grant.binding?.namespace === "prod");
  }
  await own[Symbol.asyncDispose]();
  const rows = await sql<{ id: string; state: string; expires_at: Date | null }[]>`
    SELECT id, state, expires_at FROM api_keys WHERE tenant_id = 'team-i'`;
  const states = new Map(rows.map((row) => [row.id, row]));
  assert.equal(states.get(fresh.id)?.state, "active");
  assert.equal(states.get(old.id)?.state, "retiring");
  const leftMs = (states.get(old.id)?.expires_at?.getTime() ?? 0) - systemClock.now();
  assert.ok(leftMs > 3_500_000 && leftMs <= 3_601_000, `${leftMs} ms of overlap`);
  await access.refresh();
  assert.ok(!isRefusal(ask(old.key)), "it goes on until its overlap is over");
});

test("a group has at most one active and one pending key, whoever writes", async () => {
  await makeTenant("team-j");
  await makeOperatorKey("team-j", "active");
  await assert.rejects(makeOperatorKey("team-j", "active"), /api_keys_one_active/);
  await makeOperatorKey("team-j", "pending");
  await assert.rejects(makeOperatorKey("team-j", "pending"), /api_keys_one_pending/);
});

test("the version before revokes by a time alone, and the state follows", async () => {
  await makeTenant("team-k");
  const made = await makeKey("team-k");
  await sql`UPDATE api_keys SET revoked_at = now() WHERE id = ${made.id}`;
  const [row] = await sql`SELECT state FROM api_keys WHERE id = ${made.id}`;
  assert.equal(row?.["state"], "revoked");
});

test("a key speaks with its namespace's environment, as soon as that is changed", async () => {
  await makeTenant("team-l");
  const made = await makeOperatorKey("team-l", "active");
  await sql`
    INSERT INTO tenant_namespaces (cluster, namespace, namespace_uid, tenant_id, environment)
    VALUES ('', 'prod', 'uid-1', 'team-l', 'production')`;
  const environment = (): string | undefined => {
    const grant = ask(made.key);
    return isRefusal(grant) ? undefined : grant.binding?.environment;
  };
  await until("the environment", () => environment() === "production");
  await sql`UPDATE tenant_namespaces SET environment = 'live' WHERE namespace_uid = 'uid-1'`;
  await until("its change", () => environment() === "live");
});
