/**
 * When a group closes, in what order its tables are written, and what its requests are told, with a
 * clock in the test's hand and an insert that the test answers.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRegistry } from "@axonize/core/runtime/metrics";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import * as limits from "../limits.ts";
import { createIngestMetrics } from "../metrics.ts";
import type { Block } from "./block.ts";
import { createBudget } from "./budget.ts";
import { createGroupCommit } from "./group.ts";
import type { Inserted } from "./insert.ts";

function arrange(clock = createFakeClock()) {
  const inserts: { block: Block; deadlineMs: number; answer: (outcome: Inserted) => void }[] = [];
  let rows = 0;
  let committed = 0;
  const source = {
    openRows: () => rows,
    openBytes: () => rows * 100,
    take: () => {
      const taken = rows;
      rows = 0;
      return ["spans", "resources", "span_payloads"].map((table) => ({
        table,
        rows: taken,
        bytes: new Uint8Array(taken * 100),
        committed: () => {
          committed += 1;
        },
      }));
    },
  };
  const budget = createBudget({ clock }, { bytes: 1e9, openBytes: () => rows * 100 });
  const groups = createGroupCommit({
    clock,
    metrics: createIngestMetrics(createRegistry()),
    budget,
    sources: [source],
    insert: async (block, deadlineMs) =>
      await new Promise((answer) => inserts.push({ block, deadlineMs, answer })),
  });
  return {
    clock,
    inserts,
    budget,
    groups,
    committed: () => committed,
    join: async (count: number) => {
      rows += count;
      return await groups.join();
    },
    /** Answers what is being inserted now, and lets what follows begin. */
    answerAll: async (outcome: Inserted = { ok: true }) => {
      for (const { answer } of inserts.splice(0)) answer(outcome);
      await clock.advance(0);
    },
    tables: () => inserts.map(({ block }) => block.table).sort(),
  };
}

test("spans are written only when all that describes them is in", async () => {
  const it = arrange();
  const outcome = it.join(1);
  await it.clock.advance(limits.groupIdleMs);
  assert.deepEqual(it.tables(), ["resources", "span_payloads"]);
  await it.answerAll();
  assert.deepEqual(it.tables(), ["spans"]);
  await it.answerAll();
  assert.deepEqual(await outcome, { ok: true });
  assert.equal(it.committed(), 3);
  assert.equal(it.budget.heldBytes(), 0);
});

test("a failed table fails the whole group, and spans are not written", async () => {
  const it = arrange();
  const failure = { ok: false, reason: "unavailable", message: "away" } as const;
  const both = [it.join(1), it.join(1)];
  await it.clock.advance(limits.groupIdleMs);
  await it.answerAll(failure);
  assert.deepEqual(await Promise.all(both), [failure, failure]);
  assert.deepEqual(it.tables(), []);
  assert.equal(it.committed(), 0);
  assert.equal(it.budget.heldBytes(), 0);
});

test("a process that was held up while a group opened still settles it", async () => {
  const clock = createFakeClock();
  let heldUpMs = 0;
  // Between any two looks at the clock half a second passes, as on a machine that swaps.
  const it = arrange({ ...clock, monotonic: () => clock.monotonic() + (heldUpMs += 500) });
  const outcome = it.join(1);
  await it.answerAll();
  await it.answerAll();
  assert.deepEqual(await outcome, { ok: true });
});

test("a steady trickle closes a group at its age, many rows close it at once", async () => {
  const it = arrange();
  const step = limits.groupIdleMs - 5;
  let joins = 0;
  for (; it.inserts.length === 0; joins += 1) {
    void it.join(1);
    await it.clock.advance(step);
  }
  assert.equal(joins, Math.ceil(limits.groupAgeMs / step));
  assert.equal(it.inserts[0]?.block.rows, joins);
  await it.answerAll();
  await it.answerAll();
  void it.join(limits.groupRows);
  assert.deepEqual(it.tables(), ["resources", "span_payloads"]);
});

test("with every slot busy the open group grows, and goes when one is free", async () => {
  const it = arrange();
  void it.join(limits.groupRows);
  void it.join(limits.groupRows);
  assert.equal(it.inserts.length, 4, "two groups, two tables each");
  const third = it.join(5);
  await it.clock.advance(limits.groupAgeMs * 2);
  const fourth = it.join(6);
  assert.equal(it.inserts.length, 4, "no slot");
  await it.answerAll(); // resources and payloads of both
  await it.answerAll(); // their spans: both slots are free
  assert.deepEqual(new Set(it.inserts.map(({ block }) => block.rows)), new Set([11]));
  await it.answerAll();
  await it.answerAll();
  assert.deepEqual(await Promise.all([third, fourth]), [{ ok: true }, { ok: true }]);
});

test("a group that is too large does not wait for a slot", async () => {
  const it = arrange();
  void it.join(limits.groupRows);
  void it.join(limits.groupRows);
  void it.join(limits.groupBytes / 100);
  assert.equal(it.inserts.length, 6);
  assert.ok(it.budget.heldBytes() >= limits.groupBytes);
});

test("a flush commits what is open", async () => {
  const it = arrange();
  const outcome = it.join(2);
  const flushed = it.groups.flush();
  await it.answerAll();
  await it.answerAll();
  await flushed;
  assert.deepEqual(await outcome, { ok: true });
});

test("bodies wait in line for room and give up when it takes too long", async () => {
  const clock = createFakeClock();
  const budget = createBudget({ clock }, { bytes: 1000, openBytes: () => 0 });
  assert.ok(await budget.admit(500));
  const second = budget.admit(400);
  const third = budget.admit(10);
  await clock.advance(limits.roomWaitMs - 1);
  budget.release(500);
  assert.deepEqual(await Promise.all([second, third]), [true, true]);
  const late = budget.admit(600);
  await clock.advance(limits.roomWaitMs);
  assert.equal(await late, false);
  assert.ok(budget.reserve(400));
  assert.ok(!budget.reserve(400), "beyond the hard mark");
  assert.equal(budget.heldBytes(), 810);
});
