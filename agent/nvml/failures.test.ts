/**
 * What goes wrong under a running reader: GPUs fall off, MIG is toggled, the driver is replaced, lists
 * are longer than expected. It goes on, says what it lost, and reports no value that it did not measure.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeNode, type FakeNode } from "../testing/fake-driver.ts";
import { readDriver, type ReadDriver } from "../testing/read-driver.ts";
import { openDriver } from "./driver.ts";

const open = (node: FakeNode): ReadDriver => readDriver(node.library());

test("without a library, or without a driver, opening says so and does not throw", () => {
  const options = { pidExists: () => true };
  const none = openDriver({ ...options, libraryPath: "/nowhere/libnvidia-ml.so.1" });
  assert.ok("trouble" in none);
  assert.equal(none.trouble, "driver_not_loaded");
  assert.match(none.detail, /nowhere/);
  using node = createFakeNode("gpu 0 h100", "loaded 0");
  const unloaded = openDriver({ ...options, libraryPath: node.library() });
  assert.ok("trouble" in unloaded);
  assert.equal(unloaded.trouble, "driver_not_loaded");
});

test("a library that is not NVML is refused by name", () => {
  const other = openDriver({ pidExists: () => true, libraryPath: "libm.so.6" });
  assert.ok("trouble" in other);
  assert.equal(other.trouble, "function_missing");
  assert.match(other.detail, /libm\.so\.6 lacks NVML/);
});

test("a GPU that falls off the bus keeps its identity and loses its values; the other goes on", async () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100");
  using driver = open(node);
  const before = driver.topology();
  node.write("gpu 0 h100", "gpu 1 h100", "lost 1");
  const [first, second] = driver.fast();
  assert.ok(first?.values.powerWatts);
  assert.deepEqual(second?.values, {});
  assert.equal(second?.missing.powerWatts, "gpu_lost");
  const after = driver.topology();
  assert.deepEqual(
    after.gpus.map((gpu) => [gpu.uuid, gpu.lost]),
    [
      [before.gpus[0]?.uuid, false],
      [before.gpus[1]?.uuid, true],
    ],
  );
  const slow = driver.slow();
  assert.equal(slow[1]?.missing.memoryUsedBytes, "gpu_lost");
  assert.equal(driver.processes().missing.get(second?.device ?? ""), "gpu_lost");
  node.write("gpu 0 h100", "gpu 1 h100");
  assert.equal(driver.topology().gpus[1]?.lost, false, "a reset brings it back");
});

test("a GPU that was lost before the agent started is told by its place, and the others are read", () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100", "gpu 2 h100", "lost 1");
  using driver = open(node);
  const { gpus, refused } = driver.topology();
  assert.deepEqual(
    gpus.map(({ index }) => index),
    [0, 2],
  );
  assert.deepEqual(refused, [{ index: 1, reason: "gpu_lost" }]);
});

test("a replaced driver is told as what it is, and nothing is measured from it", async () => {
  using node = createFakeNode("gpu 0 h100");
  using driver = open(node);
  const known = driver.topology();
  node.write("gpu 0 h100", "upgraded 1");
  const again = driver.topology();
  assert.equal(again.trouble, "library_mismatch");
  assert.deepEqual(again.gpus, known.gpus);
  const [fast] = driver.fast();
  assert.deepEqual(fast?.values, {});
  assert.equal(fast?.missing.powerWatts, "library_mismatch");
  assert.equal(driver.gpm()[0]?.missing.smActivityRatio, "library_mismatch");
});

test("a repartition under a stale handle yields no value of the new slice for the old one", async () => {
  using node = createFakeNode(
    "gpu 0 h100 mig=1",
    "slice 0 0 3g.40gb gi=1",
    "slice 0 1 1g.10gb gi=9",
  );
  using driver = open(node);
  driver.topology();
  // The handle's place now holds another slice, with more memory than the old one had.
  node.write("gpu 0 h100 mig=1", "slice 0 0 7g.80gb gi=0");
  const [, first, second] = driver.slow();
  assert.deepEqual([first?.values, second?.values], [{}, {}]);
  assert.equal(first?.missing.memoryUsedBytes, "slice_gone");
  assert.equal(second?.missing.memoryUsedBytes, "slice_gone");
  for (const reading of driver.gpm().slice(1)) {
    assert.equal(reading.missing.smActivityRatio, "slice_gone");
  }
  const [gpu] = driver.topology().gpus;
  assert.deepEqual(
    gpu?.slices.map((slice) => slice.profile),
    ["7g.80gb"],
  );
});

test("the same UUID with another profile is seen at the next reading of the topology", async () => {
  using node = createFakeNode("gpu 0 h100 mig=1", "slice 0 0 1g.10gb gi=9 uuid=MIG-same");
  using driver = open(node);
  driver.topology();
  node.write("gpu 0 h100 mig=1", "slice 0 0 1g.20gb gi=9 uuid=MIG-same");
  const [gpu] = driver.topology().gpus;
  assert.equal(gpu?.slices[0]?.uuid, "MIG-same");
  assert.equal(gpu?.slices[0]?.profile, "1g.20gb");
  const gpm = driver.gpm();
  assert.equal(gpm[1]?.missing.smActivityRatio, "no_data", "no average across the two slices");
});

test("toggling MIG moves utilisation between measured and mig_enabled", async () => {
  using node = createFakeNode("gpu 0 h100", "load steady 0.5");
  using driver = open(node);
  driver.topology();
  assert.equal(driver.fast()[0]?.values.utilizationRatio, 0.5);
  node.write("gpu 0 h100 mig=1", "load steady 0.5");
  // Not known yet: the driver itself refuses, and 0 is not reported.
  assert.equal(driver.fast()[0]?.missing.utilizationRatio, "not_supported");
  driver.topology();
  assert.equal(driver.fast()[0]?.missing.utilizationRatio, "mig_enabled");
  node.write("gpu 0 h100", "load steady 0.5");
  driver.topology();
  assert.equal(driver.fast()[0]?.values.utilizationRatio, 0.5);
});

test("without privilege the aggregates are refused and the slices are read one by one", async () => {
  using node = createFakeNode("node a100-mig7", "privileged 0", "process 0 4711 64 slot=2");
  using driver = open(node);
  const [gpu] = driver.topology().gpus;
  assert.equal(gpu?.slices[0]?.placementMissing, "no_permission");
  const [parent, slice] = driver.slow();
  assert.equal(parent?.missing.memoryUsedBytes, "no_permission");
  assert.equal(slice?.values.memoryTotalBytes, 9728 * 2 ** 20);
  const { rows, missing } = driver.processes();
  assert.deepEqual(
    rows.map((row) => [row.pid, row.device]),
    [[4711, gpu?.slices[2]?.uuid]],
  );
  assert.equal(missing.size, 0);
});

test("an injected error of one function takes that value and no other", async () => {
  using node = createFakeNode(
    "gpu 0 h100",
    "fail 0 nvmlDeviceGetPowerUsage 999",
    "fail * nvmlDeviceGetMemoryInfo_v2 25",
    "fail * nvmlDeviceGetTemperatureV 25",
  );
  using driver = open(node);
  driver.topology();
  const [fast] = driver.fast();
  assert.equal(fast?.missing.powerWatts, "failed");
  assert.ok(fast?.values.utilizationRatio !== undefined);
  const [slow] = driver.slow();
  assert.equal(slow?.values.memoryTotalBytes, 81559 * 2 ** 20, "version 1 answered instead");
  assert.ok(slow?.values.temperatureCelsius !== undefined, "the older function answered instead");
});

test("a process list longer than the first guess is read whole, by NVML's own protocol", async () => {
  const processes = Array.from({ length: 500 }, (_, i) => `process 0 ${1000 + i} ${i + 1}`);
  using node = createFakeNode("gpu 0 h100", ...processes);
  using driver = open(node);
  driver.topology();
  const { rows, truncatedCount } = driver.processes();
  assert.equal(rows.length, 500);
  assert.equal(rows[499]?.memoryBytes, 500 * 2 ** 20);
  assert.equal(truncatedCount, 0);
});

test("three hundred slices are enumerated and sampled", async () => {
  const lines = Array.from({ length: 43 }, (_, gpu) => [
    `gpu ${gpu} h100 mig=1`,
    ...Array.from({ length: 7 }, (__, slot) => `slice ${gpu} ${slot} 1g.10gb gi=${7 + slot}`),
  ]).flat();
  using node = createFakeNode(...lines);
  using driver = open(node);
  const { gpus } = driver.topology();
  const uuids = new Set(gpus.flatMap((gpu) => gpu.slices.map((slice) => slice.uuid)));
  assert.equal(uuids.size, 301);
  const slow = driver.slow();
  assert.equal(slow.length, 344);
  assert.ok(slow.every((reading) => reading.values.memoryUsedBytes !== undefined));
  assert.equal(driver.gpm().length, 344);
});

test("XIDs and MIG changes arrive as events with their instance", async () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100");
  using driver = open(node);
  const { gpus } = driver.topology();
  assert.equal(await driver.driver.waitForEvent(10), undefined);
  node.write("gpu 0 h100", "gpu 1 h100", "event 1 1 0x8 48 gi=3 ci=0", "event 2 0 0x100 0");
  const expected = { gpuInstanceId: undefined, computeInstanceId: undefined };
  assert.deepEqual(await driver.driver.waitForEvent(2000), {
    gpuUuid: gpus[1]?.uuid,
    kind: "xid",
    type: 8,
    data: 48,
    gpuInstanceId: 3,
    computeInstanceId: 0,
  });
  assert.deepEqual(await driver.driver.waitForEvent(2000), {
    gpuUuid: gpus[0]?.uuid,
    kind: "mig",
    type: 0x100,
    data: 0,
    ...expected,
  });
});
