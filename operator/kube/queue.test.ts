/**
 * The work queue by its rules: any order of adds, takes and ends, delays on a fake clock, backoff, classes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeClock } from "../../test/support/fake-clock.ts";
import { createRegistry } from "@axonize/core/runtime/metrics";
import fc from "fast-check";
import { createKubeMetrics, initControllerMetrics } from "./metrics.ts";
import { createQueue, type QueueItem, type WorkQueue } from "./queue.ts";
import { valueOf } from "./testing/cluster.ts";

const newQueue = (): { queue: WorkQueue; clock: ReturnType<typeof createFakeClock> } => {
  const clock = createFakeClock();
  return { clock, queue: createQueue({ clock, random: () => 0.5 }, { name: "test" }) };
};
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** What a worker got so far. */
function worker(queue: WorkQueue): { got: QueueItem[]; ask(): Promise<void> } {
  const got: QueueItem[] = [];
  return {
    got,
    ask: async () => {
      const item = queue.take();
      void item.then((taken) => void (taken && got.push(taken)));
      await turn();
    },
  };
}

test("for any order of adds, takes and ends: one run of a key at a time, a run after the last add, no more runs than adds", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("a", "b", "c") }),
    fc.record({
      do: fc.constant("later" as const),
      key: fc.constantFrom("a", "b", "c"),
      ms: fc.integer({ min: 1, max: 50 }),
    }),
    fc.record({ do: fc.constant("take" as const) }),
    fc.record({ do: fc.constant("done" as const), pick: fc.nat(5) }),
    fc.record({ do: fc.constant("advance" as const), ms: fc.integer({ min: 1, max: 60 }) }),
  );
  const report = await fc.check(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { queue, clock } = newQueue();
      const running: string[] = [];
      const adds = new Map<string, number>();
      const runs = new Map<string, number>();
      const owed = new Set<string>();
      const add = (key: string, ms?: number): void => {
        adds.set(key, (adds.get(key) ?? 0) + 1);
        owed.add(key);
        queue.add(key, ms === undefined ? {} : { afterMs: ms });
      };
      const take = async (): Promise<void> => {
        if (queue.depth().ready === 0) return;
        const item = await queue.take();
        assert.ok(item);
        assert.ok(!running.includes(item.key), `${item.key} runs twice at once`);
        running.push(item.key);
        owed.delete(item.key);
        runs.set(item.key, (runs.get(item.key) ?? 0) + 1);
      };
      for (const each of steps) {
        if (each.do === "add") add(each.key);
        else if (each.do === "later") add(each.key, each.ms);
        else if (each.do === "take") await take();
        else if (each.do === "advance") await clock.advance(each.ms);
        else if (running.length > 0) {
          const [key] = running.splice(each.pick % running.length, 1);
          if (key !== undefined) queue.done(key);
        }
      }
      for (let i = 0; i < 200 && (owed.size > 0 || running.length > 0); i += 1) {
        for (const key of running.splice(0)) queue.done(key);
        await clock.advance(60);
        await take();
      }
      assert.deepEqual([...owed], [], "asked for and never run");
      for (const [key, count] of runs)
        assert.ok(count <= (adds.get(key) ?? 0), `${key} ran too often`);
    }),
    { numRuns: 300 },
  );
  console.log(`seed ${report.seed}`);
  assert.ok(!report.failed, fc.defaultReportMessage(report));
});

test("a key that is asked for while it is worked on comes again when that ends, once", async () => {
  const { queue } = newQueue();
  const one = worker(queue);
  queue.add("a");
  await one.ask();
  for (let i = 0; i < 5; i += 1) queue.add("a");
  await one.ask();
  assert.deepEqual(one.got.length, 1, "not while it is worked on");
  queue.done("a");
  await turn();
  assert.deepEqual(one.got.length, 2);
  queue.done("a");
  assert.deepEqual(queue.depth(), { ready: 0, delayed: 0, processing: 0 });
});

test("of two delays the earlier wins, and an add at once ends the delay", async () => {
  const { queue, clock } = newQueue();
  const one = worker(queue);
  queue.add("a", { afterMs: 100 });
  queue.add("a", { afterMs: 50 });
  queue.add("a", { afterMs: 70 });
  await one.ask();
  await clock.advance(49);
  assert.equal(one.got.length, 0);
  await clock.advance(1);
  await turn();
  assert.equal(one.got.length, 1);
  queue.done("a");
  await clock.advance(200);
  await one.ask();
  assert.equal(one.got.length, 1, "the later ones are gone");
  queue.add("b", { afterMs: 1000 });
  queue.add("b");
  await turn();
  assert.equal(one.got.at(-1)?.key, "b");
  queue.done("b");
  await clock.advance(2000);
  assert.deepEqual(queue.depth(), { ready: 0, delayed: 0, processing: 0 });
});

