/**
 * Running child commands for the scripts: stream their output, time them, collect their test counts.
 *
 * Counts come from a file that `scripts/test-counts.ts` (a node:test reporter) writes, so that they
 * are what the runner saw and not what a regular expression found in coloured text.
 */
import { spawn } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";

export const root = join(import.meta.dirname, "..");
export const cacheDir = join(root, ".cache");
export const nodeBinary = process.execPath;

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

export interface LaneResult extends Counts {
  name: string;
  seconds: number;
}

/** Runs a command with inherited output. Resolves with its exit code (128 + n for a signal). */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<number> {
  return await new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      stdio: "inherit",
      env: { ...process.env, ...options.env },
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      resolve(code ?? (signal ? 128 : 1));
    });
  });
}

/**
 * Runs one lane and adds up what its test runner counted. A lane that fails without a failed test
 * (it crashed, or is no test at all) counts as one failure; a lane without tests that succeeds, as one pass.
 */
export async function runLane(
  name: string,
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv } = {},
): Promise<LaneResult> {
  const countsFile = join(cacheDir, `counts-${name.replaceAll(/\W+/g, "-")}.json`);
  await rm(countsFile, { force: true });
  const started = performance.now();
  const code = await runCommand(command, args, {
    env: { ...options.env, AXONIZE_TEST_COUNTS: countsFile },
  });
  const seconds = (performance.now() - started) / 1000;
  const counts = await readCounts(countsFile);
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  if (code === 0 && counts.passed === 0) counts.passed = 1;
  return { name, seconds, ...counts };
}

/** Reads a counts file; a missing one means that no test ran. */
export async function readCounts(file: string): Promise<Counts> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return { passed: 0, failed: 0, skipped: 0 };
    }
    throw error;
  }
  return JSON.parse(text) as Counts;
}
