/** The pool's file: applied at once and on change, replaced whole, refused whole, and back when mended. */
import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { systemClock as clock } from "@axonize/core/runtime/clock";
import { silentLog as log } from "@axonize/core/runtime/log";
import { watchConfigFile } from "./config-file.ts";
import { defaultPoolConfig as defaults } from "./pool-config.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a file is applied, followed when it is replaced, and refused whole when it does not fit", async () => {
  const dir = await mkdtemp(join(tmpdir(), "axonize-config-"));
  const path = join(dir, "pool.json");
  const replace = async (text: string): Promise<void> => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  };
  const applied: PoolConfig[] = [];
  await replace('{"periodMs": 200}');
  const file = await watchConfigFile(
    { clock, log },
    { path, defaults, apply: (config) => void applied.push(config) },
  );
  try {
    assert.deepEqual(applied, [{ ...defaults, periodMs: 200 }]);
    await replace('{"metricSets": ["Power"]}');
    await until(() => applied.length === 2, "the change");
    assert.deepEqual(
      applied[1],
      { ...defaults, metricSets: ["Power"] },
      "what it names no more is the default",
    );
    await replace('{"periodMs": 1, "metricSets": []}');
    await file.look();
    await replace("not json");
    await file.look();
    await rm(path);
    await file.look();
    assert.equal(applied.length, 2);
    await replace('{"periodMs": 300}');
    await until(() => applied.length === 3, "the mended file");
    assert.equal(applied[2]?.periodMs, 300);
  } finally {
    await file[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  }
});

test("a file that is not there yet is applied when it comes", async () => {
  const dir = await mkdtemp(join(tmpdir(), "axonize-config-"));
  const applied: PoolConfig[] = [];
  const path = join(dir, "pool.json");
  const file = await watchConfigFile(
    { clock, log },
    { path, defaults, apply: (config) => void applied.push(config) },
  );
  try {
    assert.equal(applied.length, 0);
    await writeFile(path, '{"slowPeriodMs": 2000}');
    await until(() => applied.some((config) => config.slowPeriodMs === 2000), "the file");
  } finally {
    await file[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  }
});
