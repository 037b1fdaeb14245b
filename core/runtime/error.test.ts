// The error class: codes have statuses, unknown errors become internal without leaking.
import assert from "node:assert/strict";
import { test } from "node:test";
import { AxonizeError, errorMessage } from "./error.ts";

test("an error has the status of its code", () => {
  assert.equal(new AxonizeError("conflict", "taken").status, 409);
  assert.equal(new AxonizeError("unavailable", "down", { retryAfterSeconds: 1 }).status, 503);
});

test("what is not ours becomes internal, and its message stays in the cause", () => {
  const bug = new TypeError("secret detail");
  const error = AxonizeError.from(bug);
  assert.equal(error.status, 500);
  assert.ok(!error.message.includes("secret detail"));
  assert.equal(error.cause, bug);
  assert.equal(AxonizeError.from(error), error);
});

test("errorMessage takes anything that was thrown", () => {
  assert.equal(errorMessage(new Error("a")), "a");
  assert.equal(errorMessage("b"), "b");
});
