/**
 * Drivers older than any that we know, or stripped: any set of exports may be missing. What is told is what
 * a whole driver tells; what is not told has a reason; nothing throws.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createFakeNode } from "../testing/fake-driver.ts";
import { allSets } from "../testing/read-driver.ts";
import { openDriver, type Driver } from "./driver.ts";
import { loadLibrary, type Library } from "./library.ts";
import { groups, type Group, type Row } from "./readings.ts";
import { finish } from "./work.ts";

/** Without these nothing is NVML: opening refuses by name. */
const needed = ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"];

/** Keeps the names that are asked for, and hides some. */
function without(library: Library, hidden: ReadonlySet<string>, asked: Set<string>): Library {
  return {
    path: library.path,
    bind: (exports, parameters) => {
      for (const name of exports) asked.add(name);
      const shown = exports.filter((name) => !hidden.has(name));
      return shown.length === 0 ? undefined : library.bind(shown, parameters);
    },
  };
}

interface Told {
  value: number;
  hasReason: boolean;
}

/** `device metric` → what was told; the clock of the false driver stands, so values do, too. */
function read(driver: Driver): Map<string, Told> {
  const told = new Map<string, Told>();
  const commit = (device: string, group: Group, row: Row): void => {
    for (const [at, metric] of groups[group].entries()) {
      const value = row.values[at] ?? Number.NaN;
      const before = told.get(`${device} ${metric}`);
      if (Number.isNaN(value) && before !== undefined && !Number.isNaN(before.value)) continue;
      told.set(`${device} ${metric}`, { value, hasReason: row.reasons[at] !== 0 });
    }
  };
  finish(driver.topology());
  driver.fast(allSets, commit);
  finish(driver.slow(allSets, true, commit));
  finish(driver.processes());
  finish(driver.details());
  return told;
}

test("with any of its functions missing a driver tells what a whole one does, or why it does not", () => {
  using node = createFakeNode("node mixed-8", "time 100", `process 1 ${process.pid} 10`);
  const library = loadLibrary(node.library());
  const asked = new Set<string>();
  const open = (hidden: ReadonlySet<string>) =>
    openDriver({
      libraryPath: undefined,
      pidExists: () => true,
      library: without(library, hidden, asked),
    });
  const whole = open(new Set());
  assert.ok("driver" in whole);
  const truth = read(whole.driver);
  whole.driver.close();
  // Asked at every closing; a driver never lacks what ends it.
  const optional = [...asked].filter((name) => !needed.includes(name) && name !== "nvmlShutdown");
  assert.ok(optional.length > 40, `only ${optional.length} functions are asked for`);
  let lost = 0;
  fc.assert(
    fc.property(fc.subarray(optional), (names) => {
      const opened = open(new Set(names));
      if (!("driver" in opened)) {
        assert.match(opened.detail, /lacks NVML/);
        return;
      }
      const told = read(opened.driver);
      opened.driver.close();
      for (const [what, { value, hasReason }] of told) {
        if (Number.isNaN(value)) {
          assert.ok(hasReason, `${what} is absent without a reason`);
          lost += 1;
        } else {
          const real = truth.get(what)?.value;
          // Without the calls that know of MIG, a partitioned card is read as a whole one.
          if (real === undefined || Number.isNaN(real)) continue;
          // Before R510 NVML counts what the driver reserves among what is used.
          const isOldSum =
            what.endsWith("memoryUsedBytes") && names.includes("nvmlDeviceGetMemoryInfo_v2");
          if (isOldSum) assert.ok(value >= real, what);
          else assert.equal(value, real, what);
        }
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(lost > 0, "nothing was ever missing");
  for (const name of needed) {
    const refused = open(new Set([name]));
    assert.ok("trouble" in refused, name);
    assert.equal(refused.trouble, "function_missing");
    assert.match(refused.detail, /lacks NVML/, name);
  }
});
