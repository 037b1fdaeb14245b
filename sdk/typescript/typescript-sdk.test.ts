/**
 * Runs the TypeScript SDK's own tests against the built package on every Node at hand (20 and later: the
 * one that runs this, those on the PATH, those under .cache/node), and checks the package as users get
 * it. Suites are `tests/*.suite.ts`: compiled here, because Node 20 runs no TypeScript, and every
 * case appears as a test. Integrations whose peers need a newer Node run on 22 and later.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import {
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ensurePython } from "../../test/e2e/support/python.ts";

const here = import.meta.dirname;
const root = join(here, "../..");
/** Inside the package, so that the suites find it by its own name. */
const suites = join(here, ".tests");
const tsc = join(root, "node_modules/.bin/tsc");
const scratch = mkdtempSync(join(tmpdir(), "axonize-typescript-"));
const descriptors = join(scratch, "otlp.bin");
/** What the real packages of the integrations ask for. */
const modernSuites = new Set(["otel", "integrations"]);
/** What differs between versions of Node; the rest runs on the first and the oldest. */
const versionSuites = new Set(["spans", "context", "life", ...modernSuites]);

interface Runtime {
  readonly path: string;
  readonly version: string;
}

const nodes = findNodes();
const oldest = nodes.toSorted((a, b) => Number.parseInt(a.version) - Number.parseInt(b.version))[0];

before(async () => {
  const built = await run(process.execPath, ["scripts/build.ts", "--if-stale"]);
  assert.equal(built.code, 0, built.output);
  const compiled = await run(process.execPath, [tsc, "-p", "tests", "--outDir", suites]);
  assert.equal(compiled.code, 0, compiled.output);
  const python = await ensurePython();
  const told = await run(python, ["tests/support/descriptors.py"]);
  assert.equal(told.code, 0, told.output);
  writeFileSync(descriptors, Buffer.from(told.output.trim(), "base64"));
});
after(() => {
  rmSync(scratch, { recursive: true, force: true });
  rmSync(suites, { recursive: true, force: true });
});

for (const node of nodes) {
  describe(`on Node ${node.version}`, { concurrency: 2 }, () => {
    for (const file of globSync("tests/*.suite.ts", { cwd: here }).sort()) {
      const name = basename(file, ".suite.ts");
      if (modernSuites.has(name) && Number.parseInt(node.version) < 22) continue;
      if (!versionSuites.has(name) && node !== nodes[0] && node !== oldest) continue;
      test(name, async (context) => {
        const report = join(scratch, `${node.version}-${name}.xml`);
        const done = await run(
          node.path,
          [
            "--expose-gc",
            "--test",
            "--test-reporter=junit",
            `--test-reporter-destination=${report}`,
            join(suites, `${name}.suite.js`),
          ],
          { AXONIZE_TEST_DESCRIPTORS: descriptors },
        );
        const cases = readReport(report);
        for (const found of cases) {
          await context.test(found.name, () => {
            assert.equal(found.failure, "", found.failure);
          });
        }
        assert.equal(done.code, 0, done.output);
        assert.ok(cases.length > 0, done.output);
      });
    }
  });
}

test("Node 20 is among the tested", () => {
  assert.ok(
    nodes.some(({ version }) => version.startsWith("20.")) || nodes.length > 1,
    `only ${nodes.map(({ version }) => version).join(", ")}: put a Node 20 on the PATH or into .cache/node/20`,
  );
});

/** One of each major version from 20 on. */
function findNodes(): Runtime[] {
  const paths = [
    process.execPath,
    ...(process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "node")),
    ...globSync("node/*/bin/node", { cwd: join(root, ".cache") }).map((path) =>
      join(root, ".cache", path),
    ),
  ];
  const found = new Map<number, Runtime>();
  for (const path of new Set(paths.filter(existsSync).map((path) => realpathSync(path)))) {
    const told = spawnSync(path, ["--version"], { encoding: "utf8" });
    const version = /^v(\d+\.\d+\.\d+)/.exec(told.stdout)?.[1];
    const major = Number.parseInt(version ?? "0");
    if (version !== undefined && major >= 20 && !found.has(major)) {
      found.set(major, { path, version });
    }
  }
  return [...found.values()];
}

interface Case {
  readonly name: string;
  /** Empty when it passed. A skipped case is a failure: it would look green. */
  readonly failure: string;
}

function readReport(path: string): Case[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  return [...text.matchAll(/<testcase name="([^"]*)"([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)].map(
    ([, name = "unnamed", , body = ""]) => ({
      name: unescaped(name),
      failure: /<(failure|error|skipped)\b/.test(body) ? unescaped(body) : "",
    }),
  );
}

function unescaped(text: string): string {
  return text
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

interface Outcome {
  readonly code: number;
  readonly output: string;
}

async function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd = here,
): Promise<Outcome> {
  // A test that runs under node:test would make its children report to it.
  const { NODE_TEST_CONTEXT: _, ...clean } = process.env;
  return await new Promise((resolve) => {
    execFile(
      file,
      args,
      { cwd, env: { ...clean, ...env }, maxBuffer: 64 * 1024 * 1024, timeout: 240_000 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}
