// every(): no overlap, survives a throwing task, stops with its signal.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { every } from "./clock.ts";

test("a task runs once per period and never beside itself", async () => {
  const clock = createFakeClock();
  const abort = new AbortController();
  let running = 0;
  let runs = 0;
  const done = every(
    { clock, ms: 100, signal: abort.signal, onError: (error) => assert.fail(String(error)) },
    async () => {
      running += 1;
      assert.equal(running, 1);
      await clock.sleep(250);
      running -= 1;
      runs += 1;
    },
  );
  await clock.advance(1050);
  assert.equal(runs, 3); // 100 + 250, and again
  abort.abort();
  await clock.advance(300);
  await done;
});

test("a task that throws is reported and runs again", async () => {
  const clock = createFakeClock();
  const abort = new AbortController();
  const errors: unknown[] = [];
  const done = every(
    { clock, ms: 10, signal: abort.signal, onError: (error) => errors.push(error) },
    () => {
      throw new Error("no");
    },
  );
  await clock.advance(35);
  assert.equal(errors.length, 3);
  abort.abort();
  await done;
});
