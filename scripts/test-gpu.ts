/**
 * `npm run test:gpu`: the whole agent on this machine's NVIDIA GPUs. Reads every device once with all calls
 * and answers written down (test/fixtures/nvml/, replayed by the default suite), samples for 20 s, and lists
 * where the false driver answers otherwise than the hardware.
 *
 * Without a GPU it says "not run on hardware" and fails. Nothing on the device is changed.
 * `--rehearse FOLDER` goes the same way on the library that AXONIZE_NVML_LIBRARY names, the false driver,
 * and keeps its recording in FOLDER under a name that says so: it is no word on hardware.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openDriver, type Driver } from "../agent/nvml/driver.ts";
import { loadLibrary } from "../agent/nvml/library.ts";
import { groups, reasons, type Group, type Row } from "../agent/nvml/readings.ts";
import type { Gpu } from "../agent/nvml/topology.ts";
import { finish } from "../agent/nvml/work.ts";
import { createSamplingMetrics } from "../agent/sampling/metrics.ts";
import { createSampler } from "../agent/sampling/sampler.ts";
import { createCollectingReporter } from "../agent/testing/collecting-reporter.ts";
import { createFakeNode } from "../agent/testing/fake-driver.ts";
import { recordLibrary, type Recording } from "../agent/testing/nvml-recording.ts";
import { allSets } from "../agent/testing/read-driver.ts";
import { systemClock } from "../core/runtime/clock.ts";
import { silentLog } from "../core/runtime/log.ts";
import { createRegistry } from "../core/runtime/metrics.ts";
import { root } from "./lanes.ts";

const { rehearse } = parseArgs({ options: { rehearse: { type: "string" } } }).values;
const sampleSeconds = rehearse === undefined ? 20 : 2;
const kernelModule = "/proc/driver/nvidia/version";
const pidExists = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** metric → a value was told, or the reason. */
type Told = Map<string, string>;

const module = moduleVersion();
const recorder = recordLibrary(loadLibrary(process.env["AXONIZE_NVML_LIBRARY"]));
const opened = openDriver({ libraryPath: undefined, pidExists, library: recorder.library });
if (!("driver" in opened)) {
  console.error(`not run on hardware: ${opened.trouble}: ${opened.detail}`);
  process.exit(1);
}
const { driver } = opened;
if (rehearse === undefined && !module.includes(driver.info.driverVersion ?? "?")) {
  console.error("not run on hardware: the library is not the one of this machine's kernel module.");
  process.exit(1);
}
const { gpus } = finish(driver.topology());
if (gpus.length === 0) {
  console.error("not run on hardware: the driver shows no GPU.");
  process.exit(1);
}
const hardware = await readTwice(driver);
finish(driver.processes());
finish(driver.details());
driver.close();
for (const gpu of gpus) console.log(`GPU ${gpu.index}: ${gpu.name}, ${gpu.slices.length} slices`);
writeRecording(driver, gpus);
const isSampling = await sample();
const differences = compare(gpus, hardware);
console.log(
  differences.length === 0
    ? "The false driver answered as the hardware did, value for value."
    : `The false driver answers otherwise:\n${differences.map((each) => `  ${each}`).join("\n")}`,
);
if (rehearse !== undefined) console.log("A rehearsal on the false driver: not run on hardware.");
process.exit(isSampling ? 0 : 1);

/** What the kernel says of its module; ends the run where there is none. */
function moduleVersion(): string {
  if (rehearse !== undefined) return "none: a rehearsal on the false driver";
  if (existsSync(kernelModule)) return readFileSync(kernelModule, "utf8");
  console.error(
    `not run on hardware: ${kernelModule} does not exist, so there is no NVIDIA driver.`,
  );
  process.exit(1);
}

