/**
 * `npm run test:cluster [-- path]`: the tests that need a real Kubernetes.
 *
 * Builds the cluster's programs where the cache has none (minutes, once), makes sure of the node's
 * system packages, Chromium and the web app, starts the embedded stores, and, if a test file asks for it
 * (`useCluster`), one cluster for all files; then runs `test/cluster/*.test.ts` with node:test. Where
 * this machine cannot run a node, the lane fails and says why: it never passes by not running.
 */
import { globSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "@axonize/core/runtime/error";
import { startTestStores } from "../test/support/start-stores.ts";
import { ensureBinaries, programNames } from "../tools/k8s/binaries.ts";
import { startCluster } from "../tools/k8s/cluster.ts";
import { requirePrivileges } from "../tools/k8s/requirements.ts";
import { cacheDir, nodeBinary, readCounts, root, runCommand } from "./lanes.ts";
import { ensureChromium, ensureClusterPackages } from "./system-packages.ts";

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith("-"));
const flags = process.argv.slice(2).filter((argument) => argument.startsWith("-"));
const files = globSync("test/cluster/**/*.test.ts", { cwd: root })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`No test file under test/cluster matches ${wanted.join(" ")}.`);
  process.exit(2);
}

const say = (line: string): void => {
  console.log(line);
};

/** Everything that a test file may need and must not build beside another. */
async function prepare(): Promise<string> {
  requirePrivileges();
  ensureClusterPackages();
  await ensureBinaries(programNames, { say });
  const chromium = await ensureChromium();
  for (const args of [
    ["scripts/build-web.ts"],
    ["sdk/typescript/scripts/build.ts", "--if-stale"],
  ]) {
    const code = await runCommand(nodeBinary, args);
    if (code !== 0) throw new StartError(`${args.join(" ")} ended with ${code}; see above.`);
  }
  return chromium;
}

/**
 * A file with a node, with a thousand fake ones or with a stopwatch runs alone. The others start a control
 * plane and mostly wait for it, so that two at a time keep two cores busy.
 */
const isHeavy = (file: string): boolean =>
  /\b(startCluster|useCluster|startInstallation)\(|kwok: true/.test(
    readFileSync(join(root, file), "utf8"),
  );
const phases = [
  { name: "light", files: files.filter((file) => !isHeavy(file)), concurrency: 2 },
  { name: "heavy", files: files.filter((file) => isHeavy(file)), concurrency: 1 },
].filter((phase) => phase.files.length > 0);

const countsFile = process.env["AXONIZE_TEST_COUNTS"] ?? join(cacheDir, "counts-test-cluster.json");

/** Runs the files and writes what they count; resolves with an exit code. */
async function runFiles(): Promise<number> {
  const chromium = await prepare();
  await using open = new AsyncDisposableStack();
  say(`Starting ClickHouse and PostgreSQL for ${files.length} test files …`);
  const stores = await startTestStores();
  open.defer(async () => {
    await stores.stop();
  });
  const env: NodeJS.ProcessEnv = {
    AXONIZE_TEST_CLICKHOUSE_URL: stores.clickhouseUrl,
    AXONIZE_TEST_POSTGRES_URL: stores.postgresUrl,
    AXONIZE_TEST_CHROMIUM: chromium,
  };
  const total = { passed: 0, failed: 0, skipped: 0 };
  let code = 0;
  for (const phase of phases) {
    const uses = (file: string): boolean =>
      readFileSync(join(root, file), "utf8").includes("useCluster(");
    if (phase.files.some(uses)) {
      const cluster = open.use(await startCluster({ metricsServer: true, say }));
      env["AXONIZE_TEST_CLUSTER"] = cluster.stateFile;
    }
    const partFile = `${countsFile}.${phase.name}`;
    await rm(partFile, { force: true });
    const ended = await runCommand(nodeBinary, testArguments(phase), {
      env: { ...env, AXONIZE_TEST_COUNTS: partFile },
    });
    code ||= ended;
    const part = await readCounts(partFile);
    total.passed += part.passed;
    total.skipped += part.skipped;
    total.failed += part.failed + (ended !== 0 && part.failed === 0 ? 1 : 0);
    await writeFile(countsFile, JSON.stringify(total));
    await rm(partFile, { force: true });
  }
  return code;
}

function testArguments(phase: (typeof phases)[number]): string[] {
  return [
    "--test",
    `--test-concurrency=${phase.concurrency}`,
    "--test-timeout=900000",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    `--test-reporter=${join(root, "scripts/test-counts.ts")}`,
    "--test-reporter-destination=stdout",
    ...flags,
    ...phase.files,
  ];
}

await rm(countsFile, { force: true });
let code = 1;
try {
  code = await runFiles();
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(`test:cluster cannot run: ${error.message}`);
}
const counts = await readCounts(countsFile);
// A skipped test would look green: it counts as a failure.
const failed = counts.failed + counts.skipped + (code !== 0 && counts.failed === 0 ? 1 : 0);
if (counts.skipped > 0) console.log(`${counts.skipped} tests were skipped; that counts as failed.`);
console.log(`${counts.passed} passed, ${failed} failed`);
process.exit(failed === 0 && code === 0 ? 0 : 1);
