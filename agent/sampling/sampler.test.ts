/**
 * Sampling as a whole against the false driver: what arrives at the reporter, what happens when devices
 * and drivers go and come, and that the caller's event loop never waits for any of it.
 */
import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import test from "node:test";
import { systemClock } from "@axonize/core/runtime/clock";
import { silentLog } from "@axonize/core/runtime/log";
import { createRegistry } from "@axonize/core/runtime/metrics";
import type { PoolConfig } from "@axonize/core/contract/agent";
import { createCollectingReporter } from "../testing/collecting-reporter.ts";
import { createFakeNode, type FakeNode } from "../testing/fake-driver.ts";
import { createSamplingMetrics } from "./metrics.ts";
import { createSampler } from "./sampler.ts";

function start(node: Pick<FakeNode, "library">, config: Partial<PoolConfig> = {}) {
  const reporter = createCollectingReporter({ reportPeriodMs: 200, ...config });
  const metrics = createSamplingMetrics(createRegistry());
  let hopeless = 0;
  const sampler = createSampler(
    { clock: systemClock, log: silentLog, reporter, metrics, onHopeless: () => (hopeless += 1) },
    { libraryPath: node.library(), procRoot: "/proc" },
  );
  return {
    sampler,
    told: reporter.told,
    reporter,
    hopeless: () => hopeless,
    [Symbol.asyncDispose]: async () => await sampler[Symbol.asyncDispose](),
  };
}

async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("devices are told before their samples, and samples carry what each device can tell", async () => {
  using node = createFakeNode("node mixed-8", `process 1 ${process.pid} 10`);
  await using run = start(node, { slowPeriodMs: 300, processPeriodMs: 1_000 });
  const first: string[] = [];
  run.sampler.onDevices(() => first.push(`devices ${run.told.samples.length}`));
  await until(() => run.told.samples.some(({ values }) => "smActivityRatio" in values), "GPM");
  assert.equal(first[0], "devices 0");
  const [devices] = run.told.devices;
  assert.equal(devices?.length, 16);
  const known = new Set(devices.map(({ uuid }) => uuid));
  assert.ok(run.told.samples.every(({ deviceUuid }) => known.has(deviceUuid)));
  const seen = run.sampler.devices();
  const [h100, whole] = seen?.gpus ?? [];
  assert.ok(h100 && whole);
  const of = (uuid: string) => run.told.samples.filter(({ deviceUuid }) => deviceUuid === uuid);
  assert.ok(of(whole.uuid).some(({ values }) => values.utilizationRatio !== undefined));
  assert.ok(of(h100.uuid).every(({ values }) => values.utilizationRatio === undefined));
  assert.ok(of(h100.uuid).some(({ values }) => values.powerWatts !== undefined));
  const slice = h100.slices[0];
  assert.ok(of(slice?.uuid ?? "").every(({ values }) => values.powerWatts === undefined));
  assert.equal(run.sampler.latest.missing().get(h100.uuid)?.get("utilizationRatio"), "mig_enabled");
  assert.match(seen?.driverEpoch ?? "", /^580\.[\d.]+#0$/);
  await until(() => run.sampler.processes() !== undefined, "a process list");
  assert.deepEqual(
    run.sampler.processes()?.list.rows.map(({ pid, device }) => [pid, device]),
    [[process.pid, whole.uuid]],
  );
});

test("a driver that takes 100 ms a call never holds up the event loop, and is sampled all the same", async () => {
  using node = createFakeNode("gpu 0 h100", "cost MemoryInfo 100000", "cost RunningProcess 100000");
  await using run = start(node, { slowPeriodMs: 200, processPeriodMs: 1_000 });
  await until(() => run.told.samples.length > 0, "samples");
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const blocks: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    const before = run.told.samples.length;
    delay.reset();
    delay.enable();
    await until(() => run.told.samples.length > before + 10, "samples");
    delay.disable();
    blocks.push(delay.max / 1e6);
  }
  // The least of four: a busy machine may stop this thread once; a call that blocks it would each time,
  // and for 100 ms.
  assert.ok(Math.min(...blocks) < 50, `${blocks.join()} ms`);
  const { costs } = run.sampler.state().batch ?? assert.fail("no batch");
  assert.ok(costs.slow.slowestMs >= 100, `a call took ${costs.slow.slowestMs} ms`);
});

