/**
 * What the tests of the Python SDK share: Pythons at hand, virtual environments kept under
 * .cache/python, wheels built from a copy of the sources, and pytest's report as cases.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const here = join(import.meta.dirname, "..");
const cache = join(here, "../../.cache/python");

export interface Python {
  /** `3.12`; `3.13t` where it has no interpreter's lock. */
  readonly version: string;
  readonly path: string;
  readonly free: boolean;
  /** The first found: the one that runs everything. */
  readonly main: boolean;
}

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

export interface Workshop extends Disposable {
  readonly scratch: string;
  readonly createVenv: (python: Python, list?: string) => Promise<string>;
  readonly buildWheel: (venv: string, name: string, env: NodeJS.ProcessEnv) => Promise<string>;
  readonly install: (venv: string, wheel: string, name: string) => Promise<string>;
  readonly run: (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => Promise<Outcome>;
}

/** A scratch folder and what is built in it. */
export function createWorkshop(): Workshop {
  const scratch = mkdtempSync(join(tmpdir(), "axonize-python-"));
  return {
    scratch,
    createVenv,
    buildWheel: async (venv, name, env) => await buildWheel(scratch, venv, name, env),
    install: async (venv, wheel, name) => await install(scratch, venv, wheel, name),
    run,
    [Symbol.dispose]: () => rmSync(scratch, { recursive: true, force: true }),
  };
}

/** `python3` first, then one of each other minor version, with the interpreter's lock and without. */
export function findPythons(): Python[] {
  const minors = [10, 11, 12, 13, 14].map((minor) => `python3.${minor}`);
  const named = ["python3", ...minors, "python3.13t", "python3.14t"];
  const pyenv = globSync(join(homedir(), ".pyenv/versions/3.*/bin/python3"));
  const found = new Map<string, Python>();
  for (const path of [...named, ...pyenv]) {
    const script =
      "import sys, sysconfig; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sys.executable, sysconfig.get_config_var('Py_GIL_DISABLED') or 0)";
    const told = spawnSync(path, ["-c", script], { encoding: "utf8" });
    const [name, numbers, executable, unlocked] =
      told.status === 0 ? told.stdout.trim().split(" ") : [];
    const minor = Number(numbers?.split(".")[1]);
    if (name !== "cpython" || numbers === undefined || executable === undefined) continue;
    const free = unlocked === "1";
    const version = free ? `${numbers}t` : numbers;
    if (minor >= 10 && minor <= 14 && !found.has(version)) {
      found.set(version, { version, path: executable, free, main: found.size === 0 });
    }
  }
  return [...found.values()];
}

export interface Case {
  readonly name: string;
  /** Empty when it passed. A skipped case is a failure: it would look green. */
  readonly failure: string;
}

export function readReport(path: string): Case[] {
  if (!existsSync(path)) return [];
  const cases: Case[] = [];
  const pattern = /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const match of readFileSync(path, "utf8").matchAll(pattern)) {
    const name = / name="([^"]*)"/.exec(` ${match[1]}`)?.[1] ?? "unnamed";
    const file = /classname="(?:tests\.)?([^"]*)"/.exec(match[1] ?? "")?.[1] ?? "";
    const body = match[2] ?? "";
    const failed = /<(failure|error|skipped)\b/.test(body);
    cases.push({ name: `${file}: ${name.replaceAll("_", " ")}`, failure: failed ? body : "" });
  }
  return cases;
}

/** What there is for a Python: not each package that the tests use has a wheel for each of them. */
function requirementsOf(python: Python): string {
  return `requirements${python.main ? "-full" : python.free ? "-free" : ""}.txt`;
}

/** A virtual environment with the test's packages: one per Python and list, kept between runs. */
async function createVenv(python: Python, list = requirementsOf(python)): Promise<string> {
  const requirements = join(here, "tests", list);
  const sum = createHash("sha256")
    .update(python.path)
    .update(readFileSync(join(here, "tests/requirements.txt")))
    .update(readFileSync(requirements))
    .digest("hex");
  const venv = join(cache, `${python.version}-${sum.slice(0, 12)}`);
  const ready = join(venv, "ready");
  if (existsSync(ready)) return venv;
  await alone(`${venv}.lock`, async () => {
    if (existsSync(ready)) return;
    const made = await run(python.path, ["-m", "venv", "--clear", venv], {});
    assert.equal(made.code, 0, made.output);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    const filled = await run(join(venv, "bin/python"), [...pip, "-r", requirements], {});
    assert.equal(filled.code, 0, filled.output);
    writeFileSync(ready, "");
  });
  return venv;
}

/** One at a time over all test processes; a lock that a killed run left behind is taken after 5 min. */
async function alone(lock: string, work: () => Promise<void>): Promise<void> {
  mkdirSync(cache, { recursive: true });
  while (!taken(lock)) await sleep(250);
  try {
    await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function taken(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    // Somebody has it; how long is the folder's age.
    const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
    if (since !== undefined && Date.now() - since > 300_000) rmSync(lock, { recursive: true });
    return false;
  }
}

/** Builds from a copy of the sources, so that builds at the same time do not meet. */
async function buildWheel(
  scratch: string,
  venv: string,
  name: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const source = join(scratch, `source-${name}`);
  const target = join(scratch, `wheel-${name}`);
  mkdirSync(source, { recursive: true });
  for (const part of ["csrc", "src", "setup.py", "pyproject.toml", "README.md", "MANIFEST.in"]) {
    cpSync(join(here, part), join(source, part), { recursive: true });
  }
  const built = await run(
    join(venv, "bin/python"),
    ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", target, source],
    env,
  );
  assert.equal(built.code, 0, built.output);
  const [wheel] = readdirSync(target);
  assert.ok(wheel, built.output);
  return join(target, wheel);
}

/** Installs the wheel into a folder of its own: the tests never see the source tree. */
async function install(
  scratch: string,
  venv: string,
  wheel: string,
  name: string,
): Promise<string> {
  const site = join(scratch, `site-${name}`);
  const done = await run(
    join(venv, "bin/python"),
    ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel],
    {},
  );
  assert.equal(done.code, 0, done.output);
  return site;
}

async function run(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Outcome> {
  return await new Promise((resolve) => {
    execFile(
      file,
      args,
      {
        cwd: here,
        env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
        maxBuffer: 64 * 1024 * 1024,
        timeout: 290_000,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}
