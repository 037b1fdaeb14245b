/**
 * Runs the Python SDK's own tests: builds the wheel, installs it into virtual environments under
 * .cache/python, and runs pytest there over the C core and the pure-Python fallback.
 *
 * The whole suite runs on `python3`; the other CPythons at hand (3.10 to 3.14, on the PATH or under
 * ~/.pyenv) run the parts that differ between versions. Every pytest case appears as a test here.
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
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http2";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildFakeDriver } from "../../agent/testing/fake-driver.ts";

const here = import.meta.dirname;
const cache = join(here, "../../.cache/python");
const scratch = mkdtempSync(join(tmpdir(), "axonize-python-"));
const pythons = findPythons();
const main = pythons[0];
/** The agent's stand-in for the driver: `gpu_profiling` reads it. */
const fakeNvml = buildFakeDriver();
/** Where versions differ: frames, generators, contexts, object layout. */
const versionTests = [
  "tests/test_spans.py",
  "tests/test_context.py",
  "tests/test_generators.py",
  "tests/test_core.py",
];

interface Python {
  readonly version: string;
  readonly path: string;
}

interface Outcome {
  readonly code: number;
  readonly output: string;
}

after(() => {
  rmSync(scratch, { recursive: true, force: true });
});

test("a CPython from 3.10 on is here", () => {
  assert.ok(main, "install Python 3.10 or newer with its headers and venv");
});

describe("each Python", { concurrency: 2 }, () => {
  for (const python of pythons) testOn(python);
});

function testOn(python: Python): void {
  const whole = python === main;
  describe(`on Python ${python.version}`, { concurrency: 2 }, () => {
    let wheel = "";
    let venv = "";
    before(async () => {
      venv = await createVenv(python, whole ? "requirements-full.txt" : "requirements.txt");
      wheel = await buildWheel(venv, python.version, {});
    });

    test("the wheel carries the C core and its tag says so", () => {
      assert.match(wheel, /axonize-[\d.]+-cp3\d+-cp3\d+-\w+\.whl$/);
    });

    for (const implementation of whole ? ["c", "pure"] : ["c"]) {
      test(`${implementation}: the suite passes`, async (context) => {
        const site = await install(venv, wheel, `${python.version}-${implementation}`);
        const report = join(scratch, `${python.version}-${implementation}.xml`);
        const { code, output } = await run(
          join(venv, "bin/python"),
          ["-m", "pytest", `--junit-xml=${report}`, ...(whole ? ["tests"] : versionTests)],
          {
            PYTHONPATH: site,
            AXONIZE_PURE: implementation === "pure" ? "1" : "0",
            AXONIZE_EXPECT: implementation,
            AXONIZE_TEST_FAKE_NVML: fakeNvml,
          },
        );
        const cases = readReport(report);
        for (const found of cases) {
          await context.test(found.name, () => {
            assert.equal(found.failure, "", found.failure);
          });
        }
        assert.equal(code, 0, output);
        assert.ok(cases.length > 40, output);
      });
    }
  });
}

