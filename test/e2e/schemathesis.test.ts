// schemathesis throws generated and hostile requests at the API, from its own OpenAPI document: no
// answer is a 500, and every answer is one that the document describes.
import assert from "node:assert/strict";
import { mkdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { buildCall, buildSpan, insertSpans } from "../support/build-span.ts";
import { useDashboard } from "../support/dashboard.ts";
import { run } from "./support/run.ts";

const version = "4.32.5";
const seed = 20_261_125;
const checks = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_schema_conformance",
];
const cache = join(import.meta.dirname, "../../.cache");

const python = await ensureSchemathesis();
const dashboard = await useDashboard();
after(async () => await dashboard[Symbol.asyncDispose]());

const now = Date.now();
for (let at = 0; at < 20; at += 1) {
  const root = buildSpan({ startMs: now - at * 60_000 - 5000, tenantNum: dashboard.a.num });
  const call = buildCall({
    startMs: root.startMs + 1,
    tenantNum: dashboard.a.num,
    traceId: root.traceId,
    parentSpanId: root.spanId,
  });
  await insertSpans(dashboard.stores.clickhouse, [root, call]);
}

test(`schemathesis finds no 500 and no answer outside the document (seed ${seed})`, async () => {
  // An event stream does not end (`--exclude-path`); it has a test of its own.
  const options: Record<string, string> = {
    "exclude-path": "/api/v1/start/events",
    phases: "examples,coverage,fuzzing",
    checks: checks.join(","),
    "max-examples": "15",
    "max-time": "60",
    seed: String(seed),
    "request-timeout": "20",
    warnings: "off",
    "suppress-health-check": "all",
  };
  const args = [
    "-c",
    "from schemathesis.cli import schemathesis; schemathesis()",
    "run",
    `${dashboard.url}/openapi.json`,
    "--header",
    `authorization: ${dashboard.admin["authorization"]}`,
    "--header",
    "x-axonize-tenant: team-a",
    ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
  ];
  try {
    await run(python, args, { timeoutMs: 180_000, env: { ...process.env, NO_COLOR: "1" } });
  } catch (error) {
    assert.fail(error instanceof Error ? error.message : String(error));
  }
});

/** A virtual environment under `.cache/`, made once: 20 seconds on the first call on a machine. */
async function ensureSchemathesis(): Promise<string> {
  const folder = join(cache, `schemathesis-${version}`);
  const python = join(folder, "bin/python");
  if (await exists(join(folder, ".made"))) return python;
  await rm(folder, { recursive: true, force: true });
  await mkdir(cache, { recursive: true });
  try {
    await run("python3", ["-m", "venv", folder], { timeoutMs: 60_000 });
  } catch (error) {
    throw new Error(
      "This test needs Python with its venv module (Debian: apt-get install python3-venv).",
      { cause: error },
    );
  }
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  await run(python, [...pip, `schemathesis==${version}`], { timeoutMs: 280_000 });
  await writeFile(join(folder, ".made"), version);
  return python;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false; // not there yet
  }
}
