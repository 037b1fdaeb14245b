/**
 * What `.ci/run` calls after `npm ci`: the README's test command, then the slower lanes.
 *
 * Prints a table of what each lane took and one closing line; exits non-zero on any failure.
 */
import { runLane, type LaneResult } from "./lanes.ts";

const lanes: readonly [string, string, readonly string[]][] = [
  ["npm test", "npm", ["test"]],
  ["npm run check", "npm", ["run", "--silent", "check"]],
  ["npm run test:compose", "npm", ["run", "--silent", "test:compose"]],
];

const results: LaneResult[] = [];
for (const [name, command, args] of lanes) {
  console.log(`\n=== ${name}`);
  results.push(await runLane(name, command, args));
}

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
