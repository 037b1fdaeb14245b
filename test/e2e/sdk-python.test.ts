/**
 * The Python SDK as a user meets it: a wheel for each Python at hand, installed into an empty virtual
 * environment, and the README's snippet as it stands; its call is found through the API with its time
 * to first token and its rate, and what gpu_profiling read is on its span.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createWorkshop, findPythons, type Python } from "../../sdk/python/tests/workshop.ts";
import { createApiClient, type ApiClient } from "./support/api.ts";
import { npmStart, type Started } from "./support/npm-start.ts";

const workshop = createWorkshop();
const pythons = findPythons();
let folder: string;
let axonize: Started;
let api: ApiClient;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "axonize-e2e-python-"));
  axonize = await npmStart(join(folder, "data"));
  api = createApiClient(axonize.api);
});
after(async () => {
  await axonize?.interrupt();
  workshop[Symbol.dispose]();
  await rm(folder, { recursive: true, force: true });
});

for (const python of pythons) {
  test(`Python ${python.version}: the README's snippet from a wheel in an empty environment`, async () => {
    const service = `readme-${python.version}`;
    const snippet = await readmeSnippet();
    assert.match(snippet, /service_name="my-service"/);
    const program = join(folder, `${python.version}.py`);
    await writeFile(program, snippet.replace("my-service", service));
    const environment = await emptyEnvironment(python);
    const ran = await workshop.run(join(environment, "bin/python"), [program], {
      AXONIZE_ENDPOINT: axonize.otlpGrpc,
    });
    assert.equal(ran.code, 0, ran.output);
    assert.equal(ran.output, "");
    const { items } = await api.traces({ service });
    assert.equal(items.length, 1);
    const [call] = items;
    assert.ok(call);
    assert.equal(call.name, "generate");
    assert.equal(call.model, "llama-3-70b");
    assert.equal(call.inputTokens, 128);
    assert.equal(call.outputTokens, 6);
    assert.ok(call.ttftMs !== null && call.ttftMs >= 20 && call.ttftMs < 5000, `${call.ttftMs}`);
    const { spans } = await api.trace(call.traceId, { format: "rows" });
    const [span] = spans ?? [];
    assert.ok(span);
    const { attributes } = await api.span(call.traceId, span.spanId);
    const rate = Number(attributes["ai.llm.tokens_per_second"]);
    assert.ok(rate > 1 && rate < 50, `${rate} tokens per second`);
    const bins = attributes["axonize.llm.timeline.tokens"];
    assert.ok(Array.isArray(bins), JSON.stringify(bins));
    assert.equal(
      bins.reduce((sum: number, tokens) => sum + Number(tokens), 0),
      6,
    );
    const said = await workshop.run(join(environment, "bin/python"), ["-m", "axonize"], {});
    assert.match(said.output, /^axonize [\d.]+, C core: /);
  });
}

/** The first Python block of sdk/python/README.md. */
async function readmeSnippet(): Promise<string> {
  const readme = await readFile(join(import.meta.dirname, "../../sdk/python/README.md"), "utf8");
  const found = /```python\n([\s\S]*?)```/.exec(readme)?.[1];
  assert.ok(found);
  return found;
}

/** A virtual environment with nothing but the wheel: no pip, no setuptools, no source tree. */
async function emptyEnvironment(python: Python): Promise<string> {
  const builder = await workshop.createVenv(python);
  const wheel = await workshop.buildWheel(builder, python.version, {});
  assert.match(wheel, new RegExp(`-cp${python.version.replace(".", "")}-`));
  const empty = join(folder, `empty-${python.version}`);
  const made = await workshop.run(python.path, ["-m", "venv", "--without-pip", empty], {});
  assert.equal(made.code, 0, made.output);
  const target = await workshop.run(
    join(empty, "bin/python"),
    ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
    {},
  );
  const installed = await workshop.run(
    join(builder, "bin/python"),
    ["-m", "pip", "install", "--no-index", "--target", target.output.trim(), wheel],
    {},
  );
  assert.equal(installed.code, 0, installed.output);
  const listed = await workshop.run(
    join(empty, "bin/python"),
    [
      "-c",
      "from importlib.metadata import distributions as d; print(sorted(x.name for x in d()), end='')",
    ],
    {},
  );
  assert.equal(listed.output, "['axonize']");
  return empty;
}
