/**
 * The NVML thread behind its client: the caller's event loop never waits for the driver, short ticks go
 * on while long reads are slow, events arrive, and the end is clean.
 */
import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { test } from "node:test";
import { createFakeNode, type FakeNode } from "../testing/fake-driver.ts";
import { openNvml, type NvmlClient } from "./client.ts";
import type { DeviceEvent } from "./events.ts";

async function open(node: FakeNode, onEvent: (event: DeviceEvent) => void = () => undefined) {
  const opened = await openNvml({ libraryPath: node.library(), eventWaitMs: 50, onEvent });
  assert.ok("client" in opened, JSON.stringify(opened));
  return opened.client;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function longestBlockMs(work: () => Promise<unknown>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await work();
  delay.disable();
  return delay.max / 1e6;
}

test("topology, samples and processes come over the thread as they are read on it", async () => {
  using node = createFakeNode("node mixed-8", `process 1 ${process.pid} 10`);
  await using client: NvmlClient = await open(node);
  assert.match(client.info.driverVersion ?? "", /^580/);
  const { gpus } = await client.ask("topology");
  assert.equal(gpus.length, 8);
  assert.equal((await client.ask("fast")).length, 8);
  assert.equal((await client.ask("slow")).length, 16);
  assert.equal((await client.ask("gpm")).length, 16);
  const { rows } = await client.ask("processes");
  assert.deepEqual(
    rows.map((row) => row.device),
    [gpus[1]?.uuid],
  );
  assert.equal((await client.ask("costs")).fast.runs, 1);
});

test("a driver that takes 100 ms a call does not hold up the caller's event loop", async () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100", "cost UtilizationRates 100000");
  await using client = await open(node);
  await client.ask("topology");
  const blocks: number[] = [];
  for (let run = 0; run < 4; run += 1) {
    blocks.push(await longestBlockMs(() => client.ask("fast")));
  }
  const { fast } = await client.ask("costs");
  assert.ok(fast.totalMs >= 800, `the driver was slow: ${fast.totalMs} ms`);
  // The least of four: a busy machine may stop this thread once, a blocking call would each time.
  assert.ok(Math.min(...blocks) < 50, `${blocks.join()} ms`);
});

test("a short tick is answered while a long read of a slow driver is under way", async () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100", "cost RunningProcess 100000");
  await using client = await open(node);
  await client.ask("topology");
  let processesDone = false;
  const processes = client.ask("processes").then(() => {
    processesDone = true;
    return undefined;
  });
  const fast = await client.ask("fast");
  assert.equal(processesDone, false, "six lists of 100 ms are not read yet");
  assert.ok(fast[0]?.values.powerWatts);
  await processes;
});

test("the same question asked twice at once is read once", async () => {
  using node = createFakeNode("gpu 0 h100");
  await using client = await open(node);
  await client.ask("topology");
  const [one, two] = await Promise.all([client.ask("slow"), client.ask("slow")]);
  assert.equal(one, two);
  assert.equal((await client.ask("costs")).slow.runs, 1);
});

test("an XID 79 arrives as an event and the GPU is lost", async () => {
  const events: DeviceEvent[] = [];
  using node = createFakeNode("gpu 0 h100", "time 1");
  await using client = await open(node, (event) => events.push(event));
  const { gpus } = await client.ask("topology");
  node.write("gpu 0 h100", "time 1", "xid79 0 0.5");
  await until(() => events.length > 0, "no event came");
  assert.deepEqual(
    events.map((event) => [event.kind, event.data, event.gpuUuid]),
    [["xid", 79, gpus[0]?.uuid]],
  );
  const [fast] = await client.ask("fast");
  assert.equal(fast?.missing.powerWatts, "gpu_lost");
});

test("no driver is an answer, and the thread is gone after it", async () => {
  const opened = await openNvml({
    libraryPath: "/nowhere/libnvidia-ml.so.1",
    eventWaitMs: 50,
    onEvent: () => undefined,
  });
  assert.ok("trouble" in opened);
  assert.equal(opened.trouble, "driver_not_loaded");
});

test("after the end every question is refused", async () => {
  using node = createFakeNode("gpu 0 h100");
  const client = await open(node);
  await client[Symbol.asyncDispose]();
  await assert.rejects(client.ask("fast"), /ended/);
});
