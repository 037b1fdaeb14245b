/**
 * Recordings of NVML: what a reader makes of the replay is what it made of the driver, and every recording
 * that was taken from hardware is still read without a contradiction.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { openDriver, type Driver } from "../nvml/driver.ts";
import { loadLibrary } from "../nvml/library.ts";
import { groups, type Group, type Row } from "../nvml/readings.ts";
import { finish } from "../nvml/work.ts";
import { createFakeNode } from "./fake-driver.ts";
import { recordLibrary, replayLibrary, type Recording } from "./nvml-recording.ts";
import { allSets } from "./read-driver.ts";

const pidExists = (): boolean => true;

function read(driver: Driver): { topology: unknown; rows: unknown[] } {
  const rows: unknown[] = [];
  const commit = (device: string, group: Group, row: Row): void => {
    rows.push([device, group, [...row.values].map(String), [...row.reasons]]);
  };
  const { gpus } = finish(driver.topology());
  // A serial number is withheld.
  const topology = gpus.map((gpu) => ({ ...gpu, serial: undefined }));
  driver.fast(allSets, commit);
  finish(driver.slow(allSets, true, commit));
  return { topology, rows };
}

for (const generation of ["default", "r510"] as const) {
  test(`a recorded ${generation} driver is read from paper as it was read alive`, () => {
    using node = createFakeNode("node mixed-8", "time 100", `process 1 ${process.pid} 10`);
    const recorder = recordLibrary(loadLibrary(node.library(generation)));
    const live = openDriver({ libraryPath: undefined, pidExists, library: recorder.library });
    assert.ok("driver" in live);
    const first = read(live.driver);
    assert.equal(finish(live.driver.processes()).rows.length, 1);
    live.driver.close();
    const recording: Recording = {
      about: {},
      missing: recorder.missing,
      calls: JSON.parse(JSON.stringify(recorder.calls)) as Recording["calls"], // as from a file
    };
    const library = replayLibrary(recording);
    const replayed = openDriver({ libraryPath: undefined, pidExists, library });
    assert.ok("driver" in replayed);
    assert.deepEqual(read(replayed.driver), first);
    assert.deepEqual(finish(replayed.driver.processes()).rows, [], "processes are withheld");
  });
}

/** Read without a contradiction: values in their ranges, and a reason for every absent one. */
function readsSoundly(recording: Recording): void {
  const opened = openDriver({
    libraryPath: undefined,
    pidExists,
    library: replayLibrary(recording),
  });
  assert.ok("driver" in opened, JSON.stringify(opened));
  let values = 0;
  const commit = (device: string, group: Group, row: Row): void => {
    for (const [at, metric] of groups[group].entries()) {
      const value = row.values[at] ?? Number.NaN;
      const told = !Number.isNaN(value);
      assert.notEqual(told, row.reasons[at] !== 0, `${device} ${metric}`);
      if (told && metric.endsWith("Ratio"))
        assert.ok(value >= 0 && value <= 1, `${metric} ${value}`);
      if (told) values += 1;
    }
  };
  assert.ok(finish(opened.driver.topology()).gpus.length > 0);
  opened.driver.fast(allSets, commit);
  finish(opened.driver.slow(allSets, true, commit));
  assert.ok(values > 0);
}
// Safe for both callers: scripts/test-gpu.ts wrote it.
const fromFile = (path: string): Recording => JSON.parse(readFileSync(path, "utf8")) as Recording;

const fixtures = join(import.meta.dirname, "../../test/fixtures/nvml");
for (const file of globSync("*.json", { cwd: fixtures })) {
  test(`the recording ${file} is read: values in their ranges, and a reason for every absent one`, () => {
    const recording = fromFile(join(fixtures, file));
    assert.doesNotMatch(recording.about["kernelModule"] ?? "", /rehearsal/, "of hardware alone");
    readsSoundly(recording);
  });
}

test("who has a GPU runs one command: rehearsed, it samples, records, and its recording is replayed", () => {
  using node = createFakeNode("gpu 0 h100 mig=1", "slice 0 0 3g.40gb gi=2", "gpu 1 t4");
  const folder = mkdtempSync(join(tmpdir(), "axonize-rehearsal-"));
  try {
    const command = [join(import.meta.dirname, "../../scripts/test-gpu.ts"), "--rehearse", folder];
    const run = spawnSync(process.execPath, command, {
      encoding: "utf8",
      env: { ...process.env, AXONIZE_NVML_LIBRARY: node.library() },
    });
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.match(run.stdout, /not run on hardware/);
    assert.match(run.stdout, /samples in 2 s/);
    const [file, ...others] = globSync("*.json", { cwd: folder });
    assert.deepEqual(others, []);
    assert.match(file ?? "", /^rehearsal-.*-mig\.json$/);
    const recording = fromFile(join(folder, file ?? ""));
    assert.match(recording.about["kernelModule"] ?? "", /rehearsal/);
    readsSoundly(recording);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("without a GPU the command says that it was not run on hardware, and fails", (t) => {
  if (existsSync("/proc/driver/nvidia/version")) {
    t.diagnostic("this machine has a driver: npm run test:gpu is its own test here");
    return;
  }
  const script = join(import.meta.dirname, "../../scripts/test-gpu.ts");
  const run = spawnSync(process.execPath, [script], { encoding: "utf8" });
  assert.equal(run.status, 1);
  assert.match(run.stderr, /not run on hardware/);
});
