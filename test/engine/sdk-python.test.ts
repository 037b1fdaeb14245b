/**
 * The Python SDK beside real engines on the CPU: transformers, diffusers, and vLLM and SGLang in process with
 * no line of ours in the program. Runs sdk/python/tests/engine/ from an installed wheel in vLLM's environment.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createWorkshop, readReport } from "../../sdk/python/tests/workshop.ts";

const python = process.env["AXONIZE_TEST_VLLM_PYTHON"] ?? "";
/** What vLLM's environment lacks; its own packages stay as they are. */
const extras = ["pytest==9.2.0", "iniconfig==2.3.1", "pluggy==1.7.0", "diffusers==0.42.1"];
/** SGLang for its Engine: what it requires is for CUDA; its import needs these beside what vLLM brought. */
const sglang = [
  "sglang==0.5.23",
  "gguf==0.19.0",
  "ipython==9.18.1",
  "orjson==3.13.0",
  "torchvision==0.29.2",
  "traitlets==5.16.1",
];
const builders = ["setuptools==80.9.0", "wheel==0.48.0", "opentelemetry-proto==1.45.2"];
const workshop = createWorkshop();

after(() => {
  workshop[Symbol.dispose]();
});

const packages = join(workshop.scratch, "packages");
let site = "";

before(async () => {
  assert.ok(existsSync(python), "run it by `npm run test:engine`, which sets vLLM up");
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
  const wanted = [...extras, ...builders, ...sglang];
  const added = await workshop.run(python, [...pip, "--target", packages, ...wanted], {});
  assert.equal(added.code, 0, added.output);
  const wheel = await workshop.buildWheel(join(python, "../.."), "engine", {
    PYTHONPATH: packages,
  });
  site = await workshop.install(join(python, "../.."), wheel, "engine");
});

for (const [engines, file, count] of [
  ["transformers, diffusers and vLLM", "test_engines.py", 4],
  ["SGLang", "test_sglang.py", 1],
] as const) {
  test(`${engines}: observed without a line of ours`, async (context) => {
    const report = join(workshop.scratch, `${file}.xml`);
    const { code, output } = await workshop.run(
      python,
      ["-m", "pytest", `--junit-xml=${report}`, `tests/engine/${file}`],
      { PYTHONPATH: `${site}:${packages}` },
    );
    const cases = readReport(report);
    for (const found of cases) {
      await context.test(found.name, () => {
        assert.equal(found.failure, "", found.failure);
      });
    }
    assert.equal(code, 0, output);
    assert.equal(cases.length, count, output);
  });
}
