/**
 * NVIDIA's nvidia-ml-py against the false driver: what its own binding reads is what the card's data
 * sheet and the control file say. This is how the fake is known to be NVML and not our idea of it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createFakeNode, type Generation } from "./fake-driver.ts";
import { runPython } from "./nvidia-ml-py.ts";

/** Second entry of the same facts, from the data sheets: name, compute capability, MiB, watts, MIG, GPM. */
const cards = {
  a100: ["NVIDIA A100-SXM4-80GB", [8, 0], 81920, 400, true, false],
  h100: ["NVIDIA H100 80GB HBM3", [9, 0], 81559, 700, true, true],
  h200: ["NVIDIA H200", [9, 0], 143771, 700, true, true],
  b200: ["NVIDIA B200", [10, 0], 183359, 1000, true, true],
  l40s: ["NVIDIA L40S", [8, 9], 46068, 350, false, false],
  t4: ["Tesla T4", [7, 5], 15360, 70, false, false],
} as const;

const script = readFileSync(join(import.meta.dirname, "read-everything.py"), "utf8");

type Told = Record<string, unknown>;
interface Report {
  system: Told;
  gpus: (Told & { slices: Told[]; processes: Told[] })[];
}

function read(node: ReturnType<typeof createFakeNode>, generation: Generation = "default"): Report {
  const libraryDir = dirname(node.library(generation));
  // Safe: the script prints this shape.
  return JSON.parse(runPython(script, { libraryDir })) as Report;
}

for (const [card, [name, capability, memoryMib, watts, mig, gpm]] of Object.entries(cards)) {
  test(`nvidia-ml-py reads a whole ${card} as its data sheet says`, () => {
    using node = createFakeNode(`gpu 0 ${card}`, "load steady 0.5", "time 1000");
    const [gpu] = read(node).gpus;
    assert.ok(gpu);
    assert.equal(gpu["name"], name);
    assert.deepEqual(gpu["capability"], capability);
    assert.equal(gpu["memoryTotal"], memoryMib * 2 ** 20);
    assert.equal(gpu["memoryTotalV2"], memoryMib * 2 ** 20);
    assert.equal(gpu["powerLimit"], watts * 1000);
    assert.deepEqual(gpu["utilization"], [50, 37]);
    assert.deepEqual(gpu["migMode"], mig ? [0, 0] : "error 3");
    assert.equal(gpu["gpmSupported"], gpm ? 1 : 0);
    assert.equal(gpu["isMig"], 0);
    assert.equal(gpu["busId"], "00000000:10:00.0");
    const power = Number(gpu["power"]);
    assert.ok(power > 0 && power <= watts * 1000, `${power} mW`);
    // Constant power for 1000 s: the counter is its integral.
    assert.ok(
      Math.abs(Number(gpu["energy"]) - power * 1000) < power,
      `${String(gpu["energy"])} mJ`,
    );
    assert.equal(gpu["energyField"], gpu["energy"]);
    assert.equal(gpu["gpmSmPercent"], gpm ? 41 : "error 3");
    assert.equal(gpu["gpmUnknownMetric"], gpm ? 3 : "error 3");
  });
}

