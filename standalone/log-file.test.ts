/** The log file's bounds and what of it reaches the console. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { createFileLog } from "./log-file.ts";

test("everything goes to the file as JSON, warnings once to the console, secrets nowhere", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-log-"));
  const said: string[] = [];
  let now = 0;
  {
    await using file = await createFileLog({
      dataDir,
      level: "info",
      say: (line) => said.push(line),
      now: () => now,
    });
    file.log.debug({ event: "hidden" });
    file.log.info({ event: "unit", password: "hunter2" }, "a unit of work");
    file.log.warn({ event: "slow", reason: "disk" }, "writes are slow");
    file.log.warn({ event: "slow", reason: "disk" }, "writes are slow");
    now = 60_000;
    file.log.error({ event: "slow", err: new Error("no space") }, "writes fail");
  }
  const text = await readFile(join(dataDir, "logs/axonize.log"), "utf8");
  const events = text
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { event: string }).event);
  assert.deepEqual(events, ["unit", "slow", "slow", "slow"]);
  assert.ok(!text.includes("hunter2"));
  assert.deepEqual(said, ["warn: writes are slow (disk)", "error: writes fail (no space)"]);
  assert.equal((await stat(join(dataDir, "logs/axonize.log"))).mode & 0o077, 0);
  await rm(dataDir, { recursive: true });
});

test("a log that grows is cut into two files of bounded size", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "axonize-log-"));
  {
    await using file = await createFileLog({
      dataDir,
      level: "info",
      say: () => undefined,
      now: () => 0,
    });
    const filler = "x".repeat(100_000);
    for (let i = 0; i < 500; i += 1) {
      file.log.info({ event: "big", filler });
      // The stream is given time to write: what piles up beyond its bound is dropped, by design.
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const size = async (name: string): Promise<number> =>
    (await stat(join(dataDir, "logs", name))).size;
  assert.ok((await size("axonize.log")) < 21 * 1024 * 1024);
  assert.ok((await size("axonize.log.1")) < 21 * 1024 * 1024);
  await rm(dataDir, { recursive: true });
});