test("a GPU that falls off the bus is an event, and its return another; the other GPU goes on", async () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100");
  await using run = start(node);
  await until(() => run.told.samples.length > 4, "samples");
  const uuid = run.sampler.devices()?.gpus[1]?.uuid ?? "";
  node.write("gpu 0 h100", "gpu 1 h100", "lost 1");
  await until(() => run.told.events.some(({ kind }) => kind === "lost"), "the loss");
  const lostMs = run.told.events.find(({ kind }) => kind === "lost")?.atMs ?? 0;
  const later = run.told.samples.length;
  await until(() => run.told.samples.length > later + 4, "samples of the other");
  const after = run.told.samples.filter(({ atMs }) => atMs > lostMs);
  assert.ok(after.length > 0 && after.every(({ deviceUuid }) => deviceUuid !== uuid));
  assert.equal(run.sampler.latest.device(uuid).value("powerWatts"), undefined);
  node.write("gpu 0 h100", "gpu 1 h100");
  await until(() => run.told.events.some(({ kind }) => kind === "recovered"), "the return");
  assert.ok(run.told.events.every(({ gpuUuid }) => gpuUuid === uuid));
});

test("a repartition is seen within a second or so, told before samples of the new slices", async () => {
  using node = createFakeNode("gpu 0 h100 mig=1", "slice 0 0 3g.40gb gi=1");
  await using run = start(node, { slowPeriodMs: 200 });
  await until(() => run.told.samples.length > 4, "samples");
  node.write("gpu 0 h100 mig=1", "slice 0 0 1g.10gb gi=7", "slice 0 1 1g.10gb gi=8");
  await until(() => run.told.devices.length === 2, "the new slices", 10_000);
  assert.deepEqual(
    run.told.devices[1]?.map(({ migProfile }) => migProfile),
    ["", "1g.10gb", "1g.10gb"],
  );
  const event = run.told.events.find(({ kind }) => kind === "mig");
  assert.deepEqual(event?.detail, {
    change: "repartitioned",
    added: "1g.10gb 1g.10gb",
    removed: "3g.40gb",
  });
  const fresh = run.told.devices[1]?.at(-1)?.uuid;
  await until(() => run.told.samples.some((s) => s.deviceUuid === fresh), "its samples");
});

test("MIG toggled under a running sampler moves utilisation between measured and absent, and loses no GPU", async () => {
  const whole = ["gpu 0 h100", "load steady 0.5"];
  using node = createFakeNode(...whole);
  await using run = start(node, { slowPeriodMs: 200 });
  const utilization = (atMs: number, uuid: string): boolean =>
    run.told.samples.some(
      (each) => each.atMs > atMs && each.deviceUuid === uuid && "utilizationRatio" in each.values,
    );
  await until(() => run.told.samples.length > 4, "samples");
  const uuid = run.sampler.devices()?.gpus[0]?.uuid ?? "";
  assert.ok(utilization(0, uuid));
  node.write("gpu 0 h100 mig=1", "slice 0 0 3g.40gb gi=1", "load steady 0.5");
  await until(() => run.told.events.some(({ kind }) => kind === "mig"), "the toggle", 10_000);
  const cutMs = Date.now();
  const slice = run.sampler.devices()?.gpus[0]?.slices[0]?.uuid ?? "";
  await until(
    () => run.told.samples.some((each) => each.deviceUuid === slice),
    "samples of the slice",
  );
  await until(
    () => run.told.samples.some((each) => each.deviceUuid === uuid && each.atMs > cutMs),
    "samples of the card",
  );
  assert.ok(!utilization(cutMs, uuid), "a partitioned card does not tell it");
  node.write(...whole);
  const backMs = Date.now();
  await until(() => utilization(backMs, uuid), "utilisation again", 10_000);
  assert.deepEqual(run.sampler.devices()?.gpus[0]?.slices, []);
  assert.ok(run.told.events.every(({ kind }) => kind === "mig"));
});

