/**
 * The agent's reader against NVIDIA's own Python binding on the same false driver, the whole agent as a
 * process, and the resolver.
 *
 * Both read the same values of 8 GPUs x 7 slices as often as they can; CPU is what their process or thread
 * used, with the driver's call costs slept (`cost realistic`) and with none. Lower is better except where
 * said. Needs gcc, make and Python. `node bench/agent.ts whole` runs one part (reads, whole, resolver) and
 * keeps the others' figures.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openDriver } from "../agent/nvml/driver.ts";
import type { Commit } from "../agent/nvml/reader.ts";
import { groups } from "../agent/nvml/readings.ts";
import { finish } from "../agent/nvml/work.ts";
import { resolve, type Evidence, type Resource } from "../agent/identity/resolve.ts";
import { createFakeNode } from "../agent/testing/fake-driver.ts";
import { allSets } from "../agent/testing/read-driver.ts";
import { startRestartingKubelet } from "./agent/restarting-kubelet.ts";
import { measureWhole } from "./agent/whole.ts";
import { runPython } from "../agent/testing/nvidia-ml-py.ts";

const rounds = 5;
/** Ten short ticks and one long tick are one second of the agent's life. */
const seconds = 200;
/** A slept call takes its time: fewer seconds of life. */
const sleptSeconds = 40;

process.env["AXONIZE_FAKE_NVML_POLL_US"] = "100000";

const sliceUuid = (gpu: number, slot: number): string =>
  `MIG-00000000-0000-5000-8000-0000000000${gpu}${slot}`;
const lines = Array.from({ length: 8 }, (_, gpu) => [
  `gpu ${gpu} h100 mig=1`,
  ...Array.from(
    { length: 7 },
    (__, slot) => `slice ${gpu} ${slot} 1g.10gb gi=${7 + slot} uuid=${sliceUuid(gpu, slot)}`,
  ),
]).flat();
const slices = Array.from({ length: 56 }, (_, at) => sliceUuid(Math.floor(at / 7), at % 7));

/** The same reads in Python: short tick = power; long tick = memory of all, the parents' other values. */
const script = `
import sys, time
from pynvml import *
nvmlInit()
gpus = [nvmlDeviceGetHandleByIndex(i) for i in range(nvmlDeviceGetCount())]
slices = [nvmlDeviceGetMigDeviceHandleByIndex(g, s) for g in gpus for s in range(7)]
fields = [(138, 0xFFFFFFFF), (139, 0xFFFFFFFF), 142, 143, 144, 145, 197, 198]
points = 0
def second():
    n = 0
    for _ in range(10):
        for g in gpus:
            nvmlDeviceGetPowerUsage(g); n += 1
    for g in gpus:
        nvmlDeviceGetMemoryInfo(g, nvmlMemory_v2); n += 2
        nvmlDeviceGetEnforcedPowerLimit(g); nvmlDeviceGetTotalEnergyConsumption(g)
        nvmlDeviceGetCurrentClocksEventReasons(g); nvmlDeviceGetTemperatureV(g, 0)
        nvmlDeviceGetClockInfo(g, 1); nvmlDeviceGetClockInfo(g, 2)
        nvmlDeviceGetTotalEccErrors(g, 0, 1); nvmlDeviceGetTotalEccErrors(g, 1, 1); n += 8
        n += sum(1 for v in nvmlDeviceGetFieldValues(g, fields) if v.nvmlReturn == 0)
    for s in slices:
        nvmlDeviceGetMemoryInfo(s, nvmlMemory_v2); n += 2
        nvmlDeviceGetUUID(s); nvmlDeviceGetGpuInstanceId(s); nvmlDeviceGetComputeInstanceId(s)
    return n
second()
start = time.process_time()
for _ in range(int(sys.argv[1])): points += second()
print((time.process_time() - start) * 1e6 / points, points)
`;

const path = join(import.meta.dirname, "results/agent.json");
const parts: Readonly<Record<string, () => void | Promise<void>>> = {
  reads,
  whole: wholeAgent,
  resolver,
};
const wanted = process.argv.slice(2);
// Safe: this script wrote it.
const before = existsSync(path)
  ? (JSON.parse(readFileSync(path, "utf8")) as { results: Record<string, unknown> })
  : undefined;
const results: Record<string, unknown> = wanted.length > 0 ? { ...before?.results } : {};
for (const [name, part] of Object.entries(parts)) {
  if (wanted.length === 0 || wanted.includes(name)) await part();
}
writeFileSync(
  path,
  `${JSON.stringify({ cpu: cpus()[0]?.model, cores: cpus().length, loadAverage: loadavg()[0], node: process.version, results }, undefined, 2)}\n`,
);

