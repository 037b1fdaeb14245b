/**
 * `npm test`: everything that needs no more than Node, a C compiler and Python.
 *
 * Makes sure that Chromium is there, builds the web app, starts the embedded stores once for all test files, runs every
 * `*.test.ts` outside the slow lanes with node:test, and prints one closing line. Arguments are
 * passed on: `npm test -- ingest/` runs the test files under a folder or matching a path.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { startTestStores } from "../test/support/start-stores.ts";
import { cacheDir, nodeBinary, readCounts, root, runCommand } from "./lanes.ts";
import { ensureChromium } from "./system-packages.ts";

/** Lanes of their own: a real engine, a real cluster, a real Compose parser. */
const slowLanes = ["test/engine/", "test/cluster/", "test/compose/"];

const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  console.error(
    `Node ${process.versions.node} cannot run TypeScript. Use \`npm test\`, which takes Node 24 from node_modules.`,
  );
  process.exit(2);
}

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const flags = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
const files = globSync("**/*.test.ts", {
  cwd: root,
  exclude: ["**/node_modules/**", "**/.cache/**", "**/dist/**"],
})
  .map((file) => relative(root, join(root, file)))
  .filter((file) =>
    wanted.length > 0
      ? wanted.some((part) => file.includes(part))
      : !slowLanes.some((lane) => file.startsWith(lane)),
  )
  .sort();
if (files.length === 0) {
  console.error(`No test file matches ${wanted.join(" ")}.`);
  process.exit(2);
}

const executable = await ensureChromium();
// Once for all: several tests start the product, and must not build its web app beside each other.
const built = await runCommand(nodeBinary, [join(root, "scripts/build-web.ts")]);
if (built !== 0) process.exit(built);
const sdkBuild = join(root, "sdk/typescript/scripts/build.ts");
const sdkBuilt = await runCommand(nodeBinary, [sdkBuild, "--if-stale"]);
if (sdkBuilt !== 0) process.exit(sdkBuilt);
console.log(`Starting ClickHouse and PostgreSQL for ${files.length} test files …`);
const stores = await startTestStores();
const countsFile = process.env["AXONIZE_TEST_COUNTS"] ?? join(cacheDir, "counts-test.json");
let code = 1;
try {
  code = await runCommand(
    nodeBinary,
    [
      "--test",
      `--test-concurrency=${Math.max(2, Math.min(4, availableParallelism()))}`,
      "--test-timeout=300000",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      `--test-reporter=${join(root, "scripts/test-counts.ts")}`,
      "--test-reporter-destination=stdout",
      ...flags,
      ...files,
    ],
    {
      env: {
        AXONIZE_TEST_COUNTS: countsFile,
        AXONIZE_TEST_CLICKHOUSE_URL: stores.clickhouseUrl,
        AXONIZE_TEST_POSTGRES_URL: stores.postgresUrl,
        AXONIZE_TEST_CHROMIUM: executable,
      },
    },
  );
} finally {
  await stores.stop();
}
const counts = await readCounts(countsFile);
// A skipped test would look green: it counts as a failure.
const failed = counts.failed + counts.skipped + (code !== 0 && counts.failed === 0 ? 1 : 0);
if (counts.skipped > 0) console.log(`${counts.skipped} tests were skipped; that counts as failed.`);
console.log(`${counts.passed} passed, ${failed} failed`);
process.exit(failed === 0 && code === 0 ? 0 : 1);
