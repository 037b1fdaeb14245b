/**
 * The Python SDK beside real engines on the CPU: transformers, diffusers, and vLLM in process with no line
 * of ours in the program. Runs sdk/python/tests/engine/ from an installed wheel in vLLM's environment.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { createWorkshop, readReport } from "../../sdk/python/tests/workshop.ts";

const python = process.env["AXONIZE_TEST_VLLM_PYTHON"] ?? "";
/** What vLLM's environment lacks; its own packages stay as they are. */
const extras = ["pytest==9.2.0", "iniconfig==2.3.1", "pluggy==1.7.0", "diffusers==0.42.1"];
const builders = ["setuptools==80.9.0", "wheel==0.48.0", "opentelemetry-proto==1.45.2"];
const workshop = createWorkshop();

after(() => {
  workshop[Symbol.dispose]();
});

test("transformers, diffusers and vLLM are observed without a line of ours", async (context) => {
  assert.ok(existsSync(python), "run it by `npm run test:engine`, which sets vLLM up");
  const packages = join(workshop.scratch, "packages");
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
  const added = await workshop.run(
    python,
    [...pip, "--target", packages, ...extras, ...builders],
    {},
  );
  assert.equal(added.code, 0, added.output);
  const venv = join(python, "../..");
  const wheel = await workshop.buildWheel(venv, "engine", { PYTHONPATH: packages });
  const site = await workshop.install(venv, wheel, "engine");
  const report = join(workshop.scratch, "engine.xml");
  const { code, output } = await workshop.run(
    python,
    ["-m", "pytest", `--junit-xml=${report}`, "tests/engine"],
    { PYTHONPATH: `${site}:${packages}` },
  );
  const cases = readReport(report);
  for (const found of cases) {
    await context.test(found.name, () => {
      assert.equal(found.failure, "", found.failure);
    });
  }
  assert.equal(code, 0, output);
  assert.equal(cases.length, 4, output);
});
