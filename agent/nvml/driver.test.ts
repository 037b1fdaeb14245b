/**
 * The NVML reader against the false driver: every card, MIG, every driver generation. What a device
 * cannot tell must be absent with its reason, never 0.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { createFakeNode, type FakeNode, type Generation } from "../testing/fake-driver.ts";
import { readDriver, type ReadDriver, type Reading } from "../testing/read-driver.ts";
import { gpmMetrics, slowMetrics, type Metric } from "./readings.ts";

function open(node: FakeNode, generation: Generation = "default"): ReadDriver {
  return readDriver(node.library(generation), (pid) => existsSync(`/proc/${pid}`));
}

/** Script time may not stand still for GPM's two samples to differ in wall time: 120 ms apart. */
async function gpmTwice(driver: ReadDriver): Promise<readonly Reading[]> {
  driver.gpm();
  const until = performance.now() + 120;
  while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
  return driver.gpm();
}

/** Every metric is either measured or has a reason, and never both. */
function assertHonest(reading: Reading, metrics: readonly Metric[]): void {
  for (const metric of metrics) {
    const measured = reading.values[metric] !== undefined;
    const excused = reading.missing[metric] !== undefined;
    assert.notEqual(measured, excused, `${reading.device} ${metric}`);
  }
}

/** name, architecture, compute capability, MiB, watts; what GPM, PCIe counters, NVLink and remapping say. */
const cards = {
  a100: ["NVIDIA A100-SXM4-80GB", 7, "8.0", 81920, 400, false, false, true, true, false],
  h100: ["NVIDIA H100 80GB HBM3", 9, "9.0", 81559, 700, true, true, true, true, false],
  h200: ["NVIDIA H200", 9, "9.0", 143771, 700, true, true, true, true, false],
  b200: ["NVIDIA B200", 10, "10.0", 183359, 1000, true, true, true, true, false],
  l40s: ["NVIDIA L40S", 8, "8.9", 46068, 350, false, false, false, true, undefined],
  t4: ["Tesla T4", 6, "7.5", 15360, 70, false, false, false, false, undefined],
} as const;

for (const [card, facts] of Object.entries(cards)) {
  const [name, architecture, capability, memoryMib, watts, gpm, pcie, nvlink, remap, mig] = facts;
  test(`a whole ${card} is read in full`, async () => {
    using node = createFakeNode(`gpu 0 ${card} minor=3`, "load steady 0.5", "time 1000");
    using driver = open(node);
    const { gpus, trouble } = driver.topology();
    assert.equal(trouble, undefined);
    const [gpu] = gpus;
    assert.ok(gpu);
    assert.equal(gpu.name, name);
    assert.equal(gpu.architecture, architecture);
    assert.equal(gpu.computeCapability, capability);
    assert.equal(gpu.minor, 3);
    assert.equal(gpu.pciBusId, "00000000:10:00.0");
    assert.equal(gpu.migEnabled, mig);
    assert.deepEqual(gpu.slices, []);

    const [fast] = driver.fast();
    assert.equal(fast?.device, gpu.uuid);
    assert.equal(fast.values.utilizationRatio, 0.5);
    assert.equal(fast.values.memoryUtilizationRatio, 0.37);
    assert.ok((fast.values.powerWatts ?? 0) > 5 && (fast.values.powerWatts ?? 0) <= watts);
    assert.deepEqual(fast.missing, {});

    const [slow] = driver.slow();
    assert.ok(slow);
    assertHonest(slow, slowMetrics);
    assert.equal(slow.values.memoryTotalBytes, memoryMib * 2 ** 20);
    assert.ok((slow.values.memoryUsedBytes ?? 0) > 0.5 * memoryMib * 2 ** 20);
    assert.equal(slow.values.powerLimitWatts, watts);
    const expectedMj = (fast.values.powerWatts ?? 0) * 1000 * 1000;
    assert.ok(Math.abs((slow.values.energyMillijoules ?? 0) - expectedMj) < expectedMj * 0.001);
    assert.equal(slow.values.throttleReasons, 0, "0 is measured here: nothing throttles");
    assert.equal(slow.missing.pcieTxBytes, pcie ? undefined : "not_supported");
    assert.equal(slow.missing.nvlinkTxBytes, nvlink ? undefined : "not_supported");
    assert.equal(slow.missing.remapPending, remap ? undefined : "not_supported");

    const [activity] = await gpmTwice(driver);
    assert.ok(activity);
    assertHonest(activity, gpmMetrics);
    assert.equal(activity.missing.smActivityRatio, gpm ? undefined : "not_supported");
    if (gpm) assert.ok(Math.abs((activity.values.smActivityRatio ?? 0) - 0.41) < 0.001);
  });
}

