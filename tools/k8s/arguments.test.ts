// What `cluster up` takes, and that it takes nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ownerArguments, parseUp } from "./arguments.ts";

test("a cluster has this tree's images unless told otherwise, and nothing else unless asked", () => {
  assert.deepEqual(parseUp([]), { kwok: false, images: true, gpus: false });
  assert.deepEqual(parseUp(["--gpus", "--no-images"]), { kwok: false, images: false, gpus: true });
});

test("a flag that does not exist is refused, with those that do", () => {
  for (const unknown of ["--gpu", "gpus", "--gpus=1", ""]) {
    assert.throws(() => parseUp(["--kwok", unknown]), /has no ".*It takes --gpus, --kwok/);
  }
});

test("the owner is started with what the person asked for", () => {
  const asked = parseUp(["--kwok", "--gpus"]);
  assert.deepEqual(parseUp(ownerArguments(asked)), asked);
});
