/**
 * Recordings of NVML: what a reader makes of the replay is what it made of the driver, and every recording
 * that was taken from hardware is still read without a contradiction.
 */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
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

for (const file of globSync("*.json", {
  cwd: join(import.meta.dirname, "../../test/fixtures/nvml"),
})) {
  test(`the recording ${file} is read: values in their ranges, and a reason for every absent one`, () => {
    const text = readFileSync(join(import.meta.dirname, "../../test/fixtures/nvml", file), "utf8");
    const library = replayLibrary(JSON.parse(text) as Recording); // scripts/test-gpu.ts wrote it
    const opened = openDriver({ libraryPath: undefined, pidExists, library });
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
  });
}
