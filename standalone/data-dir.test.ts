/** The data directory: made private, locked, and clear words where it cannot be used. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { StartError } from "@axonize/core/runtime/error";
import { readAdminKey } from "./admin-key.ts";
import { checkSpace, openDataDir } from "./data-dir.ts";

async function withDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "axonize-dir-"));
  try {
    await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const startError =
  (pattern: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StartError, String(error));
    assert.match(error.message, pattern);
    return true;
  };

test("a new directory is made with its parents and closed to others", async () => {
  await withDir(async (dir) => {
    const path = join(dir, "a/b/data");
    await using opened = await openDataDir(path);
    assert.equal(opened.fresh, true);
    assert.equal((await stat(path)).mode & 0o077, process.getuid?.() === 0 ? 0o011 : 0);
  });
});

test("a second instance is refused with the first one's process id, until that has gone", async () => {
  await withDir(async (dir) => {
    {
      await using first = await openDataDir(dir);
      assert.equal(first.fresh, false);
      await assert.rejects(
        openDataDir(dir),
        startError(
          new RegExp(`Another Axonize \\(process ${process.pid}\\) uses the data directory`),
        ),
      );
    }
    await using again = await openDataDir(dir);
    assert.equal(again.path, dir);
  });
});

test("a lock left by a crash is taken over, also when its number lives on in another process", async () => {
  await withDir(async (dir) => {
    for (const left of ["999999999 12345\n", `${process.pid} 1\n`, "", "garbage"]) {
      await writeFile(join(dir, "lock"), left);
      await using opened = await openDataDir(dir);
      assert.match(
        await readFile(join(opened.path, "lock"), "utf8"),
        new RegExp(`^${process.pid} `),
      );
    }
  });
});

test("of many that start at once, one gets the directory", async () => {
  await withDir(async (dir) => {
    await writeFile(join(dir, "lock"), "999999999 12345\n");
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, async () => await openDataDir(dir)),
    );
    const opened = all.filter((one) => one.status === "fulfilled");
    assert.equal(opened.length, 1);
    for (const one of opened) await one.value[Symbol.asyncDispose]();
  });
});

test("a file in the way, and a place where no folder can be, are named", async () => {
  await withDir(async (dir) => {
    await writeFile(join(dir, "file"), "");
    await assert.rejects(
      openDataDir(join(dir, "file")),
      startError(/cannot be written: a file is in its place/),
    );
    await assert.rejects(
      openDataDir(join(dir, "file/below")),
      startError(/a part of the path is a file/),
    );
    if (process.platform === "linux") {
      await assert.rejects(
        openDataDir("/proc/axonize"),
        startError(/cannot be written: .*AXONIZE_DATA_DIR/s),
      );
    }
  });
});

test("a full disk is said before anything starts", () => {
  assert.throws(
    () => checkSpace("/data", 10 * 1024 * 1024),
    startError(/\/data is full: 10 MiB are free/),
  );
  checkSpace("/data", 1024 ** 3);
});

test("the admin key is made once, in a file for its owner alone", async () => {
  await withDir(async (dir) => {
    const made = await readAdminKey(dir, undefined);
    assert.equal(made.file, join(dir, "admin-key"));
    assert.equal((await stat(join(dir, "admin-key"))).mode & 0o777, 0o600);
    assert.deepEqual(await readAdminKey(dir, undefined), made);
    assert.deepEqual(await readAdminKey(dir, "given-by-the-configuration"), {
      key: "given-by-the-configuration",
      file: undefined,
    });
    await writeFile(join(dir, "admin-key"), "short\n");
    await assert.rejects(readAdminKey(dir, undefined), startError(/shorter than 16 characters/));
  });
});