test("failures wait 5 ms × 2ⁿ up to their cap, a success begins anew, and jitter is within a tenth", async () => {
  const { queue, clock } = newQueue();
  const item = { key: "a", priority: "change" } as const;
  const waits: number[] = [];
  const measure = async (bounds?: { mostMs?: number; leastMs?: number }): Promise<number> => {
    queue.retry(item, bounds);
    const one = worker(queue);
    await one.ask();
    const startMs = clock.monotonic();
    for (let ms = 0.5; one.got.length === 0; ms *= 1.02) {
      await clock.advance(ms);
      await turn();
    }
    queue.done("a");
    return clock.monotonic() - startMs;
  };
  for (let i = 0; i < 20; i += 1) waits.push(await measure());
  waits.slice(0, 17).forEach((wait, n) => {
    const exact = 5 * 2 ** n;
    assert.ok(wait >= exact && wait <= exact * 1.1 + 1, `${n}: ${wait} for ${exact}`);
  });
  assert.ok((waits.at(-1) ?? 0) <= 1_100_000, "the cap of 1000 s");
  assert.ok((await measure({ mostMs: 300_000 })) <= 330_000, "a store that is away: 5 minutes");
  queue.forget("a");
  assert.ok((await measure()) < 8, "after a success it begins anew");
  assert.ok((await measure({ leastMs: 2_000 })) >= 2_000, "what the server asked for");
  for (const [random, factor] of [
    [0, 0.9],
    [1, 1.1],
  ] as const) {
    const clock2 = createFakeClock();
    const jittered = createQueue({ clock: clock2, random: () => random }, { name: "j" });
    for (let i = 0; i < 10; i += 1) jittered.retry(item);
    const one = worker(jittered);
    await one.ask();
    await clock2.advance(5 * factor - 0.01);
    assert.equal(one.got.length, 0);
    await clock2.advance(0.02);
    await turn();
    assert.equal(one.got.length, 1);
  }
});

test("changes go before resyncs, the higher class wins, and resyncs move in a storm of changes, too", async () => {
  const { queue } = newQueue();
  queue.add("old", { priority: "resync" });
  queue.add("raised", { priority: "resync" });
  queue.add("new");
  queue.add("raised");
  const order: string[] = [];
  for (let i = 0; i < 3; i += 1) {
    const item = await queue.take();
    order.push(`${item?.key}:${item?.priority}`);
    queue.done(item?.key ?? "");
  }
  assert.deepEqual(order, ["new:change", "raised:change", "old:resync"]);
  queue.add("waits", { priority: "resync" });
  let picks = 0;
  for (let i = 0; ; i += 1) {
    queue.add(`storm-${i}-a`);
    queue.add(`storm-${i}-b`);
    const item = await queue.take();
    queue.done(item?.key ?? "");
    picks += 1;
    if (item?.key === "waits") break;
    assert.ok(picks < 20, "starved");
  }
});

test("a closed queue hands out nothing, wakes who waits and forgets its delays", async () => {
  const { queue, clock } = newQueue();
  const waiting = queue.take();
  queue.add("later", { afterMs: 10 });
  queue.close();
  assert.equal(await waiting, undefined);
  queue.add("a");
  assert.equal(await queue.take(), undefined);
  await clock.advance(100);
  assert.deepEqual(queue.depth(), { ready: 0, delayed: 0, processing: 0 });
});

test("10,000 delays keep one timer", async () => {
  const clock = createFakeClock();
  let sleepers = 0;
  const counting = {
    ...clock,
    sleep: async (ms: number, signal?: AbortSignal) => {
      sleepers += 1;
      try {
        await clock.sleep(ms, signal);
      } finally {
        sleepers -= 1;
      }
    },
  };
  const queue = createQueue({ clock: counting, random: () => 0.5 }, { name: "many" });
  for (let i = 0; i < 10_000; i += 1) queue.add(`k${i}`, { afterMs: 1 + ((i * 7919) % 10_000) });
  await turn();
  assert.equal(sleepers, 1);
  await clock.advance(5_000);
  assert.equal(queue.depth().ready, 5_000);
  await clock.advance(5_000);
  assert.equal(queue.depth().ready, 10_000);
});

test("the queue's metrics stand at 0 from the start and follow it", async () => {
  const registry = createRegistry();
  const metrics = createKubeMetrics(registry);
  initControllerMetrics(metrics, "tenant", 4);
  const labels = { name: "tenant", controller: "tenant" };
  for (const name of ["workqueue_adds_total", "workqueue_retries_total", "workqueue_depth"]) {
    assert.equal(await valueOf(registry, name, labels), 0, name);
  }
  const clock = createFakeClock();
  const queue = createQueue({ clock, random: () => 0.5, metrics }, { name: "tenant" });
  queue.add("a");
  queue.add("a");
  queue.add("b", { priority: "resync" });
  assert.equal(await valueOf(registry, "workqueue_adds_total", labels), 2);
  assert.equal(await valueOf(registry, "workqueue_depth", { ...labels, priority: "resync" }), 1);
  await queue.take();
  await clock.advance(3_000);
  queue.observe();
  assert.equal(await valueOf(registry, "workqueue_unfinished_work_seconds", labels), 3);
  assert.equal(await valueOf(registry, "workqueue_longest_running_processor_seconds", labels), 3);
  queue.retry({ key: "a", priority: "change" });
  queue.done("a");
  assert.equal(await valueOf(registry, "workqueue_retries_total", labels), 1);
});
