/**
 * Builds the false driver for tests and benches and moves its node while it runs.
 *
 * Builds land in .cache under the hash of the sources, so test files that run at once build at most
 * once each and never see half a library. Needs gcc and make.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync } from "node:fs";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const sources = join(import.meta.dirname, "fake-nvml");
const cache = join(import.meta.dirname, "../../.cache/fake-nvml");

export type Generation =
  | "default"
  | "r450"
  | "r510"
  | "r535-bad"
  | "r535-stride16"
  | "r550"
  | "r570";

/** The folder with one library per driver generation; builds it when the sources changed. */
export function buildFakeDriver(): string {
  const hash = createHash("sha256");
  for (const file of globSync("{Makefile,*.c,*.h,generations/*}", { cwd: sources }).sort()) {
    hash.update(file).update(readFileSync(join(sources, file)));
  }
  const wanted = join(cache, hash.digest("hex").slice(0, 16));
  if (existsSync(wanted)) return wanted;
  const building = `${wanted}.${process.pid}`;
  const make = spawnSync("make", ["-s", "-j2", `OUT=${building}`], {
    cwd: sources,
    encoding: "utf8",
  });
  if (make.status !== 0) throw new Error(`the false driver did not build:\n${make.stderr}`);
  try {
    renameSync(building, wanted);
  } catch (error) {
    // Another process was first; its build has the same sources.
    if (!existsSync(wanted)) throw error;
    rmSync(building, { recursive: true });
  }
  return wanted;
}

export interface FakeNode extends Disposable {
  readonly controlPath: string;
  library(generation?: Generation): string;
  /** Replaces the node in one step; the next NVML call of any process sees it. */
  write(...lines: readonly string[]): void;
}

/**
 * A node under a control file. The library reads the path from the process's environment, so one
 * process has one node at a time.
 */
export function createFakeNode(...lines: readonly string[]): FakeNode {
  const libraries = buildFakeDriver();
  mkdirSync(tmpdir(), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), "axonize-nvml-"));
  const controlPath = join(dir, "node");
  const write = (...next: readonly string[]): void => {
    writeFileSync(`${controlPath}.new`, `${next.join("\n")}\n`);
    renameSync(`${controlPath}.new`, controlPath);
  };
  write(...lines);
  process.env["AXONIZE_FAKE_NVML_CONTROL"] = controlPath;
  return {
    controlPath,
    library: (generation = "default") => join(libraries, generation, "libnvidia-ml.so.1"),
    write,
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}
