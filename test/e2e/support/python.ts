/**
 * A Python with OpenTelemetry's SDK: a virtual environment under `.cache/`, made once and made again
 * when its requirements change.
 */
import { createHash } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./run.ts";

const root = join(import.meta.dirname, "../../..");
const requirements = join(import.meta.dirname, "requirements.txt");

/** Path of the interpreter. The first call on a machine installs for about 20 seconds. */
export async function ensurePython(): Promise<string> {
  const wanted = createHash("sha256")
    .update(await readFile(requirements))
    .digest("hex")
    .slice(0, 12);
  const folder = join(root, ".cache", `otel-python-${wanted}`);
  const python = join(folder, "bin/python");
  if (await isMade(folder)) return python;
  const making = `${folder}.${process.pid}`;
  try {
    await run("python3", ["-m", "venv", making]);
  } catch (error) {
    throw new Error(
      "Python's venv module does not work here. Install it (Debian: apt-get install python3-venv).",
      { cause: error },
    );
  }
  const pip = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "-r",
    requirements,
  ];
  await run(join(making, "bin/python"), pip, { timeoutMs: 240_000 });
  await writeFile(join(making, ".made"), wanted);
  try {
    // Interpreters find their packages beside themselves, so that the folder may be moved.
    await rename(making, folder);
  } catch {
    // Another test file made it meanwhile; theirs is as good.
    await rm(making, { recursive: true, force: true });
  }
  return python;
}

async function isMade(folder: string): Promise<boolean> {
  try {
    await readFile(join(folder, ".made"));
    return true;
  } catch {
    return false; // not there yet
  }
}