/** GPM needs two samples. */
async function readTwice(from: Driver): Promise<Map<string, Told>> {
  const told = new Map<string, Told>();
  const commit = (device: string, group: Group, row: Row): void => {
    const metrics = told.get(device) ?? new Map<string, string>();
    told.set(device, metrics);
    for (const [at, metric] of groups[group].entries()) {
      const reason = reasons[(row.reasons[at] ?? 0) - 1];
      metrics.set(metric, reason ?? "told");
    }
  };
  for (let round = 0; round < 2; round += 1) {
    from.fast(allSets, commit);
    finish(from.slow(allSets, true, commit));
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return told;
}

function writeRecording({ info }: Driver, on: readonly Gpu[]): void {
  const cards = [...new Set(on.map(({ name }) => name))].join(", ");
  const mig = on.some(({ slices }) => slices.length > 0) ? "-mig" : "";
  const recording: Recording = {
    about: {
      cards,
      driver: info.driverVersion ?? "",
      nvml: info.nvmlVersion ?? "",
      kernelModule: module.split("\n")[0] ?? "",
    },
    missing: recorder.missing,
    calls: recorder.calls,
  };
  const folder = rehearse ?? join(root, "test/fixtures/nvml");
  const name =
    `${rehearse === undefined ? "" : "rehearsal-"}${cards}-${info.driverVersion ?? ""}${mig}`
      .toLowerCase()
      .replaceAll(/[^a-z0-9.]+/g, "-");
  const path = join(folder, `${name}.json`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, `${JSON.stringify(recording, undefined, 1)}\n`);
  console.log(`${recording.calls.length} answers written to ${path}`);
}

/** The agent's own sampling, as it runs on a node. Answers whether it did. */
async function sample(): Promise<boolean> {
  const reporter = createCollectingReporter();
  const metrics = createSamplingMetrics(createRegistry());
  const deps = {
    clock: systemClock,
    log: silentLog,
    reporter,
    metrics,
    onHopeless: () => undefined,
  };
  const sampler = createSampler(deps, {
    libraryPath: process.env["AXONIZE_NVML_LIBRARY"],
    procRoot: "/proc",
  });
  const before = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, sampleSeconds * 1000));
  const { user, system } = process.cpuUsage(before);
  const { batch, trouble } = sampler.state();
  await sampler[Symbol.asyncDispose]();
  const count = reporter.told.samples.length;
  const percent = (user + system) / 1e4 / sampleSeconds;
  console.log(`${count} samples in ${sampleSeconds} s, ${percent.toFixed(2)} % of one core`);
  for (const [source, cost] of Object.entries(batch?.costs ?? {})) {
    const mean = cost.calls === 0 ? 0 : (cost.busyMs / cost.calls) * 1000;
    console.log(
      `  ${source}: ${cost.calls} calls, ${mean.toFixed(1)} us each, slowest ${cost.slowestMs.toFixed(1)} ms`,
    );
  }
  if (trouble) console.error(`  ${trouble.reason}: ${trouble.detail}`);
  return count > 0 && trouble === undefined;
}

/** The same node as the false driver would be it: cards by name, slices by profile. */
function compare(on: readonly Gpu[], told: ReadonlyMap<string, Told>): string[] {
  const lines: string[] = [];
  const unknown: string[] = [];
  for (const gpu of on) {
    const card = ["a100", "h100", "h200", "b200", "l40s", "t4"].find((name) =>
      gpu.name
        .toLowerCase()
        .split(/[\s-]+/)
        .includes(name),
    );
    if (card === undefined) unknown.push(gpu.name);
    else
      lines.push(
        `gpu ${gpu.index} ${card}${gpu.migEnabled === true ? " mig=1" : ""} uuid=${gpu.uuid}`,
      );
    for (const slice of card === undefined ? [] : gpu.slices) {
      lines.push(
        `slice ${gpu.index} ${slice.index} ${slice.profile} gi=${slice.gpuInstanceId} ci=${slice.computeInstanceId} uuid=${slice.uuid}`,
      );
    }
  }
  if (lines.length === 0) return [`it has no card like ${unknown.join(", ")}`];
  using node = createFakeNode(...lines, "load steady 0.5");
  const fake = openDriver({ libraryPath: node.library(), pidExists });
  if (!("driver" in fake)) return [`it does not open: ${fake.detail}`];
  const seen = finish(fake.driver.topology()).gpus;
  const differences = unknown.map((name) => `it has no card like ${name}`);
  for (const gpu of on) {
    const other = seen.find(({ uuid }) => uuid === gpu.uuid);
    if (!other) continue;
    for (const fact of ["name", "architecture", "computeCapability", "migEnabled"] as const) {
      if (gpu[fact] !== other[fact]) {
        differences.push(
          `GPU ${gpu.index} ${fact}: ${String(gpu[fact])}, not ${String(other[fact])}`,
        );
      }
    }
    for (const slice of gpu.slices) {
      const twin = other.slices.find(({ uuid }) => uuid === slice.uuid);
      for (const fact of ["smCount", "memoryMib", "gpuInstanceSlices"] as const) {
        if (slice[fact] === twin?.[fact]) continue;
        differences.push(
          `${slice.profile} ${fact}: ${String(slice[fact])}, not ${String(twin?.[fact])}`,
        );
      }
    }
  }
  differences.push(...compareReadings(fake.driver, told));
  fake.driver.close();
  return [...new Set(differences)];
}

function compareReadings(fake: Driver, told: ReadonlyMap<string, Told>): string[] {
  const differences: string[] = [];
  const commit = (device: string, group: Group, row: Row): void => {
    for (const [at, metric] of groups[group].entries()) {
      const theirs = reasons[(row.reasons[at] ?? 0) - 1] ?? "told";
      const real = told.get(device)?.get(metric);
      // A first GPM sample has nothing to compare with.
      if (real === undefined || real === theirs || theirs === "no_data") continue;
      differences.push(`${group} ${metric}: ${real} on hardware, ${theirs} of the fake`);
    }
  };
  fake.fast(allSets, commit);
  finish(fake.slow(allSets, true, commit));
  return differences;
}
