/** One agent per node: the second says who has it, a killed one leaves nothing behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { lockNode } from "./lock.ts";

async function withFolder(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "axonize-lock-"));
  try {
    await run(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("a second agent on the node is refused with what to do, and may start when the first has ended", async () => {
  await withFolder(async (dir) => {
    const first = await lockNode(dir);
    await assert.rejects(
      lockNode(dir),
      /Another agent runs on this node.*AXONIZE_AGENT_STATE_DIR/s,
    );
    await first[Symbol.asyncDispose]();
    const second = await lockNode(dir);
    await second[Symbol.asyncDispose]();
  });
});

test("of several that start at once exactly one gets the lock", async () => {
  await withFolder(async (dir) => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockNode(dir)));
    const locks = outcomes.filter((outcome) => outcome.status === "fulfilled");
    assert.equal(locks.length, 1);
    for (const lock of locks) await lock.value[Symbol.asyncDispose]();
  });
});

test("an agent that was killed holds nothing", async () => {
  await withFolder(async (dir) => {
    const script = `
      const { lockNode } = await import(${JSON.stringify(join(import.meta.dirname, "lock.ts"))});
      await lockNode(${JSON.stringify(dir)});
      process.stdout.write("locked");
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script]);
    await once(child.stdout, "data");
    await assert.rejects(lockNode(dir), /Another agent/);
    child.kill("SIGKILL");
    await once(child, "exit");
    const lock = await lockNode(dir);
    await lock[Symbol.asyncDispose]();
  });
});

test("a folder that cannot be made is told with the variable to set", async () => {
  await withFolder(async (dir) => {
    await writeFile(join(dir, "file"), "");
    await assert.rejects(lockNode(join(dir, "file/state")), /AXONIZE_AGENT_STATE_DIR/);
  });
});
