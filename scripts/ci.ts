/**
 * What `.ci/run` calls after `npm ci`: the README's test command, then the slower lanes.
 *
 * Prints a table of what each lane took and one closing line; exits non-zero on any failure.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { nodeBinary, root, runLane, type LaneResult } from "./lanes.ts";

const lanes: readonly [string, string, readonly string[]][] = [
  ["npm test", "npm", ["test"]],
  ["npm run check", "npm", ["run", "--silent", "check"]],
  ["npm run test:compose", "npm", ["run", "--silent", "test:compose"]],
  ["npm run test:cluster", "npm", ["run", "--silent", "test:cluster"]],
];

// From an empty cache the cluster's programs take 12 minutes to build: in what time the other lanes leave
// idle. The cluster lane waits for the rest and reports what went wrong, so its output goes nowhere here.
const builds = spawn("nice", ["-n", "19", nodeBinary, join(root, "tools/k8s/main.ts"), "build"], {
  stdio: "ignore",
});
builds.on("error", (error) => {
  console.error(`The cluster's programs are not built ahead: ${error.message}`);
});

const results: LaneResult[] = [];
for (const [name, command, args] of lanes) {
  console.log(`\n=== ${name}`);
  results.push(await runLane(name, command, args));
}

// Still there only if the cluster lane could not wait for it.
builds.kill();

console.log("\nlane                     passed  failed   seconds");
for (const lane of results) {
  const cells = [
    lane.name.padEnd(24),
    String(lane.passed).padStart(7),
    String(lane.failed + lane.skipped).padStart(7),
    lane.seconds.toFixed(0).padStart(9),
  ];
  console.log(cells.join(" "));
}
const passed = results.reduce((sum, lane) => sum + lane.passed, 0);
const failed = results.reduce((sum, lane) => sum + lane.failed + lane.skipped, 0);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