test("slices of a partitioned H100 have their identity, memory, GPM and processes, and nothing else", async () => {
  using node = createFakeNode(
    "gpu 0 h100 mig=1",
    "slice 0 0 3g.40gb gi=1 start=0",
    "slice 0 3 1g.10gb+me gi=9 start=6",
    `process 0 ${process.pid} 512 slot=3`,
    `process 0 ${process.ppid} ? slot=0 kind=mps`,
    "load steady 0.5",
  );
  using driver = open(node);
  const [gpu] = driver.topology().gpus;
  assert.ok(gpu);
  assert.equal(gpu.migEnabled, true);
  assert.deepEqual(
    gpu.slices.map((s) => [s.index, s.profile, s.gpuInstanceId, s.computeInstanceId, s.smCount]),
    [
      [0, "3g.40gb", 1, 0, 60],
      [3, "1g.10gb+me", 9, 0, 16],
    ],
  );
  assert.deepEqual(
    gpu.slices.map((s) => s.placement),
    [
      { start: 0, size: 4 },
      { start: 6, size: 1 },
    ],
  );
  const [whole] = driver.fast();
  assert.equal(whole?.missing.utilizationRatio, "mig_enabled");
  assert.ok(whole?.values.powerWatts);

  const [parent, ...slices] = driver.slow();
  assert.ok(parent?.values.energyMillijoules !== undefined);
  for (const slice of slices) {
    assertHonest(slice, slowMetrics);
    assert.deepEqual(Object.keys(slice.values).sort(), ["memoryTotalBytes", "memoryUsedBytes"]);
    assert.equal(slice.missing.powerLimitWatts, "mig_slice");
  }
  assert.equal(slices[1]?.values.memoryTotalBytes, 9984 * 2 ** 20);

  const activity = await gpmTwice(driver);
  assert.equal(activity.length, 3);
  for (const reading of activity) {
    assert.ok(Math.abs((reading.values.smActivityRatio ?? 0) - 0.41) < 0.001, reading.device);
  }
  const { rows, missing } = driver.processes();
  assert.equal(missing.size, 0);
  assert.deepEqual(
    rows.map((row) => [row.pid, row.kind, row.device, row.memoryBytes, row.smUtilizationRatio]),
    [
      [process.pid, "compute", gpu.slices[1]?.uuid, 512 * 2 ** 20, undefined],
      [process.ppid, "mps", gpu.slices[0]?.uuid, undefined, undefined],
    ],
  );
});

test("an A100's seven slices have no activity, because nothing can measure it", async () => {
  using node = createFakeNode("node a100-mig7");
  using driver = open(node);
  const [gpu] = driver.topology().gpus;
  assert.equal(gpu?.slices.length, 7);
  for (const reading of await gpmTwice(driver)) {
    assert.deepEqual(reading.values, {});
    assert.equal(reading.missing.smActivityRatio, "not_supported");
  }
});

test("two compute instances of one GPU instance do not get that instance's activity", async () => {
  using node = createFakeNode(
    "gpu 0 h100 mig=1",
    "slice 0 0 1c.3g.40gb gi=1 ci=0",
    "slice 0 1 1c.3g.40gb gi=1 ci=1",
    "slice 0 2 1g.10gb gi=9",
  );
  using driver = open(node);
  driver.topology();
  const [, first, second, alone] = await gpmTwice(driver);
  assert.equal(first?.missing.smActivityRatio, "instance_shared");
  assert.equal(second?.missing.smActivityRatio, "instance_shared");
  assert.ok(alone?.values.smActivityRatio !== undefined);
});

test("the mixed node of eight is enumerated in index order", async () => {
  using node = createFakeNode("node mixed-8");
  using driver = open(node);
  const { gpus } = driver.topology();
  assert.deepEqual(
    gpus.map((gpu) => gpu.index),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  assert.equal(new Set(gpus.map((gpu) => gpu.uuid)).size, 8);
  assert.deepEqual(
    gpus.map((gpu) => gpu.slices.length),
    [3, 0, 2, 0, 3, 0, 0, 0],
  );
});

const generations: Record<
  Generation,
  { version: RegExp; missing: Partial<Record<Metric, string>> }
> = {
  default: { version: /^580\./, missing: {} },
  r570: { version: /^570\./, missing: {} },
  r550: { version: /^550\./, missing: {} },
  "r535-bad": { version: /^535\./, missing: {} },
  "r535-stride16": { version: /^535\./, missing: {} },
  r510: { version: /^510\./, missing: { smActivityRatio: "function_missing" } },
  r450: { version: /^450\./, missing: { smActivityRatio: "function_missing" } },
};

for (const [generation, { version, missing }] of Object.entries(generations)) {
  test(`driver generation ${generation} gives the same values by the functions it has`, async () => {
    const children = [1, 2, 3].map(() => spawn("sleep", ["60"]));
    try {
      const pids = children.map((child) => child.pid ?? 0);
      using node = createFakeNode(
        "gpu 0 h100",
        ...pids.map((pid, index) => `process 0 ${pid} ${100 + index}`),
        "load steady 0.5",
      );
      // Safe: the keys of the table above are generations.
      using driver = open(node, generation as Generation);
      assert.match(driver.driver.info.driverVersion ?? "", version);
      driver.topology();
      const [slow] = driver.slow();
      assert.equal(slow?.values.memoryTotalBytes, 81559 * 2 ** 20);
      assert.ok(slow?.values.temperatureCelsius !== undefined);
      assert.equal(slow?.values.throttleReasons, 0);
      const [gpm] = await gpmTwice(driver);
      assert.equal(gpm?.missing.smActivityRatio, missing.smActivityRatio);
      const { rows } = driver.processes();
      assert.deepEqual(
        rows.map((row) => [row.pid, row.memoryBytes]),
        pids.map((pid, index) => [pid, (100 + index) * 2 ** 20]),
      );
    } finally {
      for (const child of children) child.kill();
    }
  });
}

test("before R470 a slice's UUID has the old form", async () => {
  using node = createFakeNode("gpu 0 a100 mig=1", "slice 0 0 1g.10gb gi=7");
  using driver = open(node, "r450");
  const [gpu] = driver.topology().gpus;
  assert.equal(gpu?.slices[0]?.uuid, `MIG-${gpu?.uuid}/7/0`);
  assert.equal(gpu?.slices[0]?.smCount, undefined, "R450 has no attributes call");
});