test("nvidia-ml-py sees MIG slices with holes, ids, attributes, processes, and no utilisation", () => {
  using node = createFakeNode(
    "gpu 0 h100 mig=1",
    "slice 0 0 3g.40gb gi=1 start=0",
    "slice 0 3 1g.10gb gi=9 start=6",
    "slice 0 5 1c.2g.20gb gi=5 ci=1 start=4",
    `process 0 ${process.pid} 512 slot=3`,
    "process 0 4242 ? slot=0",
    "load steady 0.5",
    "time 50",
  );
  const [gpu] = read(node).gpus;
  assert.ok(gpu);
  assert.deepEqual(gpu["migMode"], [1, 1]);
  assert.equal(gpu["utilization"], "error 3");
  assert.deepEqual(
    gpu.slices.map((s) => [s["index"], s["name"], s["gi"], s["ci"], s["sm"], s["memoryMb"]]),
    [
      [0, "NVIDIA H100 80GB HBM3 MIG 3g.40gb", 1, 0, 60, 40448],
      [3, "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9, 0, 16, 9984],
      [5, "NVIDIA H100 80GB HBM3 MIG 1c.2g.20gb", 5, 1, 16, 20096],
    ],
  );
  for (const slice of gpu.slices) {
    assert.match(String(slice["uuid"]), /^MIG-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(slice["power"], "error 3");
    assert.equal(slice["utilization"], "error 3");
    assert.equal(slice["parent"], gpu["uuid"]);
    assert.equal(slice["isMig"], 1);
    assert.equal(slice["gpmSmPercent"], 41);
  }
  assert.deepEqual(
    gpu.slices.map((s) => s["placement"]),
    [
      [0, 4],
      [6, 1],
      [4, 2],
    ],
  );
  assert.deepEqual(
    gpu.processes.map((p) => [p["pid"], p["memory"], p["gi"], p["ci"]]),
    [
      [process.pid, 512 * 2 ** 20, 9, 0],
      [4242, null, 1, 0],
    ],
  );
});

test("a partitioned GPU uses what its instances use, each counted once", () => {
  const cards = [
    "gpu 0 a100 mig=1",
    "slice 0 0 4g.40gb gi=1 start=0",
    "slice 0 1 1c.3g.40gb gi=2 ci=0 start=4",
    "slice 0 2 1c.3g.40gb gi=2 ci=1 start=4",
    "gpu 1 h100 mig=1",
    "load day",
  ];
  using node = createFakeNode(...cards);
  // Idle at 10 s, bursts at 50 s, decode at 120 s: each device is at its own point of the day.
  for (const seconds of [10, 50, 120]) {
    node.write(...cards, `time ${seconds}`);
    const [gpu, empty] = read(node).gpus;
    const [four, first, second] = (gpu?.slices ?? []).map((slice) => Number(slice["memoryUsed"]));
    assert.ok(four !== undefined && first !== undefined && four > 30 * 2 ** 30);
    assert.equal(first, second, "compute instances share their instance's memory");
    assert.equal(gpu?.["memoryUsed"], four + first);
    assert.equal(empty?.["memoryUsed"], 0, "nothing is used where no slice is");
  }
});

test("a partitioned GPU hides its aggregates from the unprivileged", () => {
  using node = createFakeNode("node a100-mig7", "privileged 0");
  const [gpu] = read(node).gpus;
  assert.equal(gpu?.["memoryTotal"], "error 4");
  assert.equal(gpu?.["processError"], "error 4");
  assert.equal(gpu?.slices.length, 7);
  assert.equal(gpu?.slices[0]?.["memoryMb"], 9728);
});

test("a driver generation lacks its symbols and says so in its own way", () => {
  using node = createFakeNode("gpu 0 a100 mig=1", "slice 0 0 1g.10gb gi=7");
  const old = read(node, "r450");
  const [gpu] = old.gpus;
  assert.match(String(old.system["driver"]), /^450\./);
  assert.equal(gpu?.["memoryTotalV2"], "error 13");
  assert.equal(gpu?.["gpmSupported"], "error 13");
  assert.equal(gpu?.slices[0]?.["uuid"], `MIG-${String(gpu["uuid"])}/7/0`);
  assert.equal(read(node, "r550").gpus[0]?.["temperatureV"], "error 13");
  assert.equal(typeof read(node, "r570").gpus[0]?.["temperatureV"], "number");
});

test("a lost GPU, a missing driver and a replaced driver answer their codes", () => {
  using node = createFakeNode("gpu 0 h100", "gpu 1 h100", "lost 1");
  const [first, second] = read(node).gpus;
  assert.equal(typeof first?.["power"], "number");
  assert.equal(second?.["handle"], "error 15");
  node.write("gpu 0 h100", "loaded 0");
  assert.equal(read(node).system["init"], "error 9");
  node.write("gpu 0 h100", "upgraded 1");
  assert.equal(read(node).system["init"], "error 18");
});

test("an XID reaches an event set, and the GPU is lost after it", () => {
  using node = createFakeNode("gpu 0 h100", "time 1");
  const out = runPython(
    `
import os, sys
from pynvml import *
nvmlInit()
h = nvmlDeviceGetHandleByIndex(0)
s = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(h, nvmlDeviceGetSupportedEventTypes(h) & nvmlEventTypeXidCriticalError, s)
try:
    nvmlEventSetWait_v2(s, 20)
except NVMLError as e:
    print("first", e.value)
with open(sys.argv[1] + ".py", "w") as f:
    f.write("gpu 0 h100\\ntime 1\\nxid79 0 0.5\\n")
os.rename(sys.argv[1] + ".py", sys.argv[1])
d = nvmlEventSetWait_v2(s, 5000)
print("xid", d.eventData, d.eventType, d.gpuInstanceId)
try:
    nvmlDeviceGetPowerUsage(h)
except NVMLError as e:
    print("then", e.value)
`,
    { libraryDir: dirname(node.library()), args: [node.controlPath] },
  );
  assert.match(out, /xid 79 8 4294967295\nthen 15/);
  assert.match(out, /^first 10/);
});

test("the script of a day has idle, bursts, a plateau and throttling, and repeats", () => {
  const lines = ["gpu 0 h100"];
  using node = createFakeNode(...lines);
  const at = (second: number): Told => {
    node.write(...lines, `time ${second}`);
    return read(node).gpus[0] ?? {};
  };
  const utilization = (told: Told): number => (told["utilization"] as number[])[0] ?? -1; // a pair
  assert.equal(utilization(at(10)), 0);
  assert.ok(utilization(at(43)) > 85, "a prefill burst");
  assert.ok(utilization(at(47)) < 45, "between two bursts");
  assert.ok(utilization(at(150)) > 70, "the decode plateau");
  assert.equal(Number(at(250)["throttle"]), 0x44);
  assert.ok(Math.abs(utilization(at(250)) - utilization(at(550))) <= 8, "the next day");
});

test("make fails on any compiler warning", () => {
  const makefile = readFileSync(join(import.meta.dirname, "fake-nvml/Makefile"), "utf8");
  assert.match(makefile, /-Wall -Wextra -Werror/);
  const dry = spawnSync("make", ["-n", "-B", "OUT=/tmp/never"], {
    cwd: join(import.meta.dirname, "fake-nvml"),
    encoding: "utf8",
  });
  assert.match(dry.stdout, /gcc .*-Werror .*-c state\.c/);
});