test("an XID is an event with its number and its slice", async () => {
  const lines = ["gpu 0 h100 mig=1", "slice 0 0 3g.40gb gi=1 ci=0"];
  using node = createFakeNode(...lines);
  await using run = start(node);
  await until(() => run.told.samples.length > 0, "samples");
  node.write(...lines, "event 1 0 0x8 48 gi=1 ci=0");
  await until(() => run.told.events.length > 0, "the XID");
  const gpu = run.sampler.devices()?.gpus[0];
  const [event] = run.told.events;
  assert.equal(event?.kind, "xid");
  assert.equal(event.deviceUuid, gpu?.slices[0]?.uuid);
  assert.equal(event.detail["code"], 48);
  assert.equal(run.sampler.lastXid(gpu?.uuid ?? ""), 48);
});

test("no driver is told and tried again until there is one", async () => {
  using node = createFakeNode("gpu 0 h100", "loaded 0");
  await using run = start(node);
  await until(() => run.sampler.state().trouble !== undefined, "the trouble");
  assert.equal(run.sampler.state().trouble?.reason, "driver_not_loaded");
  assert.equal(run.sampler.devices(), undefined);
  node.write("gpu 0 h100");
  await until(() => run.told.samples.length > 0, "samples");
  assert.equal(run.sampler.state().trouble, undefined);
});

test("a replaced driver ends the readings at once; the library is opened again when it fits", async () => {
  using node = createFakeNode("gpu 0 h100");
  await using run = start(node);
  await until(() => run.told.samples.length > 4, "samples");
  node.write("gpu 0 h100", "upgraded 1");
  await until(() => run.sampler.state().trouble !== undefined, "the trouble", 10_000);
  assert.equal(run.sampler.state().trouble?.reason, "library_mismatch");
  assert.equal(run.hopeless(), 0, "once may mend itself");
  const before = run.told.samples.length;
  node.write("gpu 0 h100");
  await until(() => run.told.samples.length > before, "samples again");
});

test("counters that begin anew are another load of the driver", async () => {
  const now = Math.floor(Date.now() / 1000);
  using node = createFakeNode("gpu 0 h100", `start ${now - 100_000}`);
  await using run = start(node, { slowPeriodMs: 200 });
  const energy = () => run.told.samples.some(({ values }) => "energyMillijoules" in values);
  await until(energy, "the energy counter");
  node.write("gpu 0 h100", `start ${now - 100_000}`, `reload ${now - 10}`);
  const epoch = () => run.sampler.devices()?.driverEpoch.endsWith("#1") === true;
  await until(epoch, "another epoch");
});

test("a changed configuration reaches the sampling thread without a restart", async () => {
  using node = createFakeNode("gpu 0 h100");
  await using run = start(node);
  await until(() => run.sampler.state().batch !== undefined, "a batch");
  run.reporter.configure({ periodMs: 400, metricSets: ["Power"] });
  await until(() => run.sampler.state().batch?.periods.fast === 400, "the new period");
  const before = run.told.samples.length + 2;
  await until(() => run.told.samples.length > before + 3, "samples");
  const fields = new Set(
    run.told.samples.slice(before).flatMap(({ values }) => Object.keys(values)),
  );
  assert.ok(fields.has("powerWatts"));
  assert.ok(!fields.has("utilizationRatio") && !fields.has("memoryUsedBytes"));
});
