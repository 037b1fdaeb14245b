// Administration over the real PostgreSQL: tenants, keys, usage, and who owns what.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { CreatedKey, Key, Tenant, Usage } from "@axonize/core/contract/tenant";
import { buildCall, insertSpans } from "../../../test/support/build-span.ts";
import type * as z from "zod";
import { useDashboard } from "../../../test/support/dashboard.ts";
import { slugFrom } from "./tenants.ts";

const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());
const { a, admin, stores } = dashboard;
const tenants = "/api/v1/admin/tenants";
const get = async <T>(path: string) => await dashboard.get<T>(`${tenants}${path}`, admin);
const send = async <T>(method: string, path: string, body?: unknown) =>
  await dashboard.send<T>(method, `${tenants}${path}`, body, admin);

test("a tenant gets an id from its name, and the same id twice is a conflict", async () => {
  const made = await send<Tenant>("POST", "", { name: "Team Vision (EU)" });
  assert.equal(made.status, 201);
  assert.equal(made.body.id, "team-vision-eu");
  assert.equal(made.body.capture, "None");
  assert.deepEqual(made.body.limits, { spansPerSecond: null, bytesPerDay: null });
  assert.equal((await send("POST", "", { name: "team vision eu" })).status, 409);
  const list = await get<{ items: Tenant[] }>("");
  assert.ok(list.body.items.some(({ id }) => id === "team-vision-eu"));
});

test("names become DNS labels, or are refused when nothing is left", () => {
  assert.equal(slugFrom("Équipe Été"), "equipe-ete");
  assert.equal(slugFrom(`-${"x".repeat(80)}-`).length, 62);
  assert.throws(() => slugFrom("???"), /give an `id`/);
});

test("a change touches what it names, and null takes a limit away", async () => {
  await send("POST", "", {
    id: "changing",
    name: "Changing",
    limits: { spansPerSecond: 5, bytesPerDay: 10 },
  });
  const one = await send<Tenant>("PATCH", "/changing", {
    capture: "Redacted",
    limits: { bytesPerDay: null },
  });
  assert.equal(one.status, 200);
  assert.deepEqual(one.body.limits, { spansPerSecond: 5, bytesPerDay: null });
  assert.equal(one.body.capture, "Redacted");
  assert.equal(one.body.name, "Changing");
  assert.equal((await send<Tenant>("PATCH", "/changing", {})).status, 200);
});

test("a key is shown once, works at once, and is refused at once when revoked", async () => {
  const made = await send<z.infer<typeof CreatedKey>>("POST", "/team-a/keys", { name: "ci" });
  assert.equal(made.status, 201);
  const { key, prefix } = made.body;
  assert.deepEqual(made.body.scopes, ["Ingest", "Query"]);
  const list = await get<{ items: Key[] }>("/team-a/keys");
  assert.ok(list.body.items.some((item) => item.prefix === prefix && item.name === "ci"));
  assert.ok(!JSON.stringify(list.body).includes(key.split("_")[2] ?? key), "no secret in lists");
  const headers = { authorization: `Bearer ${key}` };
  assert.equal((await dashboard.get("/api/v1/traces", headers)).status, 200);
  assert.equal((await send("DELETE", `/team-a/keys/${prefix}`)).status, 204);
  assert.equal((await dashboard.get("/api/v1/traces", headers)).status, 401);
  assert.equal((await send("DELETE", `/team-a/keys/${prefix}`)).status, 204);
});

test("only the hash of a secret is stored", async () => {
  const made = await send<z.infer<typeof CreatedKey>>("POST", "/team-a/keys", {});
  const secret = made.body.key.split("_")[2] ?? "";
  const rows = await stores.sql`SELECT * FROM api_keys WHERE id = ${made.body.prefix}`;
  assert.ok(!JSON.stringify(rows).includes(secret));
});

test("a key belongs to its tenant: another tenant's path does not find it", async () => {
  const prefix = a.key.split("_")[1] ?? "";
  assert.equal((await send("DELETE", `/team-b/keys/${prefix}`)).status, 404);
  assert.equal((await dashboard.get("/api/v1/traces", a.headers)).status, 200);
});

test("what a custom resource owns is not changed over REST", async () => {
  await stores.sql`INSERT INTO tenants (id, name, owner) VALUES ('owned', 'Owned', 'operator')`;
  await stores.sql`
    INSERT INTO api_keys (id, tenant_id, secret_sha256, scopes, owner)
    VALUES ('ownedkey0001', 'owned', ${Buffer.alloc(32)}, ${["Ingest"]}, 'operator')`;
  assert.equal((await send("PATCH", "/owned", { name: "Mine" })).status, 409);
  assert.equal((await send("POST", "/owned/keys", {})).status, 409);
  assert.equal((await send("DELETE", "/owned/keys/ownedkey0001")).status, 409);
  assert.equal((await get("/owned/keys")).status, 200);
});

test("unknown tenants are not found, wherever they are named", async () => {
  assert.equal((await send("PATCH", "/nobody", { name: "x" })).status, 404);
  assert.equal((await get("/nobody/keys")).status, 404);
  assert.equal((await get("/nobody/usage")).status, 404);
  assert.equal((await send("POST", "/nobody/keys", {})).status, 404);
  assert.equal((await send("DELETE", "/nobody/keys/x")).status, 404);
});

test("usage joins settled hours, live hours and bytes; a span sent again counts once", async () => {
  const hourMs = 3_600_000;
  const thisHour = Math.floor(Date.now() / hourMs) * hourMs;
  const long = new Date(thisHour - 30 * hourMs);
  await stores.sql`
    INSERT INTO usage_hourly (tenant_id, hour, spans, input_tokens, output_tokens, gpu_seconds)
    VALUES ('team-a', ${long}, 7, 70, 700, 1.5), ('team-a', ${new Date(thisHour)}, 999, 0, 0, 0)`;
  await stores.sql`
    INSERT INTO intake_hourly (tenant_id, hour, bytes)
    VALUES ('team-a', ${long}, 100), ('team-a', ${new Date(thisHour)}, 50)`;
  const call = buildCall({ startMs: thisHour + 1, tenantNum: a.num, gpus: ["GPU-1", "GPU-2"] });
  await insertSpans(stores.clickhouse, [call]);
  await insertSpans(stores.clickhouse, [{ ...call, receivedMs: call.receivedMs + 1 }, call]);
  const { body } = await get<Usage>("/team-a/usage?from=-3d");
  assert.deepEqual(
    body.hours.map(({ spans, bytes, inputTokens, gpuSeconds }) => [
      spans,
      bytes,
      inputTokens,
      gpuSeconds,
    ]),
    [
      [7, 100, 70, 1.5],
      [1, 50, 100, 2],
    ],
  );
  assert.deepEqual([body.spans, body.bytes, body.outputTokens], [8, 150, 741]);
});
