/** Who may write for which node: tokens against a TokenReview as the API server answers it, over TLS. */
import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "@axonize/core/runtime/log";
import type { Access } from "@axonize/core/runtime/access";
import { startTokenReviewServer, tokenOf } from "../testing/token-review-server.ts";
import { createAuthorize } from "./credential.ts";
import { createTokenReviews } from "./token-review.ts";

/** Knows the admin key and nothing else. */
const access: Pick<Access, "authenticate"> = {
  authenticate: (credential) =>
    credential === "the-admin-key"
      ? { tenant: undefined, scopes: new Set(["Admin"]), keyId: undefined, admin: true }
      : credential === "a-tenant-key"
        ? { tenant: undefined, scopes: new Set(["Ingest"]), keyId: "k", admin: false }
        : { code: "unauthenticated", message: "not known" },
};

test("a token speaks for the node of its claim; every other credential is judged for what it is", async () => {
  await using api = await startTokenReviewServer();
  const clock = createFakeClock();
  const reviews = createTokenReviews(
    { log: silentLog },
    {
      apiServer: api.url,
      tokenFile: join(api.directory, "token"),
      authorityFile: join(api.directory, "ca.crt"),
      serviceAccounts: ["axonize-agents:axonize-agent"],
    },
  );
  const authorize = createAuthorize(
    // Safe: nothing else of it is asked.
    { access: access as Access, clock, reviews },
    { processSecret: "secret-of-this-process" },
  );
  assert.deepEqual(await authorize(tokenOf("good")), { ok: true, node: "node-a", expiresMs: 2e12 });
  for (const [name, words] of [
    ["other-audience", /not for the audience axonize/],
    ["other-account", /no agent's/],
    ["no-node", /names no node/],
    ["forged", /does not know this token/],
  ] as const) {
    const refusal = await authorize(tokenOf(name));
    assert.ok(!refusal.ok && refusal.code === "unauthenticated", name);
    assert.match(refusal.message, words);
  }
  const any = { ok: true, node: undefined, expiresMs: undefined };
  assert.deepEqual(await authorize("secret-of-this-process"), any);
  assert.deepEqual(await authorize("the-admin-key"), any);
  const tenant = await authorize("a-tenant-key");
  assert.ok(!tenant.ok && tenant.code === "forbidden");
  for (const none of [undefined, "", "nonsense", "x".repeat(9_000)]) {
    const refusal = await authorize(none);
    assert.ok(!refusal.ok && refusal.code === "unauthenticated", String(none).slice(0, 20));
  }
});

test("a review is remembered for a minute, and an API server that does not answer lets nobody in", async () => {
  await using api = await startTokenReviewServer();
  const clock = createFakeClock();
  const reviews = createTokenReviews(
    { log: silentLog },
    {
      apiServer: api.url,
      tokenFile: join(api.directory, "token"),
      authorityFile: join(api.directory, "ca.crt"),
      serviceAccounts: ["axonize-agents:axonize-agent"],
    },
  );
  const authorize = createAuthorize(
    { access: access as Access, clock, reviews },
    { processSecret: undefined },
  );
  for (let time = 0; time < 5; time += 1) assert.ok((await authorize(tokenOf("good"))).ok);
  assert.equal(api.asked(), 1);
  await clock.advance(61_000);
  api.fail(true);
  const refusal = await authorize(tokenOf("good"));
  assert.ok(!refusal.ok && refusal.code === "unavailable");
  api.fail(false);
  assert.ok((await authorize(tokenOf("good"))).ok, "a failure is not remembered");
  const none = createAuthorize(
    { access: access as Access, clock, reviews: undefined },
    { processSecret: undefined },
  );
  const outside = await none(tokenOf("good"));
  assert.ok(!outside.ok && outside.code === "unauthenticated");
});
