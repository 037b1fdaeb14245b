/**
 * The loop on a clock that a test turns, over the false driver: what an hour's jump of the wall clock does,
 * what a main thread that takes nothing does, and that a plan is a plan.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { createFakeClock, type FakeClock } from "../../test/support/fake-clock.ts";
import { defaultPoolConfig } from "../pool-config.ts";
import { createFakeNode, type FakeNode } from "../testing/fake-driver.ts";
import { readDriver } from "../testing/read-driver.ts";
import { readBatch } from "./batch.ts";
import { unackedBatches } from "./limits.ts";
import { createLoop } from "./loop.ts";
import type { FromWorker } from "./protocol.ts";
import { settingsOf } from "./settings.ts";

async function live(
  node: FakeNode,
  during: (clock: FakeClock, loop: ReturnType<typeof createLoop>) => Promise<void>,
): Promise<FromWorker[]> {
  const messages: FromWorker[] = [];
  const clock = createFakeClock();
  using reader = readDriver(node.library());
  const closing = new AbortController();
  const loop = createLoop(
    {
      clock,
      cpuMs: () => 0,
      driver: reader.driver,
      emit: (message) => void messages.push(message),
    },
    settingsOf(defaultPoolConfig),
  );
  const running = loop.run(closing.signal);
  await during(clock, loop);
  closing.abort();
  await running;
  return messages;
}

const batchesOf = (messages: readonly FromWorker[]) =>
  messages.flatMap((message) => (message.type === "batch" ? [message.batch] : []));

test("a second of life is ten short ticks and one long one, on time and in one batch", async () => {
  using node = createFakeNode("gpu 0 h100", "load steady 0.5");
  const messages = await live(node, async (clock) => await clock.advance(10_050));
  const batches = batchesOf(messages).filter(({ numbers }) => numbers.length > 0);
  const ticks = batches.flatMap(({ lateMs }) => lateMs);
  assert.ok(ticks.length >= 99 && ticks.length <= 100, `${ticks.length} ticks`);
  assert.ok(ticks.every((ms) => ms < 1));
  assert.ok(batches.every(({ missedTicks }) => missedTicks === 0));
  let long = 0;
  for (const { numbers } of batches) {
    readBatch(numbers, (_ordinal, group) => {
      if (group === "gpu") long += 1;
    });
  }
  assert.equal(long, 10);
});

test("an hour's jump of the wall clock is told, and neither bunches ticks nor stops them", async () => {
  using node = createFakeNode("gpu 0 h100");
  for (const ms of [3_600_000, -3_600_000]) {
    const messages = await live(node, async (clock) => {
      await clock.advance(2_050);
      clock.jump(ms);
      await clock.advance(2_000);
    });
    const jumps = messages.filter((message) => message.type === "jump");
    assert.deepEqual(jumps, [{ type: "jump", ms }]);
    const batches = batchesOf(messages);
    const ticks = batches.flatMap(({ lateMs }) => lateMs);
    assert.ok(ticks.length >= 38 && ticks.length <= 40, `${ticks.length} ticks in four seconds`);
    assert.equal(Math.max(...ticks.map((late) => Math.floor(late))), 0);
  }
});

test("a main thread that takes no batch costs a bounded number of them, and hears how many", async () => {
  using node = createFakeNode("gpu 0 h100");
  const messages = await live(node, async (clock, loop) => {
    await clock.advance((unackedBatches + 10) * 1_000 + 50);
    loop.took();
    await clock.advance(1_000);
  });
  const batches = batchesOf(messages);
  assert.equal(batches.length, unackedBatches + 1);
  assert.ok((batches.at(-1)?.droppedBatches ?? 0) >= 9);
});

test("without a driver under it any more the loop ends by itself and says why", async () => {
  using node = createFakeNode("gpu 0 h100");
  const messages = await live(node, async (clock) => {
    await clock.advance(1_050);
    node.write("gpu 0 h100", "upgraded 1");
    await clock.advance(3_000);
  });
  const last = messages.at(-1);
  assert.equal(last?.type === "trouble" && last.reason, "library_mismatch");
  const after = batchesOf(messages).flatMap(({ missing }) => missing.map(({ reason }) => reason));
  assert.ok(
    after.every(
      (reason) => reason === "library_mismatch" || reason === "no_data" || reason === undefined,
    ),
  );
});
