/**
 * `npm run check`: types, lint, format, generated files, tidy rules, dead dependencies of none.
 *
 * Runs all of them even when one fails, so that one run shows everything there is to mend.
 */
import { join } from "node:path";
import { nodeBinary, root, runCommand } from "./lanes.ts";

const bin = (name: string): string => join(root, "node_modules/.bin", name);
const steps: readonly [string, string, readonly string[]][] = [
  ["types (node)", bin("tsc"), ["--noEmit", "-p", "."]],
  ["types (sdk)", bin("tsc"), ["--noEmit", "-p", "sdk/typescript"]],
  ["types (web)", bin("tsc"), ["--noEmit", "-p", "dashboard/web"]],
  ["lint", bin("oxlint"), ["--type-aware", "--deny-warnings"]],
  ["format", bin("oxfmt"), ["--check"]],
  ["generated files", nodeBinary, ["scripts/generate.ts", "--check"]],
  ["tidy", nodeBinary, ["--test", "--test-reporter=dot", "test/tidy.test.ts"]],
];

let failed = 0;
for (const [name, command, args] of steps) {
  const code = await runCommand(command, args);
  console.log(`${code === 0 ? "ok    " : "FAILED"}  ${name}`);
  if (code !== 0) failed += 1;
}
console.log(`${steps.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
