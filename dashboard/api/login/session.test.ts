/** The cookies of log-in: what fits comes back as it was, and what does not is said. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { AxonizeError } from "@axonize/core/runtime/error";
import { createCookies } from "./session.ts";

const cookies = createCookies(
  { clock: systemClock },
  {
    signingKey: "a-signing-key-of-32-characters-or-more",
    path: "/",
    secure: true,
    sessionMs: 3_600_000,
  },
);
const person = { subject: "248289761001", name: "Jane Doe", csrf: "c".repeat(22) };

test("a person of sixty groups has them all; of a hundred, is told and not cut off", async () => {
  const groups = Array.from({ length: 60 }, () => randomUUID());
  const cookie = await cookies.issueSession({ ...person, groups });
  assert.ok(cookie.length < 4_096);
  const session = await cookies.readSession(cookie.split(";", 1)[0]);
  assert.deepEqual(session?.groups, groups);
  await assert.rejects(
    cookies.issueSession({ ...person, groups: Array.from({ length: 100 }, () => randomUUID()) }),
    (error: unknown) => {
      assert.ok(error instanceof AxonizeError);
      assert.equal(error.code, "forbidden");
      assert.match(error.message, /AXONIZE_OIDC_ROLES/);
      return true;
    },
  );
});

test("the cookie of one purpose is none of the other", async () => {
  const session = await cookies.issueSession({ ...person, groups: ["a"] });
  const value = /=([^;]+)/.exec(session)?.[1] ?? "";
  assert.equal(await cookies.readAttempt(`axonize_login=${value}`), undefined);
  assert.equal(await cookies.readSession(`axonize_session=${value}x`), undefined);
});
