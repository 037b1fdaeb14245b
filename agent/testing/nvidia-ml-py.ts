/**
 * NVIDIA's own Python binding, fetched once into .cache, as the independent reader of the false driver.
 */
import { spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const version = "13.615.71";
const wanted = join(import.meta.dirname, `../../.cache/nvidia-ml-py-${version}`);

/** Runs a Python script with `pynvml` importable and the given library first on the loader's path. */
export function runPython(
  script: string,
  options: { libraryDir: string; env?: NodeJS.ProcessEnv; args?: readonly string[] },
): string {
  ensureInstalled();
  const run = spawnSync("python3", ["-c", script, ...(options.args ?? [])], {
    encoding: "utf8",
    env: {
      ...process.env,
      ...options.env,
      PYTHONPATH: wanted,
      LD_LIBRARY_PATH: options.libraryDir,
    },
  });
  if (run.status !== 0) throw new Error(`python3 failed (${run.status}): ${run.stderr}`);
  return run.stdout;
}

function ensureInstalled(): void {
  if (existsSync(wanted)) return;
  const installing = `${wanted}.${process.pid}`;
  const pip = spawnSync(
    "python3",
    ["-m", "pip", "install", "-q", "--no-deps", "--target", installing, `nvidia-ml-py==${version}`],
    { encoding: "utf8" },
  );
  if (pip.status !== 0) throw new Error(`nvidia-ml-py could not be installed: ${pip.stderr}`);
  try {
    renameSync(installing, wanted);
  } catch (error) {
    // Another test file was first with the same version.
    if (!existsSync(wanted)) throw error;
    rmSync(installing, { recursive: true });
  }
}
