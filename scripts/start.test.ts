/**
 * `npm start` in a copy of the tree that was never built: what only prints answers without building
 * the web app, and so does what is wrong; a start builds it first.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { root } from "./lanes.ts";

const tree = await mkdtemp(join(tmpdir(), "axonize-start-"));
after(async () => await rm(tree, { recursive: true, force: true }));

const made = new Set(["node_modules", "dist", "build", ".cache"]);
for (const name of [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "scripts",
  "standalone",
  "dashboard",
]) {
  await cp(join(root, name), join(tree, name), {
    recursive: true,
    filter: (from) => !made.has(basename(from)),
  });
}
// Read, never written: the rest of the tree and what is installed.
for (const name of ["agent", "core", "ingest", "migrations", "node_modules"]) {
  await symlink(join(root, name), join(tree, name));
}
const built = join(tree, "dashboard/web/dist/index.html");

/** A start ends at once: a file is where its data would be. */
const noData = join(tree, "package.json", "data");

async function npmStart(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, AXONIZE_DATA_DIR: noData, AXONIZE_AGENT: "off" };
  return await new Promise((resolve) => {
    const command = ["start", "--silent", "--", ...args];
    execFile("npm", command, { cwd: tree, env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, stdout, stderr });
    });
  });
}

test("help, version and configuration are printed, and nothing is built for them", async () => {
  const answers: [string, RegExp][] = [
    ["--help", /^Axonize .*\n\nUsage: npm start/],
    ["--version", /^axonize \d+\.\d+\.\d+\n$/],
    ["--print-config", /^AXONIZE_DATA_DIR=.*\n/],
  ];
  for (const [option, expected] of answers) {
    const { code, stdout, stderr } = await npmStart(option);
    assert.equal(code, 0, stderr);
    assert.match(stdout, expected, "nothing stands before the answer");
  }
  assert.ok(!existsSync(built));
});

test("an unknown option is refused before anything is built", async () => {
  const { code, stdout, stderr } = await npmStart("--halp");
  assert.equal(code, 2);
  assert.match(stderr, /Unknown option '--halp'.*See --help/);
  assert.equal(stdout, "");
  assert.ok(!existsSync(built));
});

test("a start builds the web app that is missing", async () => {
  const { code, stdout, stderr } = await npmStart();
  assert.match(stdout, /Building the web app/);
  assert.ok(existsSync(built), stdout + stderr);
  assert.notEqual(code, 0);
  assert.match(stderr, /package\.json/, "it then began, and ended at the file in its way");
});
