/**
 * The Python SDK's integrations against the real packages from PyPI, with local servers: pytest over
 * the C core, one process per file, because instrumentations leave traces in theirs.
 */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createWorkshop, findPythons, readReport } from "./tests/workshop.ts";

const here = import.meta.dirname;
const workshop = createWorkshop();
const [python] = findPythons();

after(() => {
  workshop[Symbol.dispose]();
});

describe("integrations", { concurrency: 2 }, () => {
  let venv = "";
  let site = "";
  before(async () => {
    assert.ok(python, "install Python 3.10 or newer with its headers and venv");
    venv = await workshop.createVenv(python, "requirements-integrations.txt");
    site = await workshop.install(venv, await workshop.buildWheel(venv, "integrations", {}), "c");
  });

  for (const file of globSync("tests/integrations/test_*.py", { cwd: here }).sort()) {
    test(basename(file), async (context) => {
      const report = join(workshop.scratch, `${basename(file)}.xml`);
      const { code, output } = await workshop.run(
        join(venv, "bin/python"),
        ["-m", "pytest", `--junit-xml=${report}`, file],
        { PYTHONPATH: site, AXONIZE_PURE: "0" },
      );
      const cases = readReport(report);
      for (const found of cases) {
        await context.test(found.name, () => {
          assert.equal(found.failure, "", found.failure);
        });
      }
      assert.equal(code, 0, output);
      assert.ok(cases.length > 5, output);
    });
  }
});
