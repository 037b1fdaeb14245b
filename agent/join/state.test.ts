/**
 * What outlives the agent: the state file through a full disk and a torn write, and the count of driver
 * loads across restarts.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "@axonize/core/runtime/log";
import { IdentityHistory } from "../identity/history.ts";
import { createDriverLoads } from "./driver-loads.ts";
import { createJoinHealth } from "./health.ts";
import { createStateFile, type DriverState, type IdentityState } from "./state-file.ts";

function stateWith(uuids: readonly string[]): IdentityState {
  const history = new IdentityHistory();
  history.observe(1000, {
    type: "devices",
    node: "n",
    bootId: "b",
    driverEpoch: "d#0",
    devices: uuids.map((uuid, index) => ({
      uuid,
      index,
      model: "H100",
      pciBusId: undefined,
      minor: undefined,
      migEnabled: false,
      lost: false,
      slices: [],
    })),
  });
  const driver = { bootId: "b", driverVersion: "d", loads: 0, energyMillijoules: { "GPU-1": 5 } };
  return { node: "n", lastMs: history.lastMs, driver, open: history.open() };
}

test("what was written is read as it was, undefined included", async () => {
  const folder = mkdtempSync(join(tmpdir(), "axonize-state-"));
  const file = createStateFile({ log: silentLog }, { folder });
  assert.equal(await file.read(), undefined);
  const state = stateWith(["GPU-1", "GPU-2"]);
  assert.equal(await file.write(state), true);
  const { version, ...read } = (await file.read()) as IdentityState & { version: number }; // as on disk
  assert.equal(version, 1);
  assert.deepEqual(read, state);
  // The next run opens nothing anew and closes nothing: the tuples are equal.
  const next = new IdentityHistory();
  next.restore(read.open, read.lastMs);
  assert.equal(next.resources.openOf("GPU-1")?.validFromMs, 1000);
  rmSync(folder, { recursive: true });
});

test("a write that is cut off leaves the state before, and a folder that takes none is told", async () => {
  const folder = mkdtempSync(join(tmpdir(), "axonize-state-"));
  const file = createStateFile({ log: silentLog }, { folder });
  await file.write(stateWith(["GPU-1"]));
  const whole = readFileSync(join(folder, "identity.json"), "utf8");
  writeFileSync(join(folder, "identity.json.new"), whole.slice(0, 40));
  assert.equal((await file.read())?.open.resource.length, 1);
  assert.equal(await file.write(stateWith(["GPU-1", "GPU-2"])), true);
  assert.equal((await file.read())?.open.resource.length, 2);
  // Nothing can be written where the file beside it is a folder.
  mkdirSync(join(folder, "identity.json.new"));
  assert.equal(await file.write(stateWith([])), false);
  assert.equal((await file.read())?.open.resource.length, 2);
  rmSync(folder, { recursive: true });
});

test("a load of the driver has the same name in every run that sees it, and the next has another", () => {
  let state: DriverState | undefined;
  const run = (
    bootId: string,
    seen: readonly string[],
    energies: readonly number[],
    version = "580",
  ): string => {
    const loads = createDriverLoads(state);
    let epoch = "";
    for (const each of seen) epoch = loads.epoch(bootId, version, `${version}#${each}`);
    for (const energy of energies) {
      if (loads.energy("GPU-1", energy))
        epoch = loads.epoch(bootId, version, `${version}#${seen.at(-1)}`);
    }
    state = loads.state();
    return epoch;
  };
  assert.equal(run("b1", ["0"], [100, 200]), "580#0");
  assert.equal(run("b1", ["0"], [300]), "580#0", "the agent started again");
  assert.equal(run("b1", ["0", "1", "2"], [50]), "580#2", "two loads seen by this run");
  assert.equal(run("b1", ["0"], [60]), "580#2");
  assert.equal(run("b1", ["0"], [10]), "580#3", "loaded anew in between");
  assert.equal(run("b1", ["0"], [20], "590"), "590#4", "another version");
  assert.equal(run("b2", ["0"], [1], "590"), "590#0", "another boot");
});

test("join health counts seconds of use by reason, and not a gap in which nobody looked", () => {
  const health = createJoinHealth({ maxGapMs: 60_000 });
  const use = (unjoined: "host_process" | undefined) => [{ uuid: "GPU-1", unjoined }];
  health.observe(0, use("host_process"));
  health.observe(5_000, use("host_process"));
  health.observe(10_000, use(undefined));
  health.observe(3_600_000, use("host_process"));
  assert.deepEqual(health.seconds(), { inUse: 70, unjoined: { host_process: 65 } });
});
