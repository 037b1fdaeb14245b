/**
 * URLs of objects, and what is told from an error's shape.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ApiError,
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  isTerminating,
  TerminalError,
} from "./api-error.ts";
import { apiVersionOf, collectionPath, keyOf, objectPath, secrets, gpuPools } from "./kinds.ts";

test("paths follow group, scope and subresource, and names are escaped", () => {
  assert.equal(collectionPath(secrets), "/api/v1/secrets");
  assert.equal(collectionPath(secrets, "a"), "/api/v1/namespaces/a/secrets");
  assert.equal(
    objectPath({ kind: gpuPools, name: "h100" }, "status"),
    "/apis/axonize.io/v1alpha1/gpupools/h100/status",
  );
  assert.equal(
    objectPath({ kind: secrets, namespace: "n", name: "../x" }),
    "/api/v1/namespaces/n/secrets/..%2Fx",
  );
  assert.throws(() => objectPath({ kind: secrets, name: "x" }), /needs a namespace/);
  assert.equal(apiVersionOf(secrets), "v1");
  assert.equal(apiVersionOf(gpuPools), "axonize.io/v1alpha1");
  assert.equal(keyOf({ metadata: { namespace: "n", name: "x" } }), "n/x");
  assert.equal(keyOf({ metadata: { name: "x" } }), "x");
});

test("errors are told apart by status and reason", () => {
  const error = (status: number, reason: string, message = ""): ApiError =>
    new ApiError(message, { status, reason });
  assert.ok(isNotFound(error(404, "NotFound")));
  assert.ok(isConflict(error(409, "Conflict")));
  assert.ok(!isConflict(error(409, "AlreadyExists")));
  assert.ok(isAlreadyExists(error(409, "AlreadyExists")));
  assert.ok(isExpired(error(410, "Gone")) && isExpired(error(410, "Expired")));
  const text = "unable to create new content in namespace x because it is being terminated";
  assert.ok(isTerminating(error(403, "Forbidden", text)));
  assert.ok(!isTerminating(error(403, "Forbidden", "no")));
  for (const is of [isNotFound, isConflict, isExpired, isTerminating]) {
    assert.ok(!is(new TerminalError("no")));
  }
});