test("a gRPC server on Node's HTTP/2 takes the spans, also over a window that fills up", async () => {
  assert.ok(main);
  const venv = await createVenv(main, "requirements-full.txt");
  const bodies: Buffer[] = [];
  const server = createServer();
  server.on("stream", (stream, headers) => {
    const parts: Buffer[] = [];
    stream.on("data", (part: Buffer) => parts.push(part));
    stream.on("end", () => {
      bodies.push(Buffer.concat(parts));
      assert.equal(headers["authorization"], "Bearer axk_key");
      stream.respond(
        { ":status": 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => {
        // Text that Node Huffman-codes; the client must read it.
        stream.sendTrailers({ "grpc-status": "0", "grpc-message": "all%20taken" });
      });
      stream.end(Buffer.alloc(5));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const program = `
import axonize
axonize.init("127.0.0.1:${address.port}", "svc", batch_size=8192, flush_interval_ms=3600000, api_key="axk_key")
for _ in range(2):
    for number in range(2000):
        with axonize.span("s", text="x" * 200): pass
    assert axonize.flush(20), axonize.stats()
`;
  const done = await run(join(venv, "bin/python"), ["-c", program], {
    PYTHONPATH: join(here, "src"),
    AXONIZE_PURE: "1",
  });
  server.close();
  assert.equal(done.code, 0, done.output);
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  assert.ok(bodies.length >= 2 && bytes > 4000 * 250, `${bodies.length} requests, ${bytes} bytes`);
  for (const body of bodies) assert.equal(body.readUInt32BE(1), body.length - 5);
});

test("without a compiler a pure wheel is built, and it says so", async () => {
  assert.ok(main);
  const venv = await createVenv(main, "requirements-full.txt");
  const wheel = await buildWheel(venv, "no-compiler", { CC: "/bin/false" });
  assert.match(wheel, /axonize-[\d.]+-py3-none-any\.whl$/);
  const site = await install(venv, wheel, "no-compiler");
  const said = await run(join(venv, "bin/python"), ["-m", "axonize"], { PYTHONPATH: site });
  assert.match(said.output, /^axonize [\d.]+, pure Python: /);
});

test("the package passes a strict type check, and so does a typical program", async () => {
  assert.ok(main);
  const venv = await createVenv(main, "requirements-full.txt");
  const mypy = join(venv, "bin/mypy");
  const flags = ["--strict", `--cache-dir=${join(scratch, "mypy")}`];
  const own = await run(mypy, [...flags, "src/axonize"], {});
  assert.equal(own.code, 0, own.output);
  const program = await run(mypy, [...flags, "tests/typed_program.py"], { MYPYPATH: "src" });
  assert.equal(program.code, 0, program.output);
});

/** `python3` first, then one of each other minor version. */
function findPythons(): Python[] {
  const named = ["python3", ...[10, 11, 12, 13, 14].map((minor) => `python3.${minor}`)];
  const pyenv = globSync(join(homedir(), ".pyenv/versions/3.*/bin/python"));
  const found = new Map<string, Python>();
  for (const path of [...named, ...pyenv]) {
    const script =
      "import sys, sysconfig; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], sys.executable, sysconfig.get_config_var('Py_GIL_DISABLED') or 0)";
    const told = spawnSync(path, ["-c", script], { encoding: "utf8" });
    const [name, version, executable, free] =
      told.status === 0 ? told.stdout.trim().split(" ") : [];
    const minor = Number(version?.split(".")[1]);
    if (name !== "cpython" || version === undefined || executable === undefined) continue;
    if (free === "0" && minor >= 10 && minor <= 14 && !found.has(version)) {
      found.set(version, { version, path: executable });
    }
  }
  return [...found.values()];
}

/** A virtual environment with the test's packages: one per Python and list, kept between runs. */
async function createVenv(python: Python, list: string): Promise<string> {
  const requirements = join(here, "tests", list);
  const sum = createHash("sha256")
    .update(python.path)
    .update(readFileSync(join(here, "tests/requirements.txt")))
    .update(readFileSync(requirements))
    .digest("hex");
  const venv = join(cache, `${python.version}-${sum.slice(0, 12)}`);
  const ready = join(venv, "ready");
  if (existsSync(ready)) return venv;
  const made = await run(python.path, ["-m", "venv", "--clear", venv], {});
  assert.equal(made.code, 0, made.output);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const filled = await run(join(venv, "bin/python"), [...pip, "-r", requirements], {});
  assert.equal(filled.code, 0, filled.output);
  writeFileSync(ready, "");
  return venv;
}

/** Builds from a copy of the sources, so that builds at the same time do not meet. */
async function buildWheel(venv: string, name: string, env: NodeJS.ProcessEnv): Promise<string> {
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
async function install(venv: string, wheel: string, name: string): Promise<string> {
  const site = join(scratch, `site-${name}`);
  const done = await run(
    join(venv, "bin/python"),
    ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel],
    {},
  );
  assert.equal(done.code, 0, done.output);
  return site;
}

interface Case {
  readonly name: string;
  /** Empty when it passed. A skipped case is a failure: it would look green. */
  readonly failure: string;
}

function readReport(path: string): Case[] {
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
        timeout: 240_000,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}