/** Ours and NVIDIA's binding, the same values. */
function reads(): void {
  for (const costs of [[], ["cost realistic"]]) {
    using node = createFakeNode(...lines, ...costs);
    const lives = costs.length > 0 ? sleptSeconds : seconds;
    readOurs(node.library(), lives); // warms the compiler: an agent runs for weeks
    const ours: number[] = [];
    const theirs: number[] = [];
    let points = 0;
    for (let round = 0; round < rounds; round += 1) {
      const run = readOurs(node.library(), lives);
      points = run.points;
      ours.push(run.cpuUs / run.points);
      const told = runPython(script, {
        libraryDir: dirname(node.library()),
        args: [String(lives)],
      }).split(" ");
      theirs.push(Number(told[0]));
      if (Number(told[1]) !== points) throw new Error(`other points: ${told[1]} and ${points}`);
    }
    const name = costs.length > 0 ? "call costs slept" : "no call costs";
    const ratio = median(ours) / median(theirs);
    console.log(`${name}: ${points / lives} points a second of life`);
    console.log(`  ours         ${median(ours).toFixed(2)} us CPU per point`);
    console.log(
      `  nvidia-ml-py ${median(theirs).toFixed(2)} us CPU per point; ours is ${ratio.toFixed(2)} of it`,
    );
    results[name] = { oursUs: median(ours), nvidiaMlPyUs: median(theirs), ratio };
    const share = (median(ours) * points) / lives / 1e4;
    console.log(
      `  ours at the planned ticks: ${share.toFixed(2)} % of one core, GPM and processes not counted`,
    );
  }
}

/** 8 GPUs x 7 slices at 100 ms, as the agent runs in production; then with slow calls. */
async function wholeAgent(): Promise<void> {
  const slow = ["TemperatureV", "CurrentClocks", "RunningProcess"].map(
    (name) => `cost ${name} 20000`,
  );
  const folder = mkdtempSync(join(tmpdir(), "axonize-bench-kubelet-"));
  const socketPath = join(folder, "kubelet.sock");
  for (const [name, costs, restarts] of [
    ["realistic call costs", ["cost realistic"], false],
    ["some calls of 20 ms", [...slow, "cost realistic"], false],
    ["some calls of 20 ms and a kubelet that restarts", [...slow, "cost realistic"], true],
  ] as const) {
    using node = createFakeNode(...lines, ...costs);
    await using kubelet = restarts ? startRestartingKubelet(socketPath, slices) : undefined;
    const whole = await measureWhole(node.library(), 30_000, socketPath);
    if (kubelet) console.log(`(the kubelet was restarted ${kubelet.restarts} times)`);
    results[`whole agent, ${name}`] = whole;
    console.log(`whole agent, ${name}:`);
    console.log(
      `  ${whole.cpuPercent.toFixed(2)} % of one core (bar 5), RSS ${whole.rssMb.toFixed(0)} MB (bar 150), ${whole.samplesPerSecond.toFixed(0)} samples/s`,
    );
    console.log(
      `  tick start p99 within ${whole.lateP99Ms} ms of its plan (bar 20; a bare timer beside it: ${whole.bareP99Ms.toFixed(0)} ms), ${whole.missedTicks} of ${whole.ticks} missed; periods ${JSON.stringify(whole.periodsMs)} ms`,
    );
  }
  rmSync(folder, { recursive: true });
}

function readOurs(libraryPath: string, lives: number): { cpuUs: number; points: number } {
  const opened = openDriver({ libraryPath, pidExists: () => true });
  if (!("driver" in opened)) throw new Error(opened.detail);
  const { driver } = opened;
  finish(driver.topology());
  const sets = { ...allSets, profiling: false };
  let points = 0;
  // Python counts what samples carry; the local values are read by the same calls.
  const counted = { fast: 3, gpu: groups.gpu.length - 2, slice: groups.slice.length - 2 };
  const commit: Commit = (_uuid, group, row) => {
    for (let at = 0; at < counted[group]; at += 1) {
      if (!Number.isNaN(row.values[at] ?? Number.NaN)) points += 1;
    }
  };
  const second = (): void => {
    for (let tick = 0; tick < 10; tick += 1) driver.fast(sets, commit);
    finish(driver.slow(sets, true, commit));
  };
  second();
  points = 0;
  const before = process.cpuUsage();
  for (let n = 0; n < lives; n += 1) second();
  const used = process.cpuUsage(before);
  driver.close();
  return { cpuUs: used.user + used.system, points };
}

function resolver(): void {
  const resources = Array.from({ length: 8 }, (_, n): Resource => {
    const uuid = `GPU-${n}`;
    return { uuid, gpuUuid: uuid, kind: "whole", model: "H100", pciBusId: `00000000:1${n}:00.0` };
  });
  const base: Evidence = {
    ordinal: 0,
    allocated: resources.slice(0, 1),
    visible: undefined,
    privileged: false,
    environment: { visibleDevices: undefined, deviceOrder: "PCI_BUS_ID" },
    runtime: undefined,
    containerRuntime: [],
    ordinalsReported: [0],
    sdkUuid: undefined,
    mps: false,
    remaps: false,
  };
  const cases: Record<string, Evidence> = {
    "exact.single": base,
    "exact.sdk of 8": { ...base, allocated: resources, sdkUuid: "GPU-7" },
    "derived.pci of 8": { ...base, allocated: resources, ordinal: 5, ordinalsReported: [5] },
  };
  for (const [name, evidence] of Object.entries(cases)) {
    // Of many processes, and the answer is used: nothing that the compiler could leave out.
    const processes = Array.from({ length: 64 }, () => ({ ...evidence }));
    const rates = Array.from({ length: rounds }, () => {
      const times = 4_000;
      let found = 0;
      const start = performance.now();
      for (let n = 0; n < times; n += 1) {
        for (const each of processes) found += resolve(each).uuids.length;
      }
      const tookMs = performance.now() - start;
      if (found !== times * processes.length) throw new Error(`${name}: found ${found}`);
      return found / tookMs / 1000;
    });
    results[`resolver, ${name}`] = { millionsPerSecond: median(rates) };
    console.log(`resolver, ${name}: ${median(rates).toFixed(2)} M/s (more is better)`);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
