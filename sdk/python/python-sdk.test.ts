/**
 * Runs the Python SDK's own tests: builds the wheel, installs it into virtual environments under
 * .cache/python, and runs pytest there over the C core and the pure-Python fallback.
 *
 * The whole suite runs on `python3`; the other CPythons at hand (3.10 to 3.14, on the PATH or under
 * ~/.pyenv) run the parts that differ between versions. Every pytest case appears as a test here.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildFakeDriver } from "../../agent/testing/fake-driver.ts";
import { createWorkshop, findPythons, readReport, type Python } from "./tests/workshop.ts";

const here = import.meta.dirname;
const workshop = createWorkshop();
const { scratch, createVenv, buildWheel, install, run } = workshop;
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
  "tests/test_clock.py",
  "tests/test_threads.py",
];
/** Besides, where threads truly run at once. */
const freeTests = [
  "tests/test_fuzz.py",
  "tests/test_life.py",
  "tests/test_ring.py",
  "tests/test_gpu.py",
  // Its times are those of a Python that is twice as fast.
  "-k=not absent_server",
];

after(() => {
  workshop[Symbol.dispose]();
});

test("a CPython from 3.10 on is here", () => {
  assert.ok(main, "install Python 3.10 or newer with its headers and venv");
});

describe("each Python", { concurrency: 2 }, () => {
  for (const python of pythons) testOn(python);
});

function testOn(python: Python): void {
  const whole = python.main;
  describe(`on Python ${python.version}`, { concurrency: 2 }, () => {
    let wheel = "";
    let venv = "";
    before(async () => {
      venv = await createVenv(python);
      wheel = await buildWheel(venv, python.version, {});
    });

    test("the wheel carries the C core and its tag says so", () => {
      const tag = `cp${python.version.replace(".", "").replace("t", "")}`;
      const abi = python.free ? `${tag}t` : tag;
      assert.match(wheel, new RegExp(`axonize-[\\d.]+-${tag}-${abi}-\\w+\\.whl$`));
    });

    const everything = ["tests", "--ignore=tests/integrations", "--ignore=tests/engine"];
    const parts = whole ? [everything] : python.free ? [versionTests, freeTests] : [versionTests];
    for (const implementation of whole ? ["c", "pure"] : ["c"]) {
      for (const [index, files] of parts.entries()) {
        const name = `${implementation}-${index + 1}`;
        test(`${name}: the suite passes`, async (context) => {
          const site = await install(venv, wheel, `${python.version}-${name}`);
          const report = join(scratch, `${python.version}-${name}.xml`);
          const { code, output } = await run(
            join(venv, "bin/python"),
            ["-m", "pytest", `--junit-xml=${report}`, ...files],
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
    }
  });
}

for (const python of pythons.filter((each) => each.main || each.free)) {
  test(`a gRPC server on Node's HTTP/2 takes the spans of ${python.version}, also over a window that fills up`, async () => {
    await sendToNode(python);
  });
}

async function sendToNode(python: Python): Promise<void> {
  const venv = await createVenv(python);
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
}

test("the C core's tests and fuzzing pass under the address and undefined-behaviour sanitizers", async () => {
  assert.ok(main);
  const venv = await createVenv(main);
  const checked = await run("sh", ["scripts/sanitize.sh", join(venv, "bin/python")], {});
  assert.equal(checked.code, 0, checked.output);
  assert.match(checked.output, /\d\d passed/);
});

test("without a compiler a pure wheel is built, and it says so", async () => {
  assert.ok(main);
  const venv = await createVenv(main);
  const wheel = await buildWheel(venv, "no-compiler", { CC: "/bin/false" });
  assert.match(wheel, /axonize-[\d.]+-py3-none-any\.whl$/);
  const site = await install(venv, wheel, "no-compiler");
  const said = await run(join(venv, "bin/python"), ["-m", "axonize"], { PYTHONPATH: site });
  assert.match(said.output, /^axonize [\d.]+, pure Python: /);
});

test("a release builds a wheel for every CPython, with the interpreter's lock and without", async () => {
  assert.ok(main);
  const venv = await createVenv(main);
  const command = join(venv, "bin/cibuildwheel");
  const lists = await Promise.all(
    ["linux", "macos"].map(async (platform) => {
      const archs = platform === "linux" ? "x86_64,aarch64" : "x86_64,arm64";
      const said = ["--print-build-identifiers", "--platform", platform, "--archs", archs, here];
      const told = await run(command, said, {});
      assert.equal(told.code, 0, told.output);
      return told.output.trim().split("\n");
    }),
  );
  const wanted = ["cp310", "cp311", "cp312", "cp313", "cp314", "cp314t"].flatMap((python) =>
    ["manylinux", "musllinux", "macosx"].flatMap((system) =>
      ["x86_64", system === "macosx" ? "arm64" : "aarch64"].map(
        (arch) => `${python}-${system}_${arch}`,
      ),
    ),
  );
  assert.deepEqual(lists.flat().sort(), wanted.sort());
});

test("the package passes a strict type check, and so does a typical program", async () => {
  assert.ok(main);
  const venv = await createVenv(main);
  const mypy = join(venv, "bin/mypy");
  const flags = ["--strict", `--cache-dir=${join(scratch, "mypy")}`];
  const own = await run(mypy, [...flags, "src/axonize"], {});
  assert.equal(own.code, 0, own.output);
  const program = await run(mypy, [...flags, "tests/typed_program.py"], { MYPYPATH: "src" });
  assert.equal(program.code, 0, program.output);
});
